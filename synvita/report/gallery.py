"""Synthetic clips of a run, chosen by a fixed rule, so that nobody can pick the pretty ones."""

from __future__ import annotations

import difflib
import statistics
from dataclasses import dataclass
from pathlib import Path

from synvita.core import artefacts
from synvita.core.records import Misalignment, Triplet
from synvita.report.embedded import Album, Video

ORACLE = "world_truth"
UNKNOWN = "unknown"
Pair = tuple[str, str]  # (triplet, clip): one triplet may have several clips, and one clip serve several triplets
Words = list[tuple[str, bool]]  # (a run of words, whether the other caption lacks them)


@dataclass(frozen=True)
class Shown:
    """One entry of the gallery. `scores`: (scorer and its quantity, of the clip's own caption, of the real's).

    `level` of the weight: zero, low or high; `truth`: the clip shows its own caption, None if nobody knows.
    """

    triplet_id: str
    generator: str
    misalignment: str
    real: Video
    synthetic: Video
    caption: Words
    negative_caption: Words
    scores: list[tuple[str, float | None, float | None]]
    weight: float
    level: str
    truth: bool | None


@dataclass(frozen=True)
class Gallery:
    """The chosen ones of `clips` weighed clips; `middle` is the median of the weights over zero, where high begins."""

    clips: int
    middle: float
    cards: list[Shown]


def kind_name(kind: object) -> str:
    """A misalignment type as the page names it; pair files are text, so anything may stand there."""
    return str(kind) if str(kind) in set(Misalignment) else UNKNOWN


def level(weight: float, middle: float) -> str:
    if weight <= 0:
        return "zero"
    return "high" if weight >= middle else "low"


def marked_words(text: str, other: str) -> Words:
    """`text` cut into runs of words that `other` has at the same place in the order, and runs that it has not."""
    words, theirs = text.split(), other.split()
    matcher = difflib.SequenceMatcher(a=words, b=theirs, autojunk=False)
    found: Words = []
    for kind, start, end, _, _ in matcher.get_opcodes():
        if end > start:
            found.append((" ".join(words[start:end]), kind != "equal"))
    return found


def choose(weights: dict[Pair, float], kinds: dict[str, Misalignment | None], number: int) -> list[Pair]:
    """(triplet, clip): the types in turn, alternating the highest and the lowest weight left; ties by id.

    Each next round takes the other end of a type. A clip that is already chosen is passed over.

    Args:
        kinds: of the triplets.
    """
    left = {
        kind: sorted((pair for pair in weights if kinds.get(pair[0]) == kind), key=lambda pair: (weights[pair], pair))
        for kind in kinds_in(kinds)
    }
    left = {kind: pairs for kind, pairs in left.items() if pairs}
    chosen: list[Pair] = []
    seen: set[str] = set()
    for turn in range(len(weights)):
        for position, pairs in enumerate(left.values()):
            while pairs and len(chosen) < number:
                pair = pairs.pop(-1 if (turn + position) % 2 == 0 else 0)
                if pair[1] not in seen:
                    seen.add(pair[1])
                    chosen.append(pair)
                    break
        if len(chosen) == number or not any(left.values()):
            break
    return chosen


def kinds_in(kinds: dict[str, Misalignment | None]) -> list[Misalignment | None]:
    return [kind for kind in (*Misalignment, None) if kind in set(kinds.values())]


def gallery(run: Path, triplets: list[Triplet], number: int = 28) -> Gallery | None:
    """The chosen clips with all that the run knows about them; None where clips were not weighed."""
    default = artefacts.default_weights(run)
    if default is None or not artefacts.has_clips(run):
        return None
    by_id = {t.id: t for t in triplets}
    rows = artefacts.read_weights(run, default.scorers, default.shown)
    learned = {(r.triplet_id, r.clip_id): r.weight for r in rows if r.triplet_id in by_id}
    known = artefacts.weights_file(run, artefacts.TRUTH, default.shown).exists()
    rows = artefacts.read_weights(run, artefacts.TRUTH, default.shown) if known else []
    truth = {(r.triplet_id, r.clip_id): r.weight > 0.5 for r in rows}
    clips = artefacts.read_clips(run)
    chosen = choose(learned, {t.id: t.misalignment for t in triplets}, number)
    scores, kinds = read_scores(run, {clip for _, clip in chosen}), artefacts.quantities(run)
    over_zero = [weight for weight in learned.values() if weight > 0]
    middle = statistics.median(over_zero) if over_zero else 0.0
    album = Album(run)
    cards = []
    for pair in chosen:
        triplet, clip, weight = by_id[pair[0]], clips.get(pair[1]), learned[pair]
        own, real = triplet.negative_caption, triplet.caption
        scorers = sorted({scorer for name, scorer, _ in scores if name == pair[1]})
        score_of = [(name, scores.get((pair[1], name, own)), scores.get((pair[1], name, real))) for name in scorers]
        cards.append(
            Shown(
                triplet_id=triplet.id,
                generator=clip.generator if clip else UNKNOWN,
                misalignment=kind_name(triplet.misalignment),
                real=album.embed(triplet.video),
                synthetic=album.embed(clip.file) if clip else Video(pair[1], "", "no such clip"),
                caption=marked_words(real, own),
                negative_caption=marked_words(own, real),
                scores=[(f"{name}, {kinds[name]}", ours, theirs) for name, ours, theirs in score_of],
                weight=weight,
                level=level(weight, middle),
                truth=truth.get(pair),
            )
        )
    return Gallery(len({clip for _, clip in learned}), middle, cards) if cards else None


def read_scores(run: Path, clips: set[str]) -> dict[tuple[str, str, str], float]:
    """{(clip, scorer, caption): score} of these clips, without the oracle's."""
    rows = artefacts.read_scores(run)
    return {(r.clip_id, r.scorer, r.caption): r.score for r in rows if r.clip_id in clips and r.scorer != ORACLE}
