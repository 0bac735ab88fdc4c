"""Which clips belong to which triplet: `clip_of_triplet.jsonl`, a line per link; a clip may serve several triplets."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from synvita.core.artefacts import read_clips
from synvita.core.records import Triplet, require_text
from synvita.core.run_folder import again
from synvita.core.store import read_records, write_records

LINKS = "clip_of_triplet.jsonl"


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
    path = run / LINKS
    links: dict[str, list[str]] = {}
    for link in read_records(path, ClipOfTriplet, ("triplet_id", "clip_id")):
        if clips is not None and link.clip_id not in clips:
            text = f"triplet {link.triplet_id!r}: its clip {link.clip_id!r} is not among the clips"
            raise ValueError(f"{path}: {text}; once more: {again('generate', run)}")
        links.setdefault(link.triplet_id, []).append(link.clip_id)
    return links


def write_links(run: Path, of_generator: dict[str, dict[str, list[str]]]) -> None:
    """Put generators' links in the place of the ones they had; those of others stay.

    Args:
        of_generator: generator -> triplet id -> its clips.
    The lines stand in the order of the triplets, and a triplet's by generator, so equal runs give equal bytes.
    """
    made_by = {name: clip.generator for name, clip in read_clips(run).items()}
    found: dict[str, dict[str, list[str]]] = {}
    for triplet, clips in (clip_links(run) if (run / LINKS).exists() else {}).items():
        for name in clips:
            generator = made_by.get(name)
            if generator is not None and generator not in of_generator:
                found.setdefault(triplet, {}).setdefault(generator, []).append(name)
    for generator, links in of_generator.items():
        for triplet, clips in links.items():
            found.setdefault(triplet, {})[generator] = clips
    order = [t.id for t in read_records(run / "triplets.jsonl", Triplet, ("id",)) if t.id in found]
    rows = [ClipOfTriplet(t, name) for t in order for _, clips in sorted(found[t].items()) for name in clips]
    write_records(run / LINKS, rows)
