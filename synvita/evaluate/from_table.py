"""An arm whose scores are read from a table instead of asked: a scorer's (`synvita rank`), or of anybody's own model.

    models/<model>/pairs/<arm>/<seed>/<task>.jsonl    the pairs of each task that the table has a pair of
    models/<model>/pairs/<arm>/<seed>/stamp.json      which table and column, and the digest of what was read

A pair is a video and a caption. One that the table lacks stays without a score and is counted, as for any arm.
"""

from __future__ import annotations

import functools
import json
import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synvita.core.names import check_name
from synvita.core.provenance import file_digest
from synvita.core.reading import read_json
from synvita.core.run_folder import again, only_one, remove
from synvita.core.store import write_atomic, write_records
from synvita.core.tables import Row, cell, need_columns, read_table
from synvita.evaluate.pairs import SCORED, Rows, read_rows
from synvita.evaluate.tasks import tasks

KNOB, SCORE = "--scores", "score"
BOUND = 745.0  # log-odds of a score of 1, minus those of 0: beyond any other number's (2^-1074 has -744.4)
Pair = tuple[str, str]  # (the video's file, absolute; the caption)


@dataclass(frozen=True)
class ScoreTable:
    """A table of scores, and the arm that is made of it.

    column: where its scores are: the one that is called as the arm, else `score`. files: the folder that its files are
    relative to. digest: of the table as it was read.
    """

    path: Path
    arm: str
    column: str
    files: Path
    digest: str
    rows: list[Row] = field(repr=False)

    @classmethod
    def read(cls, path: Path, arm: str | None, files: Path) -> ScoreTable:
        """`arm`: default: the table's name. ValueError: a name that is no folder's; a column that is missing."""
        columns, rows = read_table(path, KNOB)
        name = check_name("--as", path.stem if arm is None else arm)
        column = name if name in columns else SCORE
        need_columns(path, columns, ("file", "caption", column), KNOB)
        return cls(path, name, column, files, file_digest(path), rows)

    @property
    def identity(self) -> dict[str, str]:
        return {"table": self.path.resolve().as_posix(), "column": self.column}

    def scores(self) -> dict[Pair, dict[str, Any]]:
        """Pair -> {"log_odds"}; a null and the reason, where the table has the pair and no score for it.

        ValueError: a row that cannot be read, no number in [0, 1], a pair with two scores: by file:line.
        """
        found: dict[Pair, dict[str, Any]] = {}
        first: dict[Pair, str] = {}
        absolute = resolver(self.files)
        for row in self.rows:
            try:
                if row.problem:
                    raise ValueError(row.problem)
                pair = (absolute(cell(row.fields, "file")), cell(row.fields, "caption"))
                score = score_of(row, self.column)
                if found.setdefault(pair, score) != score:
                    raise ValueError(f"{self.column}: another one than in {first[pair]}, of the same file and caption")
                first.setdefault(pair, row.where)
            except ValueError as error:
                raise ValueError(f"{KNOB}: {row.where}: {error}") from None
        return found


def resolver(folder: Path) -> Callable[[str], str]:
    """File, relative to a folder or absolute -> the one way to write it; each is looked up on the disk once."""
    return functools.cache(lambda file: (folder / file).resolve().as_posix())


def score_of(row: Row, column: str) -> dict[str, Any]:
    """What a pair file says of a row's pair."""
    value = row.fields.get(column)
    if value is None or value == "":
        return {"log_odds": None, "reason": str(row.fields.get("reason") or f"{row.where}: {column} is empty")}
    try:
        score = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        score = math.nan
    if not 0 <= score <= 1:
        raise ValueError(f"{column}: {value!r} is no score in [0, 1]; leave it empty where there is none")
    return {"log_odds": log_odds(score)}


def log_odds(score: float) -> float:
    """ln(p / (1 - p)) in full precision, so that no two scores become a tie; finite for 0 and 1, too."""
    if score in (0, 1):
        return BOUND if score else -BOUND
    return math.log(score) - math.log1p(-score)


@dataclass(frozen=True)
class Taken:
    """What an arm got. `pairs`: task -> how many it has; `lacking`: pairs without a score, with the reason; `unused`:
    pairs of the table that no task has."""

    table: ScoreTable
    pairs: dict[str, int]
    lacking: Rows
    unused: int

    @property
    def text(self) -> str:
        every = sum(self.pairs.values())
        got = f"{every - len(self.lacking)} of {every} pairs of {', '.join(self.pairs)} have a score"
        more = f"; {self.unused} other pairs of the table are of no task" if self.unused else ""
        return f"{self.table.arm}: column {self.table.column} of {self.table.path}: {got}{more}"

    @property
    def gaps(self) -> str:
        """Empty where every pair has a score."""
        if not self.lacking:
            return ""
        first, number = self.lacking[0], len(self.lacking)
        where = f"the first is {first['caption']!r} of {first['video']}: {first['reason']}"
        return f"{self.table.arm}: {number} pairs have no score and are left out of the figures; {where}"


