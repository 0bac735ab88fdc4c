"""Synthetic clips of a run, chosen by a fixed rule, so that nobody can pick the pretty ones."""

from __future__ import annotations

import difflib
import statistics
from dataclasses import dataclass
from pathlib import Path

from synvita.core.records import Clip, ClipWeight, Misalignment, ScoredClip, Triplet
from synvita.core.store import parse_lines, read_records
from synvita.report.embedded import Album, Video

ORACLE = "world_truth"
UNKNOWN = "unknown"
Words = list[tuple[str, bool]]  # (a run of words, whether the other caption lacks them)


@dataclass(frozen=True)
class Shown:
    """One entry of the gallery. `scores`: (scorer, of the clip's own caption, of the real video's caption).

    `level` of the weight: zero, low or high; `truth`: the clip shows its own caption, None if nobody knows.
    """

    triplet_id: str
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
    """The chosen clips of `clips` weighed ones; `middle` is the median of the weights over zero, where high begins."""

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


def choose(
    weights: dict[str, float], kinds: dict[str, Misalignment | None], clips: dict[str, str], number: int
) -> list[str]:
    """Triplet ids: the types in turn, alternating the highest and the lowest weight left; ties by id.

    Each next round takes the other end of a type. A clip that is already chosen is passed over.
    """
    left = {
        kind: sorted((i for i in weights if kinds.get(i) == kind), key=lambda i: (weights[i], i))
        for kind in kinds_in(kinds)
    }
    left = {kind: ids for kind, ids in left.items() if ids}
    chosen: list[str] = []
    seen: set[str] = set()
    for turn in range(len(weights)):
        for position, ids in enumerate(left.values()):
            while ids and len(chosen) < number:
                triplet = ids.pop(-1 if (turn + position) % 2 == 0 else 0)
                if clips.get(triplet, triplet) not in seen:
                    seen.add(clips.get(triplet, triplet))
                    chosen.append(triplet)
                    break
        if len(chosen) == number or not any(left.values()):
            break
    return chosen


def kinds_in(kinds: dict[str, Misalignment | None]) -> list[Misalignment | None]:
    return [kind for kind in (*Misalignment, None) if kind in set(kinds.values())]


def gallery(run: Path, triplets: list[Triplet], number: int = 28) -> Gallery | None:
    """The chosen clips with all that the run knows about them; None where clips were not weighed."""
    needed = [run / name for name in ("weights.jsonl", "clips.jsonl", "clip_of_triplet.jsonl")]
    if not all(path.exists() for path in needed):
        return None
    rows = read_records(run / "weights.jsonl", ClipWeight)
    criteria = [row.criterion for row in rows]
    rows = [row for row in rows if row.criterion == ("difference" if "difference" in criteria else criteria[0])]
    by_id = {t.id: t for t in triplets}
    ensemble = next((r.scorers for r in rows if r.scorers != [ORACLE]), None)
    learned = {r.triplet_id: r.weight for r in rows if r.scorers == ensemble and r.triplet_id in by_id}
    truth = {r.triplet_id: r.weight > 0.5 for r in rows if r.scorers == [ORACLE]}
    links = {str(f["triplet_id"]): str(f["clip_id"]) for _, f in parse_lines(run / "clip_of_triplet.jsonl")}
    files = {clip.clip_id: clip.file for clip in read_records(run / "clips.jsonl", Clip)}
    chosen = choose(learned, {i: by_id[i].misalignment for i in learned}, links, number)
    scores = read_scores(run, {links.get(i, "") for i in chosen})
    over_zero = [weight for weight in learned.values() if weight > 0]
    middle = statistics.median(over_zero) if over_zero else 0.0
    album = Album(run)
    cards = []
    for i in chosen:
        triplet, clip, weight = by_id[i], links.get(i, ""), learned[i]
        own, real = triplet.negative_caption, triplet.caption
        scorers = sorted({scorer for name, scorer, _ in scores if name == clip})
        no_clip = Video(clip, "", "no such clip in clips.jsonl")
        cards.append(
            Shown(
                triplet_id=i,
                misalignment=kind_name(triplet.misalignment),
                real=album.embed(triplet.video),
                synthetic=album.embed(files[clip]) if clip in files else no_clip,
                caption=marked_words(real, own),
                negative_caption=marked_words(own, real),
                scores=[(s, scores.get((clip, s, own)), scores.get((clip, s, real))) for s in scorers],
                weight=weight,
                level=level(weight, middle),
                truth=truth.get(i),
            )
        )
    return Gallery(len(learned), middle, cards) if cards else None


def read_scores(run: Path, clips: set[str]) -> dict[tuple[str, str, str], float]:
    """{(clip, scorer, caption): score} of these clips, without the oracle's."""
    path = run / "scores.jsonl"
    rows = read_records(path, ScoredClip) if path.exists() else []
    return {(r.clip_id, r.scorer, r.caption): r.score for r in rows if r.clip_id in clips and r.scorer != ORACLE}
