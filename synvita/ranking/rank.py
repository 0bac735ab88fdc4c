"""Score clips by their captions, put them in order, keep the best: `synvita rank`.

A folder of its own holds what was made: `scores/<scorer>/` as in a run folder (so a killed call goes on where it was,
and another scorer is added beside the first), `ranked.csv`, `index.html`, `kept/`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synvita.core.backends import Part
from synvita.core.identity import Digests
from synvita.core.names import folder_name
from synvita.core.reading import read_json
from synvita.core.records import Clip
from synvita.core.run_folder import only_one
from synvita.core.set_aside import read_set_aside
from synvita.core.stage import check_stamp
from synvita.core.store import parse_lines, write_atomic, write_records
from synvita.how import HERE, How, in_memory_at_once
from synvita.ranking.table import OURS, Row
from synvita.weigh.scored import check_one_quantity
from synvita.weigh.scorer import load_scorer
from synvita.weigh.stage import Asked, Entries, ScoreClips, scorer_part
from synvita.weigh.weights import criterion

ASKED = "asked.jsonl"
DEFAULT_SCORER = "qwen3_vl"


class RankClips(ScoreClips):
    """The stage that scores the clips of a table."""

    command = "rank"
    retry = "the same command"

    def __init__(self, part: Part, decode_timeout: float = 60.0):
        super().__init__(part, decode_timeout)
        self.what = f"rank: scores of {part.folder}"

    def items(self, run: Path) -> list[Asked]:
        found = []
        for _, row in parse_lines(run / ASKED):
            name, captions = row["clip_id"], row["captions"]
            clip = Clip(name, captions[0], "ranked", name, {}, 0, row["file"], name)
            found.append(Asked(clip, captions))
        return found


@dataclass
class Ranked:
    """A row with its scores. `rank`: from 1; equal scores share it; None without a score. `score`: the scorers' mean.
    `weight`: of Eq. 4, where the row has a negative caption. `kept`: it passed what was asked for."""

    row: Row
    scores: dict[str, float] = field(default_factory=dict)
    score: float | None = None
    weight: float | None = None
    rank: int | None = None
    kept: bool = False


@dataclass(frozen=True)
class Keep:
    """Which clips go into `kept/`: all of these that are given."""

    min_score: float | None = None
    min_weight: float | None = None
    top: int | None = None
    best_per_caption: bool = False

    @property
    def any(self) -> bool:
        return self != Keep()

    def check(self, rows: Sequence[Row]) -> None:
        """ValueError: a bound that nothing can be compared with."""
        for name, value in (("min-score", self.min_score), ("min-weight", self.min_weight)):
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"--{name}: {value} is not in [0, 1], as scores are")
        if self.min_weight is not None and not any(row.negative for row in rows):
            raise ValueError("--min-weight: no row has a negative_caption to be weighed against; leave it out")

    def mark(self, ranked: Sequence[Ranked]) -> None:
        """`ranked` best first."""
        best: set[str] = set()
        number = 0
        for one in ranked:
            one.kept = one.score is not None and one.score >= (self.min_score or 0)
            one.kept &= self.min_weight is None or (one.weight is not None and one.weight >= self.min_weight)
            one.kept &= not (self.best_per_caption and one.row.caption in best)
            one.kept &= self.top is None or number < self.top
            number += one.kept
            if one.score is not None:
                best.add(one.row.caption)


def claim(out: Path, source: Path) -> None:
    """Take a folder for what comes of a table. ValueError: it holds something else, or another table's."""
    marker = out / OURS
    if marker.exists():
        of = read_json(marker, ["of"])["of"]
        if of != source.resolve().as_posix():
            raise ValueError(f"--out: {out} holds the ranking of {of}; give another folder")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"--out: {out} is not empty and no ranking; give a new or empty folder")
    out.mkdir(parents=True, exist_ok=True)
    write_marker(out, source, [])


def write_marker(out: Path, source: Path, kept: list[str]) -> None:
    write_atomic(out / OURS, json.dumps({"of": source.resolve().as_posix(), "kept": kept}, indent=1) + "\n")


def stages_of(scorers: Sequence[str], entries: Entries) -> list[RankClips]:
    """ValueError: a scorer that cannot be had, or scorers whose scores are no common quantity."""
    stages = [RankClips(scorer_part(name, entries, "--scorer")) for name in scorers]
    quantities = {stage.part.name: getattr(load_scorer(stage.part), "quantity", "score") for stage in stages}
    check_one_quantity(scorers, quantities, "--scorer")
    return stages


