"""Records <-> JSONL: one writer, fsync, a torn last line dropped on resume; errors say file:line.

Stages meet in these files, so a kill at any moment loses at most the item in flight.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def write_atomic(path: Path, data: bytes | str) -> None:
    """The whole file or none of it: temporary file beside it, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as out:
            out.write(data.encode() if isinstance(data, str) else data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def as_line(record: Any) -> str:
    """One JSON line; keys keep the record's order, so equal records give equal bytes."""
    fields = dataclasses.asdict(record) if dataclasses.is_dataclass(record) and not isinstance(record, type) else record
    return json.dumps(fields, ensure_ascii=False, allow_nan=False) + "\n"


def write_records(path: Path, records: Iterable[Any]) -> None:
    write_atomic(path, "".join(as_line(record) for record in records))


def parse_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line; a last line without its newline is a write that a kill cut: dropped."""
    text = path.read_bytes().decode("utf-8", errors="strict")
    lines = text.split("\n")
    for number, line in enumerate(lines[:-1], 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: not JSON ({error.msg}); mend or remove the line") from None
        if not isinstance(fields, dict):
            raise ValueError(f"{path}:{number}: expected an object, got {type(fields).__name__}")
        yield number, fields


def make_record(kind: type[T], fields: dict[str, Any], where: str) -> T:
    """`kind(**fields)` with errors that say where; unknown and missing keys are named."""
    names = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(fields) - names)
    if unknown:
        raise ValueError(f"{where}: unknown key {unknown[0]!r} of a {kind.__name__}; known: {', '.join(sorted(names))}")
    try:
        return kind(**fields)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from None


def read_records(path: Path, kind: type[T]) -> list[T]:
    """All records of a file, in order.

    Raises:
        FileNotFoundError: no such file; ValueError: a bad line, as file:line, key, value.
    """
    return [make_record(kind, fields, f"{path}:{number}") for number, fields in parse_lines(path)]


def read_rows(table: Path, columns: Sequence[str], knob: str) -> list[tuple[str, dict[str, str]]]:
    """(file:line, row) of a CSV or JSONL; ValueError if it is not there or lacks one of the columns."""
    if not table.exists():
        raise ValueError(f"{knob}: {table}: no such file")
    if table.suffix == ".jsonl":
        rows = [(f"{table}:{n}", {k: str(v) for k, v in fields.items()}) for n, fields in parse_lines(table)]
    else:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [(f"{table}:{reader.line_num}", row) for row in reader]
    if rows and not set(columns) <= set(rows[0][1]):
        names = " and ".join(columns)
        raise ValueError(f"{knob}: {table}: needs the columns {names}, has {', '.join(rows[0][1])}")
    return rows


class Appender:
    """Append records to a JSONL file so that a kill leaves at most one torn last line, which the next run cuts off."""

    def __init__(self, path: Path, sync_every: int = 64):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            data = path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole != len(data):
                os.truncate(path, whole)
        self._file = path.open("ab")
        self._sync_every, self._unsynced = sync_every, 0

    def append(self, record: Any) -> None:
        self._file.write(as_line(record).encode())
        self._unsynced += 1
        if self._unsynced >= self._sync_every:
            self.sync()

    def sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._unsynced = 0

    def close(self) -> None:
        self.sync()
        self._file.close()

    def __enter__(self) -> Appender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
