"""A trained arm's adapter on a model hub, with a card that says what it is and what was measured.

models/<model>/adapters/<arm>/<seed>/  ->  adapter_model.safetensors, adapter_config.json, base.json, README.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.reading import read_json, read_yaml
from synvita.core.vocabulary import main_figures

FILES = ("adapter_config.json", "adapter_model.safetensors", "base.json")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
UNKNOWN = "not recorded"


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
            "README.md": len(self.card.encode()),
            **{name: path.stat().st_size for name, path in self.files.items()},
        }


def prepare(folder: Path, repo: str) -> Upload:
    """ValueError: no name of a repository; no folder of a trained arm."""
    if not HUB_NAME.fullmatch(repo):
        raise ValueError(f"--repo: {repo!r} is no repository; give owner/name")
    for name in (*FILES, "arm.json"):
        if not (folder / name).is_file():
            way_out = "give the adapter's folder of a trained arm, like RUN/models/MODEL/adapters/ARM/SEED"
            raise ValueError(f"{folder}: has no {name}; {way_out}")
    text, notes = card(folder.resolve(), repo)
    return Upload(repo, text, {name: folder / name for name in FILES}, notes)


def card(folder: Path, repo: str) -> tuple[str, list[str]]:
    """The model card, and what it lacks. No path of this machine stands in it."""
    facts, base = read_json(folder / "arm.json"), read_json(folder / "base.json", ["base_revision"])["base_revision"]
    run, notes = folder.parents[4], []
    train: dict[str, Any] = {}
    if (run / "config.yaml").is_file():
        train = read_yaml(run / "config.yaml").get("train") or {}
    else:
        notes.append("no config.yaml of a run above the folder: the card says nothing of settings")
    given = str(train.get("model", UNKNOWN))
    on_hub = HUB_NAME.fullmatch(given) is not None and not Path(given).exists()
    model = given if on_hub else Path(given).name
    figures = figures_of(run, folder)
    if not figures:
        notes.append("no figures of this arm in results.json; first run synvita evaluate")
    lora = read_json(folder / "adapter_config.json")
    made = ", ".join(f"`{name}` {digest}" for name, digest in facts.get("made_from", {}).items()) or UNKNOWN
    head = ["---", *([f"base_model: {model}"] if on_hub else []), "library_name: peft", "tags: [synvita, lora]", "---"]
    settings = {key: train.get(key, UNKNOWN) for key in ("epochs", "batch", "optimizer", "rate", "schedule", "dtype")}
    lines = [
        *head,
        f"# {repo.split('/')[1]}",
        "A LoRA adapter for a video language model that is asked whether a caption fits a video (SynViTA, CVPR 2025).",
        f"- Base: {model}, revision {base}",
        f"- Arm: `{facts.get('arm', folder.parent.name)}`, seed {facts.get('seed', folder.name)}, weights: "
        f"{facts.get('weights_from', UNKNOWN)}",
        f"- Trained on {facts.get('triplets', UNKNOWN)} triplets, {facts.get('with_clip', UNKNOWN)} with a synthetic "
        f"clip; digests: {made}",
        f"- Settings: {', '.join(f'{key} {value}' for key, value in settings.items())}; rank {lora.get('r')}, "
        f"alpha {lora.get('lora_alpha')}, on {', '.join(sorted(lora.get('target_modules') or [])) or UNKNOWN}",
        f"- Frames: {train.get('frames') or 'the base model decides'}; prompt: the base checkpoint's own, "
        '`Does this video entail the description: "..."?`, answered Yes or No',
        "",
        "## Measured",
        *(figures or ["Not measured."]),
        "",
        "## Use",
        f'```python\nimport synvita\n\naligner = synvita.Aligner.from_pretrained("{model}", adapter="FOLDER")\n```',
        f"Trained with `synvita train --arms {facts.get('arm', folder.parent.name)}`. Licence: that of the base model "
        "and of the training data; the program does not know them.",
    ]
    return "\n".join(lines) + "\n", notes


def figures_of(run: Path, folder: Path) -> list[str]:
    """Lines of a table: every main figure with its interval, in percent."""
    path, arm, model = run / "results.json", folder.parent.name, folder.parents[2].name
    if not path.is_file():
        return []
    results = read_json(path, ["arms"])
    same = results.get("model", model) == model
    entry = (results if same else results.get("models", {}).get(model, {})).get("arms", {}).get(arm, {})
    rows = []
    for task in main_figures():
        one = entry.get(task.name) or {}
        if one.get(task.metric) is not None:
            low, high = one.get("low"), one.get("high")
            interval = "" if low is None or high is None else f"[{100 * low:.1f}, {100 * high:.1f}]"
            rows.append(f"| {task.title} | {task.measure} | {100 * one[task.metric]:.1f} | {interval} |")
    return ["| task | figure | % | interval |", "| --- | --- | --- | --- |", *rows] if rows else []


def publish(upload: Upload) -> str:
    """Put it on the hub in one commit; the address.

    ValueError: no token, with how to log in; what the hub refuses, in one line.
    """
    import huggingface_hub as hub

    if hub.get_token() is None:
        raise ValueError(f"--repo: {upload.repo}: no token of the hub; log in with: hf auth login (or set HF_TOKEN)")
    content: dict[str, Any] = {"README.md": upload.card.encode(), **upload.files}
    operations = [hub.CommitOperationAdd(name, value) for name, value in content.items()]
    api = hub.HfApi()
    try:
        api.create_repo(upload.repo, exist_ok=True)
        done = api.create_commit(upload.repo, operations, commit_message="Adapter and model card")
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ValueError(f"--repo: {upload.repo}: the hub refuses ({type(error).__name__}: {reason})") from None
    return str(getattr(done, "commit_url", upload.repo))
