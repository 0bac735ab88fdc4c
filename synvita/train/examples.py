"""Triplets, clips and weights joined by id into named fields; every missing piece is counted, none gets weight 1.0."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synvita.core.records import Clip, ClipWeight, Triplet
from synvita.core.store import read_records
from synvita.train.config import Arm


@dataclass(frozen=True)
class Example:
    """A triplet with its synthetic clip, if it has one; `weight` is w of Eq. 5 (0 without a clip)."""

    triplet_id: str
    real_video: str
    caption: str
    negative_caption: str
    synthetic_video: str | None = None
    weight: float = 0.0


@dataclass(frozen=True)
class Joined:
    """`weights_from` says in words where an arm's weights come from; `missing` counts triplets without a clip."""

    examples: list[Example]
    weights_from: str
    missing: int


def weights_for(run: Path, arm: Arm) -> tuple[dict[str, ClipWeight], str]:
    """Triplet id -> the weight row an arm uses, and where it comes from."""
    if arm.weights == "none":
        return {}, "none (no synthetic clips)"
    path = run / "weights.jsonl"
    if not path.exists():
        raise ValueError(f"--run: {run} has no weights.jsonl; run synvita weigh --run {run} first")
    rows = read_records(path, ClipWeight)
    oracle = [row for row in rows if row.scorers == ["world_truth"]]
    learned = [row for row in rows if row.scorers != ["world_truth"]]
    chosen = oracle if arm.weights == "oracle" else learned
    if not chosen:
        raise ValueError(f"{path}: no {arm.weights} weights; run synvita weigh --run {run} again with them")
    kinds = {(row.criterion, tuple(row.scorers)) for row in chosen}
    if len(kinds) > 1:
        raise ValueError(f"{path}: several kinds of {arm.weights} weights ({sorted(kinds)}); keep one")
    criterion, scorers = next(iter(kinds))
    name = "uniform (1.0)" if arm.weights == "uniform" else f"{criterion} of {' + '.join(scorers)}"
    return {row.triplet_id: row for row in chosen}, name


def join(run: Path, arm: Arm) -> Joined:
    """The examples of an arm, in the order of the triplets.

    Raises:
        ValueError: a weight names a clip that `clips.jsonl` lacks; no training triplets.
    """
    triplets = [t for t in read_records(run / "triplets.jsonl", Triplet) if t.split == "train"]
    if not triplets:
        raise ValueError(f"{run / 'triplets.jsonl'}: no triplets of split 'train' to train on")
    weights, weights_from = weights_for(run, arm)
    clips = {c.clip_id: c for c in read_records(run / "clips.jsonl", Clip)} if weights else {}
    examples, missing = [], 0
    for t in triplets:
        row = weights.get(t.id)
        if row is None:
            missing += arm.weights != "none"
            examples.append(Example(t.id, t.video, t.caption, t.negative_caption))
            continue
        if row.clip_id not in clips:
            raise ValueError(f"{run / 'weights.jsonl'}: triplet {t.id}: clip {row.clip_id} is not in clips.jsonl")
        weight = 1.0 if arm.weights == "uniform" else row.weight
        examples.append(Example(t.id, t.video, t.caption, t.negative_caption, clips[row.clip_id].file, weight))
    return Joined(examples, weights_from, missing)
