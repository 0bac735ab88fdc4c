"""Pair files, each row checked: `benchmarks/<task>.jsonl`, and `pairs/<arm>/<seed>/<task>.jsonl` when asked.

People edit and replace these files, so a last line without its newline counts, and a bad row is named by file:line.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synvita.core.records import Misalignment
from synvita.core.tables import cell, read_table
from synvita.core.vocabulary import IN_DISTRIBUTION, OPEN, Task, find_task, tasks

KEY = ("video", "caption", "query")  # what makes a pair: no two rows of a file share it, but for options
ASKS = "asks"  # of a pair: what is asked instead of the question about its caption
OPTION = "option"  # number of a question's option, where two options of a question may have the same words
PAIR = (*KEY, "label")
SCORED = (*PAIR, "log_odds")
TEMPORAL = {Misalignment.ACTION, Misalignment.FLIP}
KINDS = ("misalignment", "unseen")  # of the entailment tasks: which figures a pair enters
Rows = list[dict[str, Any]]
Joined = tuple[dict[str, Any], dict[str, Any]]  # the same pair in two arms' files


def pair_key(row: dict[str, Any]) -> tuple[str, ...]:
    return (*(row[name] for name in KEY), str(row.get(OPTION, "")))


def check_pair(row: dict[str, Any], keys: Sequence[str]) -> None:
    """ValueError, without file and line: a key that is missing, or a value that no figure can be made of."""
    missing = [key for key in keys if key not in row]
    if missing:
        raise ValueError(f"no key {missing[0]!r}; a pair has {', '.join(keys)}")
    for name in KEY:
        cell(row, name)
    if ASKS in row:
        cell(row, ASKS)
    if type(row["label"]) is not int or row["label"] not in (0, 1):
        raise ValueError(f"label: {row['label']!r} is not the number 1 (the caption fits the video) or 0 (it does not)")
    if "log_odds" in keys and row["log_odds"] is not None:
        value = row["log_odds"]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
            raise ValueError(f"log_odds: {value!r} is not a finite number; a pair without a score has null")
    if "unseen" in keys and not isinstance(row["unseen"], bool):
        raise ValueError(f"unseen: {row['unseen']!r} is not true or false")
    if "misalignment" in keys and not isinstance(row["misalignment"], (str, type(None))):
        raise ValueError(f"misalignment: {row['misalignment']!r} is not text or null")


def read_rows(path: Path, keys: Sequence[str]) -> Rows:
    """All rows of a pair file, in order, each with these keys.

    Raises:
        FileNotFoundError; ValueError: a bad row, or the same pair twice (it would count double), as file:line.
    """
    rows: Rows = []
    first: dict[tuple[str, ...], str] = {}
    for row in read_table(path)[1]:
        try:
            if row.problem:
                raise ValueError(row.problem)
            check_pair(row.fields, keys)
        except ValueError as error:
            raise ValueError(f"{row.where}: {error}") from None
        earlier = first.setdefault(pair_key(row.fields), row.where)
        if earlier != row.where:
            raise ValueError(f"{row.where}: video, caption and query as in {earlier}; remove one of the two")
        rows.append(row.fields)
    return rows


def read_pairs(folder: Path, only: Sequence[str] | None = None) -> dict[str, Rows]:
    """Task (`only` these) -> the scored pairs of one arm and seed. Raises as `read_rows`."""
    return {
        path.stem: read_rows(path, (*SCORED, *KINDS) if split_of(path.stem) else SCORED)
        for path in sorted(folder.glob("*.jsonl"))
        if only is None or path.stem in only
    }


def join_pairs(task: str, rows: Rows, theirs: Rows, baseline: str) -> tuple[list[Joined], int]:
    """The pairs that both arms have scored, ours and theirs side by side, and how many only one of them has.

    Raises:
        ValueError: the two disagree about what is right.
    """
    other = {pair_key(row): row for row in theirs}
    joined = [(row, other[pair_key(row)]) for row in rows if pair_key(row) in other]
    for row, twin in joined:
        if row["label"] != twin["label"]:
            where = f"caption {row['caption']!r} of video {row['video']}"
            raise ValueError(f"{task}: {where}: one arm's label is {row['label']}, {baseline}'s {twin['label']}")
    both = [(row, twin) for row, twin in joined if None not in (row["log_odds"], twin["log_odds"])]
    return both, len(rows) + len(other) - len(joined) - len(both)


def split_of(task: str) -> str:
    """Of the triplets that a task is asked about; empty: it has a benchmark file."""
    known = find_task(task)
    return known.split if known else ""


def scored(rows: Rows) -> Rows:
    return [row for row in rows if row["log_odds"] is not None]


def subsets(pairs: dict[str, Rows]) -> dict[str, Rows]:
    """The house's entailment figures, each a set of pairs: per test set, unseen concepts, temporal, per misalignment
    type."""
    parts = {name: pairs[name] for name in (IN_DISTRIBUTION, OPEN) if pairs.get(name)}
    rows = parts.get(OPEN) or parts.get(IN_DISTRIBUTION, [])
    parts["unseen"] = [r for r in rows if r["unseen"]]
    parts["temporal"] = [r for r in rows if r["misalignment"] in TEMPORAL]
    for kind in Misalignment:
        parts[f"per_type.{kind}"] = [r for r in rows if r["misalignment"] == kind]
    return {name: rows for name, rows in parts.items() if rows}


def auc_sets(pairs: dict[str, Rows], own: Sequence[Task] = ()) -> dict[str, Rows]:
    """Every set of pairs that an AUC is of: `subsets`, and the entailment tasks with a file of their own."""
    alone = [task.name for task in (*tasks(), *own) if task.kind == "entailment" and not task.split]
    return subsets(pairs) | {name: pairs[name] for name in alone if name in pairs}


def put(into: dict[str, Any], dotted: str, value: Any) -> None:
    """Under a dotted name: `per_type.flip` -> into["per_type"]["flip"]."""
    *path, last = dotted.split(".")
    for key in path:
        into = into.setdefault(key, {})
    into[last] = value
