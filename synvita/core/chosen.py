"""Which clip stands for a triplet where a judge has chosen: `chosen_clips.jsonl`. All clips stay where they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synvita.core.artefacts import default_weights
from synvita.core.records import ClipWeight, require_share, require_text
from synvita.core.store import read_records

CHOSEN = "chosen_clips.jsonl"


@dataclass(frozen=True)
class ChosenClip:
    """Of a triplet's clips by one generator the one that `judge`, the mean of these scorers, scored highest.

    `scores`: clip id -> the judge's score with the clip's own caption, of all that it chose from.
    """

    triplet_id: str
    generator: str
    clip_id: str
    judge: list[str]
    scores: dict[str, float]

    def __post_init__(self) -> None:
        for name in ("triplet_id", "generator", "clip_id"):
            require_text(name, getattr(self, name))
        if not isinstance(self.judge, list) or not self.judge:
            raise ValueError(f"judge: expected a list of scorers, got {self.judge!r}")
        if not isinstance(self.scores, dict) or self.clip_id not in self.scores:
            raise ValueError(f"scores: expected clip ids with {self.clip_id!r} among them, got {self.scores!r}")
        for clip, score in self.scores.items():
            require_share(f"scores: {clip}", score)

    @property
    def others(self) -> list[str]:
        return [clip for clip in self.scores if clip != self.clip_id]


def read_chosen(run: Path) -> list[ChosenClip]:
    """None where all clips are used. ValueError: a bad line, or one that is there twice, by file:line."""
    path = run / CHOSEN
    return read_records(path, ChosenClip, ("triplet_id", "generator")) if path.exists() else []


def judges_that_weigh(run: Path) -> dict[str, list[str]]:
    """Group of scorers with weights, as `a+b` -> which of them have chosen the clips, too; empty where none has."""
    chosen, default = read_chosen(run), default_weights(run)
    if not chosen or default is None:
        return {}
    groups: dict[str, list[str]] = {}
    for path in sorted((run / "weights").glob("*.jsonl")):
        for row in read_records(path, ClipWeight)[:1]:
            groups["+".join(row.scorers)] = [name for name in row.scorers if name in chosen[0].judge]
    return {group: both for group, both in groups.items() if both}
