"""Tables that somebody else wrote (CSV, JSONL, Parquet): each row as read, or what is wrong with it, by file:line."""

from __future__ import annotations

import csv
import io
import json
import reprlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.reading import read_text

CSV_FIELD = 1 << 24  # letters in one field; Python's own limit is 131,072, and a caption file may hold whole prompts


@dataclass(frozen=True)
class Row:
    """One row as read: its fields, or the problem that kept it from being read. `number` counts rows from 1.

    `where`: "file:line" of its first line, for Parquet "file:row N".
    """

    where: str
    number: int
    fields: dict[str, Any]
    problem: str = ""


Table = tuple[list[str], list[Row]]  # columns, rows


def read_table(path: Path, knob: str = "", used: Sequence[str] = ()) -> Table:
    """A table somebody else wrote: CSV, JSONL or Parquet, by its suffix. A bad row is kept with its problem.

    Args:
        knob: stands before errors, as the user typed it. used: columns worth reading (Parquet reads no others).
    Raises:
        FileNotFoundError: no such table. ValueError: an unknown suffix, or a file that cannot be decoded.
    """
    before = f"{knob}: " if knob else ""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{before}{path}: unknown suffix {path.suffix!r}; known: {', '.join(READERS)}")
    if not path.exists():
        raise FileNotFoundError(2, "no such file", f"{before}{path}")
    if not path.is_file():
        raise ValueError(f"{before}{path}: not a file; give a table")
    try:
        return reader(path, used)
    except ValueError as error:
        raise ValueError(f"{before}{error}") from None


def need_columns(path: Path, columns: Sequence[str], wanted: Sequence[str], knob: str) -> None:
    """ValueError: a column that is missing or there twice."""
    missing = [name for name in wanted if name not in columns]
    if missing:
        names = " and ".join(wanted)
        raise ValueError(f"{knob}: {path}: needs the columns {names}, has {', '.join(columns) or 'none'}")
    twice = [name for name in wanted if list(columns).count(name) > 1]
    if twice:
        raise ValueError(f"{knob}: {path}: the column {twice[0]!r} is there twice; keep one")


def cell(fields: dict[str, Any], column: str) -> str:
    """A cell's text, which can be written as UTF-8 again.

    Raises:
        ValueError: empty, not text (a JSON null or number), or with a NUL or half a surrogate pair; names the column.
    """
    value = fields.get(column)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{column}: empty or not text ({reprlib.repr(value)})")
    if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError(f"{column}: holds a NUL or half a surrogate pair ({value[:60]!r}); remove it")
    return value


def _read_csv(path: Path, used: Sequence[str]) -> Table:
    lines = csv_lines(path, read_text(path))
    where, header, problem = next(lines, ("", [], ""))
    if problem:
        raise ValueError(f"{where}: the header: {problem}")
    columns = [name.strip() for name in header]
    rows = []
    for number, (where, cells, problem) in enumerate(lines, 1):
        if not problem and len(cells) != len(columns):
            problem = f"{len(cells)} fields where the header has {len(columns)}; quote fields that hold commas"
        rows.append(Row(where, number, {} if problem else dict(zip(columns, cells, strict=True)), problem))
    return columns, rows


def csv_lines(path: Path, text: str) -> Iterator[tuple[str, list[str], str]]:
    """(file:line of the row's first line, its cells, problem); empty lines are passed over.

    Strict, since a lenient reader takes a quote that is never closed for one long caption. The reader
    starts afresh after an error, so the lines after the broken row are still read.
    """
    csv.field_size_limit(CSV_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        first = reader.line_num + 1
        cells, problem = [], ""
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"not CSV ({error}), read up to line {reader.line_num}; look for a quote that is not closed"
        if cells or problem:
            yield f"{path}:{first}", cells, problem


def _read_jsonl(path: Path, used: Sequence[str]) -> Table:
    rows: list[Row] = []
    for line_number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        fields, problem = {}, ""
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            problem = f"not JSON ({error})"
        if not isinstance(fields, dict):
            fields, problem = {}, f"expected an object, got {type(fields).__name__}"
        rows.append(Row(f"{path}:{line_number}", len(rows) + 1, fields, problem))
    return list(dict.fromkeys(name for row in rows for name in row.fields)), rows


def _read_parquet(path: Path, used: Sequence[str]) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            columns = list(file.schema_arrow.names)
            wanted = [name for name in columns if not used or name in used]
            records = file.read(columns=wanted).to_pylist() if len(set(wanted)) == len(wanted) else []
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ValueError(f"{path}: not a readable Parquet file ({reason}); write it again") from None
    return columns, [Row(f"{path}:row {number}", number, fields) for number, fields in enumerate(records, 1)]


READERS: dict[str, Callable[[Path, Sequence[str]], Table]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
