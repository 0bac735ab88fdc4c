"""A trained arm's adapter on a model hub, with a card that says what it is and what was measured.

models/<model>/adapters/<arm>/<seed>/  ->  adapter_model.safetensors, adapter_config.json, base.json, README.md
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.names import hub_name
from synvita.publish.card import CARD, card

FILES = ("adapter_config.json", "adapter_model.safetensors", "base.json")


@dataclass(frozen=True)
class Upload:
    """What goes up: the card, and files by their names there. notes: what the card could not say."""

    repo: str
    card: str
    files: dict[str, Path]
    notes: list[str]

    @property
    def sizes(self) -> dict[str, int]:
        return {
            CARD: len(self.card.encode()),
            **{name: path.stat().st_size for name, path in self.files.items()},
        }


def prepare(folder: Path, repo: str) -> Upload:
    """ValueError: no name of a repository; no folder of a trained arm."""
    if not hub_name(repo):
        raise ValueError(f"--repo: {repo!r} is no repository; give owner/name")
    for name in (*FILES, "arm.json"):
        if not (folder / name).is_file():
            way_out = "give the adapter's folder of a trained arm, like RUN/models/MODEL/adapters/ARM/SEED"
            raise ValueError(f"{folder}: has no {name}; {way_out}")
    text, notes = card(folder, repo.split("/")[1])
    return Upload(repo, text, {name: folder / name for name in FILES}, notes)


def publish(upload: Upload) -> str:
    """Put it on the hub in one commit; the address.

    ValueError: no token, with how to log in; what the hub refuses, in one line.
    """
    import huggingface_hub as hub

    if hub.get_token() is None:
        raise ValueError(f"--repo: {upload.repo}: no token of the hub; log in with: hf auth login (or set HF_TOKEN)")
    content: dict[str, Any] = {CARD: upload.card.encode(), **upload.files}
    operations = [hub.CommitOperationAdd(name, value) for name, value in content.items()]
    api = hub.HfApi()
    try:
        api.create_repo(upload.repo, exist_ok=True)
        done = api.create_commit(upload.repo, operations, commit_message="Adapter and model card")
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ValueError(f"--repo: {upload.repo}: the hub refuses ({type(error).__name__}: {reason})") from None
    return str(getattr(done, "commit_url", upload.repo))