def read_arm(run: Path, home: str, seed: int, table: ScoreTable) -> Taken:
    """Write the pair files of an arm, in place of what an earlier call read from the same table.

    Args:
        home: the base model's folder, like `models/NAME`.
    Raises:
        ValueError: a row that is no score, by file:line; no row is a pair of the run; the arm is another one's.
    """
    folder, scores = f"{home}/pairs/{table.arm}/{seed}", table.scores()
    check_free(run / folder, table)
    lacks = {"log_odds": None, "reason": f"{table.path.name} has no such pair"}
    files: dict[str, Rows] = {}
    used: set[Pair] = set()
    absolute = resolver(run)
    for task, rows in tasks(run).items():
        keys = [(absolute(row["video"]), row["caption"]) for row in rows]
        if not scores.keys().isdisjoint(keys):
            files[task] = [row | scores.get(key, lacks) for row, key in zip(rows, keys, strict=True)]
            used |= scores.keys() & set(keys)
    if not files:
        example = f" (first: {next(iter(scores))[1]!r} of {next(iter(scores))[0]})" if scores else ""
        text = f"none of its {len(scores)} pairs is one of the run's tasks{example}"
        raise ValueError(f"{KNOB}: {table.path}: {text}; these are: {again('tasks', run)} --out pairs.csv")
    with only_one(run, folder):
        remove(run / folder, run)
        for task, rows in files.items():
            write_records(run / folder / f"{task}.jsonl", rows)
        stamp = {"arm": table.arm, "seed": seed, "scores": {**table.identity, "digest": table.digest}}
        write_atomic(run / folder / "stamp.json", json.dumps(stamp, indent=1, ensure_ascii=False) + "\n")
    lacking = [row for rows in files.values() for row in rows if "reason" in row]
    return Taken(table, {task: len(rows) for task, rows in files.items()}, lacking, len(scores) - len(used))


def check_free(folder: Path, table: ScoreTable) -> None:
    """ValueError: the arm's folder holds what a model answered, or what another table says."""
    path = folder / "stamp.json"
    if not path.exists():
        return
    there = read_json(path).get("scores")
    if not isinstance(there, dict):
        raise ValueError(f"--as: {table.arm!r} is an arm that was asked ({folder}); give another name")
    if {key: there.get(key) for key in table.identity} != table.identity:
        of = f"column {there.get('column')} of {there.get('table')}"
        raise ValueError(f"--as: {table.arm!r} was read from {of}; give another name, or remove {folder}")


# ---- arms that were read


def arms_from_tables(home: Path, seed: int) -> dict[str, dict[str, str]]:
    """Arm -> {table, column, digest}, of those of a base model's folder."""
    found = {}
    for path in sorted(home.glob(f"pairs/*/{seed}/stamp.json")):
        scores = read_json(path).get("scores")
        if isinstance(scores, dict):
            found[path.parent.parent.name] = {key: str(scores.get(key)) for key in ("table", "column", "digest")}
    return found


def check_tables(run: Path, home: str, seed: int, arms: Sequence[str], only: Sequence[str] | None) -> list[str]:
    """Of some arms that were read: a note for each table that has changed since.

    Raises:
        ValueError: its pairs are no longer those of the task, so arms would be measured on different ones.
    """
    known, notes = arms_from_tables(run / home, seed), []
    now = tasks(run, only) if known.keys() & set(arms) else {}
    for arm in (arm for arm in arms if arm in known):
        table = Path(known[arm]["table"])
        once_more = f"once more: {again('evaluate', run)} {KNOB} {shlex.quote(str(table))} --as {arm}"
        for path in sorted((run / home / "pairs" / arm / str(seed)).glob("*.jsonl")):
            rows = read_rows(path, SCORED) if only is None or path.stem in only else []
            pairs = [{key: row[key] for key in row if key not in ("log_odds", "reason")} for row in rows]
            if pairs and pairs != now.get(path.stem):
                raise ValueError(f"--run: {path}: its task has changed since {table} was read; {once_more}")
        if table.is_file() and file_digest(table) != known[arm]["digest"]:
            notes.append(f"{table} has changed since {arm!r} was read from it; {once_more}")
    return notes
