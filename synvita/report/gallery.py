"""A dozen clips of a run, chosen by a fixed rule, so that nobody can pick the pretty ones."""

from __future__ import annotations

import base64
import difflib
from dataclasses import dataclass
from pathlib import Path

from synvita.core.records import Clip, ClipWeight, Misalignment, ScoredClip, Triplet
from synvita.core.store import parse_lines, read_records

ORACLE = "world_truth"
MAX_BYTES = 2_000_000  # of one embedded video; a dozen pairs then stay below about 64 MB of page
Words = list[tuple[str, bool]]  # (a run of words, whether the other caption lacks them)


@dataclass(frozen=True)
class Video:
    """A video of the page: `data` is a data: URI, or empty, and then `reason` says why."""

    name: str
    data: str
    reason: str = ""


@dataclass(frozen=True)
class Shown:
    """One entry of the gallery. `scores`: (scorer, of the clip's own caption, of the real video's caption)."""

    triplet_id: str
    misalignment: str
    real: Video
    synthetic: Video
    caption: Words
    negative_caption: Words
    scores: list[tuple[str, float | None, float | None]]
    weight: float
    truth: bool | None


def marked_words(text: str, other: str) -> Words:
    """`text` cut into runs of words that `other` has at the same place in the order, and runs that it has not."""
    words, theirs = text.split(), other.split()
    matcher = difflib.SequenceMatcher(a=words, b=theirs, autojunk=False)
    found: Words = []
    for kind, start, end, _, _ in matcher.get_opcodes():
        if end > start:
            found.append((" ".join(words[start:end]), kind != "equal"))
    return found


def embed(run: Path, file: str) -> Video:
    """The MP4 as a data: URI. Anything else is named, not embedded: the page is made to be passed on."""
    path = run / file
    if not Path(file).is_absolute() and not path.resolve().is_relative_to(run.resolve()):
        return Video(file, "", "leads out of the run folder")
    if not path.is_file():
        return Video(file, "", "file is missing")
    size = path.stat().st_size
    if size > MAX_BYTES:
        return Video(file, "", f"{size / 1e6:.1f} MB, more than the {MAX_BYTES / 1e6:.0f} MB that are embedded")
    content = path.read_bytes()
    if content[4:8] != b"ftyp":
        return Video(file, "", "not an MP4 file")
    return Video(file, f"data:video/mp4;base64,{base64.b64encode(content).decode()}")


def choose(weights: dict[str, float], kinds: dict[str, Misalignment], clips: dict[str, str], number: int) -> list[str]:
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


def kinds_in(kinds: dict[str, Misalignment]) -> list[Misalignment]:
    return [kind for kind in Misalignment if kind in set(kinds.values())]


def gallery(run: Path, triplets: list[Triplet], number: int = 12) -> list[Shown]:
    """The chosen clips with all that the run knows about them; empty where clips were not weighed."""
    needed = [run / name for name in ("weights.jsonl", "clips.jsonl", "clip_of_triplet.jsonl")]
    if not all(path.exists() for path in needed):
        return []
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
    return [show(run, by_id[i], links.get(i, ""), files, scores, learned[i], truth.get(i)) for i in chosen]


def read_scores(run: Path, clips: set[str]) -> dict[tuple[str, str, str], float]:
    """{(clip, scorer, caption): score} of these clips, without the oracle's."""
    path = run / "scores.jsonl"
    rows = read_records(path, ScoredClip) if path.exists() else []
    return {(r.clip_id, r.scorer, r.caption): r.score for r in rows if r.clip_id in clips and r.scorer != ORACLE}


def show(
    run: Path,
    triplet: Triplet,
    clip: str,
    files: dict[str, str],
    scores: dict[tuple[str, str, str], float],
    weight: float,
    truth: bool | None,
) -> Shown:
    own, real = triplet.negative_caption, triplet.caption
    scorers = sorted({scorer for name, scorer, _ in scores if name == clip})
    return Shown(
        triplet_id=triplet.id,
        misalignment=str(triplet.misalignment),
        real=embed(run, triplet.video),
        synthetic=embed(run, files[clip]) if clip in files else Video(clip, "", "no such clip in clips.jsonl"),
        caption=marked_words(real, own),
        negative_caption=marked_words(own, real),
        scores=[(s, scores.get((clip, s, own)), scores.get((clip, s, real))) for s in scorers],
        weight=weight,
        truth=truth,
    )
