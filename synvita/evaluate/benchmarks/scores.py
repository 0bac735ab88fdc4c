"""Everybody's score files: VideoCon's (5 columns), SynViTA's (3), this program's, with a header or without.

Without a header the columns are path, caption (or the whole prompt), score; two more are VideoCon's and mean nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.reading import read_text
from synvita.core.tables import csv_lines, read_table
from synvita.evaluate.benchmarks.names import ById, bare_caption
from synvita.evaluate.benchmarks.table import Entry
from synvita.evaluate.from_table import log_odds
from synvita.evaluate.pairs import Rows

KNOB = "--scores"
VIDEO = ("videopath", "video", "file", "video_path", "path", "video_name")
CAPTION = ("caption", "text", "prompt", "question")
SCORE = ("score", "entailment", "entailment_score")
LOG_ODDS = "log_odds"


@dataclass(frozen=True)
class ScoreRow:
    """value: None where there is no number, and `reason` says so."""

    where: str
    video: str
    caption: str
    value: float | None
    reason: str = ""


@dataclass(frozen=True)
class ScoreFile:
    """form: how the file was understood. probabilities: all values lie in [0, 1], so 0.5 stands between yes and no."""

    path: Path
    rows: list[ScoreRow]
    form: str
    probabilities: bool
    decided: bool

    def margin(self, value: float) -> float:
        """Log-odds, above 0 for yes, in the order of the scores and with their ties."""
        return log_odds(value) if self.probabilities else value


def read_scores(path: Path, column: str | None = None) -> ScoreFile:
    """A file of scores.

    Args:
        column: of the scores, in a file with a header (default: score, or log_odds).
    Raises:
        FileNotFoundError; ValueError: columns that cannot be told, a row that cannot be read, by file:line.
    """
    if path.suffix.lower() == ".csv" and path.is_file():
        table, form = _read_csv(path)
    else:
        columns, rows = read_table(path, KNOB)
        for row in rows:
            if row.problem:
                raise ValueError(f"{KNOB}: {row.where}: {row.problem}")
        table, form = [(row.where, row.fields) for row in rows], f"{path.suffix[1:].upper()} with {', '.join(columns)}"
    columns = list(table[0][1]) if table else []
    video, caption = _column(path, columns, VIDEO, "a video"), _column(path, columns, CAPTION, "a caption")
    score = _column(path, columns, (column,) if column else (*SCORE, LOG_ODDS), "a score")
    rows_read = []
    for where, fields in table:
        value, reason = _number(fields.get(score), score)
        rows_read.append(
            ScoreRow(where, str(fields[video] or ""), bare_caption(str(fields[caption] or "")), value, reason)
        )
    values = [row.value for row in rows_read if row.value is not None]
    if not values:
        raise ValueError(f"{KNOB}: {path}: no score in it; give a table of path, caption, score")
    probabilities = score != LOG_ODDS and all(0 <= value <= 1 for value in values)
    return ScoreFile(path, rows_read, form, probabilities, probabilities or score == LOG_ODDS)


def _read_csv(path: Path) -> tuple[list[tuple[str, dict[str, Any]]], str]:
    lines = []
    for where, cells, problem in csv_lines(path, read_text(path)):
        if problem:
            raise ValueError(f"{KNOB}: {where}: {problem}")
        lines.append((where, cells))
    if not lines:
        raise ValueError(f"{KNOB}: {path}: empty; give a table of path, caption, score")
    width = len(lines[0][1])
    first = [cell.strip() for cell in lines[0][1]]
    if width < 3:
        raise ValueError(f"{KNOB}: {lines[0][0]}: {width} columns; a score file has path, caption, score")
    names, told = ["videopath", "caption", "score"], f"{width} columns without a header"
    begin = 0
    if set(first) & set(VIDEO) and set(first) & set(CAPTION):
        names, told, begin = first, f"header {', '.join(first)}", 1
    elif _is_header(first):
        if width not in (3, 5):
            text = f"the header {', '.join(first)} names no video and caption, and {width} columns are nobody's form"
            raise ValueError(f"{KNOB}: {lines[0][0]}: {text}; name them videopath, caption, score")
        told, begin = f"{width} columns under a header that names none ({', '.join(first)})", 1
    elif width not in (3, 5):
        raise ValueError(f"{KNOB}: {lines[0][0]}: {width} columns without a header; VideoCon's have 5, SynViTA's 3")
    for where, cells in lines:
        if len(cells) != width:
            raise ValueError(f"{KNOB}: {where}: {len(cells)} fields where the first row has {width}")
    if begin == 1 and names is first and len(set(first)) < len(first):
        raise ValueError(f"{KNOB}: {lines[0][0]}: a column's name is there twice ({', '.join(first)})")
    return [(where, dict(zip(names, cells, strict=False))) for where, cells in lines[begin:]], told


def _is_header(cells: Sequence[str]) -> bool:
    """A first line without a score: words, or the numbers by which pandas names columns."""
    return list(cells) == [str(number) for number in range(len(cells))] or _number(cells[2], "")[1].startswith("not a")


def _number(value: Any, column: str) -> tuple[float | None, str]:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None, f"{column} is empty"
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None, f"not a number: {column} is {value!r}"
    return (number, "") if math.isfinite(number) else (None, f"{column} is {value}")


def _column(path: Path, columns: Sequence[str], names: Sequence[str], what: str) -> str:
    found = next((name for name in names if name in columns), None)
    if found is None:
        raise ValueError(f"{KNOB}: {path}: no column for {what} ({', '.join(names)}), it has {', '.join(columns)}")
    return found


@dataclass(frozen=True)
class Joined:
    """A benchmark's pairs with their scores. missing: "file:line: caption of video: reason"; unused: lines of scores
    that are of no pair."""

    rows: Rows
    missing: list[str]
    unused: list[str]


def join(entries: Sequence[Entry], scores: ScoreFile, others: Sequence[Entry] = ()) -> Joined:
    """Put scores to pairs, by video id and bare caption.

    Args:
        others: pairs of the same files that do not count here; scores for them are no stray ones.
    Raises:
        ValueError: a pair with two different scores, by both lines; a path that fits several videos; no score at all
            for a pair (scores for other videos).
    """
    videos = ById(entry.row["video"] for entry in (*entries, *others))
    wanted = {entry.pair for entry in (*entries, *others)}
    found: dict[tuple[str, str], ScoreRow] = {}
    unused = []
    for row in scores.rows:
        fits = videos.find(row.video)
        if len(fits) > 1:
            text = f"{row.video!r} may be {' or '.join(fits[:3])}; write more of the path"
            raise ValueError(f"{KNOB}: {row.where}: {text}")
        pair = (fits[0] if fits else "", row.caption)
        if pair not in wanted:
            unused.append(f"{row.where}: {row.caption!r} of {row.video}")
            continue
        there = found.setdefault(pair, row)
        if there.value != row.value:
            raise ValueError(
                f"{KNOB}: {row.where}: {row.value} here, {there.value} in {there.where}, of the same video and caption"
            )
    if found.keys().isdisjoint({entry.pair for entry in entries}):
        raise ValueError(f"{KNOB}: {scores.path}: scores for other videos or captions; the first is {unused[0]}")
    rows, missing = [], []
    for entry in entries:
        score = found.get(entry.pair)
        value = None if score is None else score.value
        if score is None or value is None:
            reason = f"{scores.path.name} has no score for it" if score is None else f"{score.where}: {score.reason}"
            missing.append(f"{entry.where}: {entry.row['caption']!r} of {entry.row['video']}: {reason}")
        rows.append(entry.row | {"log_odds": None if value is None else scores.margin(value)})
    return Joined(rows, missing, unused)
