"""Which clips belong to which triplet: `clip_of_triplet.jsonl`, a line per link; a clip may serve several triplets."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from synvita.core.records import require_text
from synvita.core.run_folder import again
from synvita.core.store import read_records


@dataclass(frozen=True)
class ClipOfTriplet:
    """A line of `clip_of_triplet.jsonl`."""

    triplet_id: str
    clip_id: str

    def __post_init__(self) -> None:
        require_text("triplet_id", self.triplet_id)
        require_text("clip_id", self.clip_id)


def clip_links(run: Path, clips: Container[str] | None = None) -> dict[str, list[str]]:
    """Triplet id -> its clips: one per generator, or as many as somebody gave.

    Args:
        clips: the ids there are; a link to another one is refused.
    """
    path = run / "clip_of_triplet.jsonl"
    links: dict[str, list[str]] = {}
    for link in read_records(path, ClipOfTriplet, ("triplet_id", "clip_id")):
        if clips is not None and link.clip_id not in clips:
            text = f"triplet {link.triplet_id!r}: its clip {link.clip_id!r} is not in clips.jsonl"
            raise ValueError(f"{path}: {text}; once more: {again('generate', run)}")
        links.setdefault(link.triplet_id, []).append(link.clip_id)
    return links