def rank_clips(rows: list[Row], out: Path, source: Path, stages: Sequence[RankClips], how: How = HERE) -> list[Ranked]:
    """Score what has no score yet, and put the rows in order, best first; those without a score last, with `reason`.

    Raises:
        ValueError: as `claim`; a scorer with other settings than those that its scores there were made with.
    """
    claim(out, source)
    for stage in stages:
        check_stamp(out, stage)
    scorers = [stage.part.name for stage in stages]
    with only_one(out, "rank"):
        ids = write_asked(rows, out)
        for group in in_memory_at_once(stages, how):
            how.run_all(group, out)
        scores = {
            (stage.part.name, fields["clip_id"], fields["caption"]): float(fields["score"])
            for stage in stages
            for _, fields in parse_lines(out / stage.folder / stage.file)
        }
        gone = reasons(out, scorers)
    return in_order([ranked(row, ids.get(row.file, ""), scorers, scores, gone) for row in rows])


def write_asked(rows: Sequence[Row], out: Path) -> dict[str, str]:
    """Write which clip is asked which captions; file -> the clip's id, which is its bytes' digest."""
    digests = Digests(out)
    ids: dict[str, str] = {}
    asked: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.reason:
            continue
        if row.file not in ids:
            ids[row.file] = digests.of(row.file)
        name = ids[row.file]
        captions = asked.setdefault(name, {"clip_id": name, "file": row.file, "captions": []})["captions"]
        captions += [text for text in (row.caption, row.negative) if text and text not in captions]
    digests.save()
    write_records(out / ASKED, [asked[name] for name in sorted(asked)])
    return ids


def reasons(out: Path, scorers: Sequence[str]) -> dict[str, str]:
    """Clip -> why a scorer could not score it."""
    folders = {f"rank scores/{folder_name(name, '--scorer')}" for name in scorers}
    return {item["id"]: item["reason"] for item in read_set_aside(out) if item["stage"] in folders}


def ranked(
    row: Row, clip: str, scorers: Sequence[str], scores: dict[tuple[str, str, str], float], gone: dict[str, str]
) -> Ranked:
    found = Ranked(row)
    own = {name: scores[name, clip, row.caption] for name in scorers if (name, clip, row.caption) in scores}
    if len(own) < len(scorers):
        row.reason = row.reason or gone.get(clip, "no score")
        return found
    found.scores, found.score = own, sum(own.values()) / len(own)
    other = [scores.get((name, clip, row.negative)) for name in scorers]
    if row.negative and None not in other:
        against = sum(value for value in other if value is not None) / len(other)
        found.weight = round(float(criterion("difference")([found.score], [against])[0]), 7)
    return found


def in_order(rows: list[Ranked]) -> list[Ranked]:
    """Best first; rows of equal scores in the table's order."""
    rows = sorted(rows, key=lambda one: -1.0 if one.score is None else one.score, reverse=True)
    before: Ranked | None = None
    for place, one in enumerate(rows, 1):
        if one.score is not None:
            one.rank = before.rank if before is not None and before.score == one.score else place
            before = one
    return rows


# ---- what is written


def write_table(rows: Sequence[Ranked], scorers: Sequence[str], path: Path, kept: bool = False) -> None:
    """Our columns, then the table's; one of the table's with the name of one of ours goes by name_before. `kept`:
    whether somebody asked for something that a clip may not pass."""
    some = {"weight": any(one.row.negative for one in rows), "kept": kept}
    some["reason"] = any(one.row.reason for one in rows)
    ours = [name for name in ("rank", "score", "weight", *scorers, "kept", "reason") if some.get(name, True)]
    theirs = list(dict.fromkeys(name for one in rows for name in one.row.fields))
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow([*ours, *(f"{name}_before" if name in ours else name for name in theirs)])
    for one in rows:
        known = {"rank": one.rank, "score": shown(one.score), "weight": shown(one.weight), "reason": one.row.reason}
        known |= {"kept": int(one.kept), **{name: shown(one.scores.get(name)) for name in scorers}}
        left = [one.row.fields.get(name) for name in theirs]
        out.writerow(["" if value is None else value for value in (*(known[name] for name in ours), *left)])
    write_atomic(path, text.getvalue())


def shown(value: float | None) -> str:
    """With all digits that a score has."""
    return "" if value is None else f"{value:.7f}"


def fill_kept(rows: Sequence[Ranked], out: Path, source: Path, copies: bool) -> int:
    """Links (or copies) of the clips that are kept, in order, in place of an earlier call's; no folder where none is.
    Returns how many."""
    for name in read_json(out / OURS, ["kept"])["kept"]:
        (out / "kept" / Path(name).name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it is not there, or somebody has put a file of his own there
        (out / "kept").rmdir()
    chosen = [one for one in rows if one.kept]
    names = [f"{place:05d}-{Path(one.row.file).name}" for place, one in enumerate(chosen, 1)]
    write_marker(out, source, names)
    if chosen:
        (out / "kept").mkdir(exist_ok=True)
    for name, one in zip(names, chosen, strict=True):
        if copies:
            shutil.copy2(one.row.file, out / "kept" / name)
        else:
            (out / "kept" / name).symlink_to(one.row.file)
    return len(chosen)
