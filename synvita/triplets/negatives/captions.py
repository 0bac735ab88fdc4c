"""The captions that negatives are asked for: a table of videos and captions, as records of the run folder."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from synvita.core.records import SPLITS, Misalignment, require_text
from synvita.core.tables import Row, cell, need_columns, read_table
from synvita.triplets.tables import video_finder

NEEDED = ("video", "caption")
KNOB = "triplets negatives"


@dataclass(frozen=True)
class Caption:
    """A true caption of a video, and the types of negatives that are wanted of it."""

    id: str
    video: str
    caption: str
    split: str
    types: list[str]

    def __post_init__(self) -> None:
        for name in ("id", "video", "caption"):
            require_text(name, getattr(self, name))
        if self.split not in SPLITS:
            raise ValueError(f"split: unknown split {self.split!r}; known: {', '.join(SPLITS)}")
        known = [str(kind) for kind in Misalignment]
        if not isinstance(self.types, list) or not self.types or any(kind not in known for kind in self.types):
            raise ValueError(f"types: {reprlib.repr(self.types)} are no types; known: {', '.join(known)}")


def read_captions(
    table: Path, videos: Path | None = None, types: Sequence[str] = tuple(Misalignment)
) -> tuple[list[Caption], dict[str, str]]:
    """A table with the columns video, caption and, if they are there, id and split.

    Without an id a row gets "<stem>:<row number>", without a split it is in "train". Videos are found as by `import`.
    Returns the captions in the table's order, and the reasons of the rows that cannot be used, by file:line.

    Raises:
        ValueError: what is wrong with the table itself; no row that can be used.
    """
    columns, rows = read_table(table, KNOB, (*NEEDED, "id", "split"))
    need_columns(table, columns, NEEDED, KNOB)
    find = video_finder(table.parent, videos)
    captions: list[Caption] = []
    first: dict[tuple[str, ...], str] = {}
    aside: dict[str, str] = {}
    for row in rows:
        try:
            one = caption_of(row, f"{table.stem}:{row.number}", video_of(row, find), types)
            for key, what in (((one.id,), "id"), ((one.video, one.caption), "video and caption")):
                if first.setdefault(key, row.where) != row.where:
                    raise ValueError(f"{what}: the same as at {first[key]}")
        except ValueError as error:
            aside[row.where] = str(error)
        else:
            captions.append(one)
    if not captions:
        where, reason = next(iter(aside.items()), (str(table), "no rows"))
        raise ValueError(f"{KNOB}: {table}: no usable row; the first: {where}: {reason}")
    return captions, aside


def video_of(row: Row, find: Callable[[str], str]) -> str:
    if row.problem:
        raise ValueError(row.problem)
    written = cell(row.fields, "video")
    try:
        return find(written)
    except ValueError as error:
        raise ValueError(f"video: {error}") from None


def caption_of(row: Row, name: str, video: str, types: Sequence[str]) -> Caption:
    given, split = row.fields.get("id"), row.fields.get("split")
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)  # JSONL and Parquet often number their rows
    name = name if given in (None, "") else cell({"id": given}, "id")
    split = "train" if split in (None, "") else cell(row.fields, "split").strip().lower()
    return Caption(name, video, cell(row.fields, "caption"), split, [str(kind) for kind in types])
