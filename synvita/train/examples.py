"""Triplets, clips and weights joined by id into named fields; every missing piece is counted, none gets weight 1.0."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from synvita.core.artefacts import TRUTH, default_weights, read_clips, read_weights, weights_file
from synvita.core.records import ClipWeight, Item, Triplet
from synvita.core.run_folder import again
from synvita.core.store import read_records
from synvita.train.arms import Arm

OPPOSITE = {"Yes": "No", "No": "Yes"}


@dataclass(frozen=True)
class Line:
    """One question about one video with its answer: "Yes", "No", or a text that explains what is wrong.

    `weight`: w of Eq. 5, 1 for real videos. `other`: the caption that this one is compared with for its twin (t').
    """

    video: str
    caption: str
    answer: str
    other: str = ""
    synthetic: bool = False
    weight: float = 1.0


@dataclass(frozen=True)
class Pair:
    """Eq. 6 for one caption: lines (by index) of the video that it is true of and of its counterpart, and w."""

    aligned: int
    counterpart: int
    weight: float


@dataclass(frozen=True)
class Example:
    """What shares videos and is drawn together: a triplet with its clips, or one item of the authors' tables."""

    id: str
    lines: tuple[Line, ...]
    pairs: tuple[Pair, ...] = ()

    @property
    def videos(self) -> list[str]:
        return list(dict.fromkeys(line.video for line in self.lines))


@dataclass(frozen=True)
class Joined:
    """`weights_from` says in words where an arm's weights come from. Counts: `missing` triplets without a clip that
    the arm would use, `clips` that it uses, `explanations`, `alone` items without a triplet (the authors' tables).
    """

    examples: list[Example]
    weights_from: str
    missing: int = 0
    clips: int = 0
    explanations: int = 0
    alone: int = 0
    missing_ids: list[str] = field(default_factory=list)


def items_of(triplet: Triplet, clips: list[tuple[str, float]], explanations: bool = False) -> list[Item]:
    """(V^r, t^r, Yes) and (V^r, t^s, No), each with the clips of t^s; and, if wanted, the explanation of t^s."""
    real, synthetic = triplet.caption, triplet.negative_caption
    found = [
        Item(f"{triplet.id}/yes", triplet.id, triplet.video, real, "Yes", synthetic, clips),
        Item(f"{triplet.id}/no", triplet.id, triplet.video, synthetic, "No", real, clips),
    ]
    if explanations and triplet.explanation:
        found.append(Item(f"{triplet.id}/why", triplet.id, triplet.video, synthetic, triplet.explanation))
    return found


def example_of(id: str, items: Iterable[Item]) -> Example:
    """Real questions, and for each clip the same caption with the opposite answer and the pair of Eq. 6.

    One item is the authors' composition (one caption, one real and one synthetic video); the items of a triplet
    together share both videos' prefixes.
    """
    lines: list[Line] = []
    pairs: list[Pair] = []
    for item in items:
        real = len(lines)
        lines.append(Line(item.video, item.caption, item.answer, item.other))
        for video, weight in item.clips:
            lines.append(Line(video, item.caption, OPPOSITE[item.answer], item.other, True, weight))
            clip = len(lines) - 1
            pairs.append(Pair(real, clip, weight) if item.answer == "Yes" else Pair(clip, real, weight))
    return Example(id, tuple(lines), tuple(pairs))


def group(items: list[Item], grouping: str) -> list[Example]:
    """`triplet`: items of one triplet (or, in the authors' tables, of one synthetic video) are one example."""
    if grouping == "item":
        return [example_of(item.id, [item]) for item in items]
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.triplet, []).append(item)
    return [example_of(name, some) for name, some in groups.items()]


def which_weights(run: Path, arm: Arm) -> tuple[tuple[str, ...], str]:
    """Whose weights an arm uses, and of which criterion. ValueError: nothing was weighed."""
    default = default_weights(run)
    if default is None:
        raise ValueError(f"--run: {run} has no weights; first run: {again('weigh', run)}")
    scorers = TRUTH if arm.weights == "oracle" else arm.scorers or default.scorers
    return scorers, arm.criterion or default.criteria[0]


def weights_path(run: Path, arm: Arm) -> Path | None:
    """The file of an arm's weights; None where it uses none."""
    if arm.weights == "none" or default_weights(run) is None:
        return None
    return weights_file(run, *which_weights(run, arm))


def weights_for(run: Path, arm: Arm) -> tuple[list[ClipWeight], str]:
    """The weight rows that an arm uses (several per triplet if it has several clips), and where they come from.

    Raises:
        ValueError: no weights of this kind.
    """
    if arm.weights == "none":
        return [], "none (no synthetic clips)"
    scorers, criterion = which_weights(run, arm)
    rows = read_weights(run, scorers, criterion)
    return rows, "uniform (1.0)" if arm.weights == "uniform" else f"{criterion} of {' + '.join(scorers)}"


def join(run: Path, arm: Arm, grouping: str = "triplet", explanations: bool = False) -> Joined:
    """The examples of an arm, in the order of the triplets.

    Raises:
        ValueError: a weight names a clip that is not there; no training triplets.
    """
    triplets = [t for t in read_records(run / "triplets.jsonl", Triplet) if t.split == "train"]
    alone = read_records(run / "items.jsonl", Item) if (run / "items.jsonl").exists() else []
    if not triplets and not alone:
        raise ValueError(f"{run / 'triplets.jsonl'}: no triplets of split 'train' to train on")
    rows, weights_from = weights_for(run, arm) if triplets else ([], "the table's own")
    files = read_clips(run) if rows else {}
    by_triplet: dict[str, list[ClipWeight]] = {}
    for row in rows:
        if row.clip_id not in files:
            where = weights_file(run, row.scorers, row.criterion)
            text = f"{where}: triplet {row.triplet_id}: clip {row.clip_id} is not among the clips"
            raise ValueError(f"{text}; once more: {again('weigh', run)}")
        if not arm.generators or files[row.clip_id].generator in arm.generators:
            by_triplet.setdefault(row.triplet_id, []).append(row)
    items: list[Item] = []
    missing = []
    for t in triplets:
        wanted = arm.weights != "none" and (not arm.synthetic_types or t.misalignment in arm.synthetic_types)
        mine = by_triplet.get(t.id, []) if wanted else []
        if wanted and not mine:
            missing.append(t.id)
        clips = [(files[r.clip_id].file, 1.0 if arm.weights == "uniform" else r.weight) for r in mine]
        items += items_of(t, clips, explanations)
    for item in alone:
        keep = arm.weights != "none"
        clips = [(v, 1.0 if arm.weights == "uniform" else w) for v, w in item.clips] if keep else []
        items.append(Item(item.id, item.triplet, item.video, item.caption, item.answer, item.other, clips))
    items = [item for item in items if explanations or item.answer in OPPOSITE]
    return Joined(
        group(items, grouping),
        weights_from,
        len(missing),
        len({video for item in items for video, _ in item.clips}),
        sum(item.answer not in OPPOSITE for item in items),
        len(alone),
        missing,
    )
