"""A benchmark's pairs as they were read from its files, and the checks that hold for every benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synvita.core.tables import Row, cell, need_columns, read_table
from synvita.evaluate.benchmarks.names import bare_caption

KNOB = "--data"
LABELS = {"1": 1, "1.0": 1, "true": 1, "yes": 1, "0": 0, "0.0": 0, "false": 0, "no": 0}


@dataclass(frozen=True)
class Entry:
    """A pair as pair files have it (video as the table writes it), and where it stands."""

    row: dict[str, Any]
    where: str

    @property
    def pair(self) -> tuple[str, str]:
        return self.row["video"], self.row["caption"]


@dataclass
class Loaded:
    """What the files of a benchmark hold.

    form: how the pairs are written there. excluded: what the authors' script leaves out, with the reason; it is no
    hole. beside: pairs of the same files that do not count (excluded, or another split's), which may have scores.
    notes: what a reader should know. rows: of one's own table, good or bad.
    """

    entries: list[Entry]
    files: list[Path]
    form: str = ""
    excluded: list[str] = field(default_factory=list)
    beside: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: int = 0

    def by_query(self) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.row["query"], []).append(entry)
        return found


def find_file(data: Path, names: Sequence[str], knob: str = KNOB) -> Path:
    """The benchmark's file in the folder, or the only one of that name below it.

    Raises:
        FileNotFoundError: no such folder. ValueError: none, or several.
    """
    if not data.exists():
        raise FileNotFoundError(2, "no such folder", f"{knob}: {data}")
    if not data.is_dir():
        raise ValueError(f"{knob}: {data} is a file; give the folder that holds {' or '.join(names)}")
    for name in names:
        if (data / name).is_file():
            return data / name
    below = [path for name in names for path in sorted(data.rglob(name)) if path.is_file()]
    if not below:
        raise ValueError(f"{knob}: {data} holds no {' or '.join(names)}; see: synvita benchmarks")
    if len(below) > 1:
        raise ValueError(f"{knob}: {data} holds several ({', '.join(map(str, below[:3]))}); give the folder of one")
    return below[0]


def rows_of(path: Path, columns: Sequence[str], knob: str = KNOB) -> Iterator[Row]:
    """The rows of a table that has these columns.

    Raises:
        ValueError: a missing column; a row that cannot be read, by file:line.
    """
    there, rows = read_table(path, knob)
    need_columns(path, there, columns, knob)
    for row in rows:
        if row.problem:
            raise ValueError(f"{knob}: {row.where}: {row.problem}")
        yield row


def text(row: Row, column: str, knob: str = KNOB) -> str:
    """A cell's text. ValueError: empty or no text, by file:line."""
    value = row.fields.get(column)
    try:
        return cell({column: str(value) if isinstance(value, (int, float)) else value}, column)
    except ValueError as error:
        raise ValueError(f"{knob}: {row.where}: {error}") from None


def caption(row: Row, column: str = "caption", knob: str = KNOB) -> str:
    """A cell's caption without a prompt. ValueError: none, by file:line."""
    bare = bare_caption(text(row, column, knob))
    if not bare:
        raise ValueError(f"{knob}: {row.where}: {column}: a prompt without a caption")
    return bare


def label(row: Row, column: str, knob: str = KNOB) -> int:
    """1 or 0. ValueError: anything else, by file:line."""
    value = row.fields.get(column)
    found = LABELS.get(str(value).strip().lower())
    if found is None:
        raise ValueError(f"{knob}: {row.where}: {column}: {value!r} is neither 1 nor 0 (true, false, yes, no)")
    return found


def pair_of(video: str, caption: str, label: int, query: str, **more: Any) -> dict[str, Any]:
    return {"video": video, "caption": caption, "label": label, "query": query, **more}


def once(entries: list[Entry], knob: str = KNOB) -> tuple[list[Entry], int]:
    """Pairs that are written several times, once; and how many were repeats.

    Raises:
        ValueError: a pair with two labels, by both lines.
    """
    first: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        key = (*entry.pair, entry.row["query"], str(entry.row.get("option", "")))
        there = first.setdefault(key, entry)
        if there.row["label"] != entry.row["label"]:
            both = f"label {entry.row['label']} here, {there.row['label']} in {there.where}"
            raise ValueError(f"{knob}: {entry.where}: the same video and caption have {both}; keep one")
    return list(first.values()), len(entries) - len(first)


def check_answerable(loaded: Loaded, kind: str, knob: str = KNOB) -> None:
    """ValueError: labels of which no figure can be made: one class only, or a query of which nothing is right."""
    if not loaded.entries:
        raise ValueError(f"{knob}: {loaded.files[0]}: no pairs")
    if kind == "entailment":
        right = sum(entry.row["label"] for entry in loaded.entries)
        if right in (0, len(loaded.entries)):
            which = "right" if right else "wrong"
            raise ValueError(f"{knob}: {loaded.files[0]}: every caption is {which}; ROC-AUC needs both classes")
        return
    for some in loaded.by_query().values():
        labels = [entry.row["label"] for entry in some]
        where, shown = some[0].where, some[0].row["caption"]
        if kind == "retrieval" and not any(labels):
            raise ValueError(f"{knob}: {where}: caption {shown!r} has no positive among its {len(some)} videos")
        if kind == "questions" and sum(labels) != 1:
            raise ValueError(
                f"{knob}: {where}: the question has {sum(labels)} right options of {len(some)}; it needs one"
            )
        if kind in ("strict", "accuracy") and sum(labels) in (0, len(labels)):
            text = "a group needs a right and a wrong caption"
            raise ValueError(f"{knob}: {where}: {sum(labels)} of {len(labels)} captions are right; {text}")
        if kind in ("counterfactual", "yes_no") and not _is_grid(some):
            text = "two captions by two videos, of which each caption fits one and each video one"
            raise ValueError(f"{knob}: {where}: its group of {len(some)} rows is not {text}")


def _is_grid(some: list[Entry]) -> bool:
    right = [entry.pair for entry in some if entry.row["label"]]
    if len(some) != 4 or len(right) != 2:
        return False
    (a, x), (b, y) = right
    return a != b and x != y and {entry.pair for entry in some} == {(v, c) for v in (a, b) for c in (x, y)}
