"""Records <-> JSONL: one writer, fsync, a torn last line dropped on resume; errors say file:line.

Stages meet in these files, so a kill at any moment loses at most the item in flight.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from synvita.core.reading import parse_json

T = TypeVar("T")


def write_atomic(path: Path, data: bytes | str) -> None:
    """The whole file or none of it: temporary file beside it, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as out:
            out.write(data.encode("utf-8") if isinstance(data, str) else data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def as_line(record: Any) -> str:
    """One JSON line; keys keep the record's order, so equal records give equal bytes."""
    return ENCODER.encode(vars(record) if dataclasses.is_dataclass(record) else record) + "\n"


def write_records(path: Path, records: Iterable[Any]) -> None:
    write_atomic(path, "".join(as_line(record) for record in records))


def parse_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line; a last line without its newline is a write that a kill cut: dropped.

    For files that this program appends to; `core.reading` is for those that people write.

    Raises:
        ValueError: by file:line: not UTF-8, not JSON, not an object, a key twice.
    """
    data = path.read_bytes()
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            fields = parse_json(line.decode("utf-8"), where)
        except UnicodeDecodeError as error:
            raise ValueError(f"{where}: byte 0x{line[error.start]:02x} is not UTF-8; mend or remove the line") from None
        if not isinstance(fields, dict):
            raise ValueError(f"{where}: expected an object, got {type(fields).__name__}")
        yield number, fields


@functools.cache
def keys_of(kind: type) -> tuple[frozenset[str], frozenset[str]]:
    """(all keys of a record, those without a default)."""
    unset, fields = dataclasses.MISSING, dataclasses.fields(kind)
    needed = [f.name for f in fields if f.default is unset and f.default_factory is unset]
    return frozenset(names_in_order(kind)), frozenset(needed)


def names_in_order(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def make_record(kind: type[T], fields: dict[str, Any], where: str) -> T:
    """`kind(**fields)` with errors that say where; unknown and missing keys are named."""
    names, needed = keys_of(kind)  # type: ignore[arg-type]
    if unknown := fields.keys() - names:
        known = ", ".join(sorted(names))
        raise ValueError(f"{where}: unknown key {min(unknown)!r} of a {kind.__name__}; known: {known}")
    if not needed <= fields.keys():
        lacking = next(name for name in names_in_order(kind) if name in needed and name not in fields)
        raise ValueError(f"{where}: a {kind.__name__} needs the key {lacking!r}; mend or remove the line")
    try:
        return kind(**fields)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from None


@contextlib.contextmanager
def no_collecting() -> Iterator[None]:
    """Python looks for cycles again and again while hundreds of thousands of records are made, and there are none: a
    fifth of the time."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def read_records(path: Path, kind: type[T], key: Sequence[str] = ()) -> list[T]:
    """All records of a file, in order.

    Args:
        key: names of the fields that no two records may share: a line that is there twice would count double.
    Raises:
        FileNotFoundError: no such file; ValueError: a bad line, as file:line, key, value.
    """
    records: list[T] = []
    first: dict[Any, int] = {}
    with no_collecting():
        for number, fields in parse_lines(path):
            record = make_record(kind, fields, f"{path}:{number}")
            if key:
                values = tuple(_hashable(getattr(record, name)) for name in key)
                if first.setdefault(values, number) != number:
                    same = ", ".join(f"{name} {getattr(record, name)!r}" for name in key)
                    raise ValueError(f"{path}:{number}: {same}: already in line {first[values]}; remove one of the two")
            records.append(record)
    return records


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


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

    def flush(self) -> None:
        """Out of this process, so that its death loses nothing; `sync` is for the machine's."""
        self._file.flush()

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
