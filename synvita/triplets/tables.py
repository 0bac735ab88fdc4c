"""Tables of triplets made elsewhere: VideoCon's CSVs and one's own CSV, JSONL or Parquet.

Tables of this size are never clean, and one bad row must not cost a night: it is named by file:line,
set aside and counted, and the others go on. What is wrong with the table itself (its columns, its
encoding, nothing usable in it) ends the import.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.records import SPLITS, Misalignment, Triplet
from synvita.core.store import write_records
from synvita.core.tables import Row, cell, read_table

# Names as found in VideoCon's files and paper, in any case, with "_" or "-" for a space.
MISALIGNMENT_NAMES: dict[str, Misalignment] = {
    **{kind.value: kind for kind in Misalignment},
    **{kind.value + "s": kind for kind in Misalignment},
    "counting": Misalignment.COUNT,
    "spatial relation": Misalignment.RELATION,
    "spatial relations": Misalignment.RELATION,
    "event flip": Misalignment.FLIP,
    "event order": Misalignment.FLIP,
    "event order flip": Misalignment.FLIP,
}


@dataclass(frozen=True)
class BadRow:
    """A row that was set aside: where it starts ("file:line", for Parquet "file:row N") and why."""

    where: str
    reason: str


@dataclass(frozen=True)
class Imported:
    """What a table gave; `triplets` and `set_aside` both keep the table's order."""

    triplets: list[Triplet]
    set_aside: list[BadRow]


@dataclass(frozen=True)
class _Schema:
    """How a kind of table names what a triplet needs; `id` is None where the table has none to trust."""

    name: str
    video: str
    negative_caption: str
    id: str | None
    explanation: str

    @property
    def required(self) -> tuple[str, ...]:
        return (self.video, "caption", self.negative_caption)

    @property
    def used(self) -> tuple[str, ...]:
        optional = ("misalignment", "split", self.explanation)
        return (*self.required, *optional) if self.id is None else (self.id, *self.required, *optional)


SCHEMAS = (
    _Schema("own", video="video", negative_caption="negative_caption", id="id", explanation="explanation"),
    _Schema("VideoCon", video="videopath", negative_caption="neg_caption", id=None, explanation="nle"),
)


def read_triplets(path: Path, video_root: Path | None = None) -> Imported:
    """Read a table into checked triplets, so that every later stage may trust what it gets.

    Args:
        path: a .csv (UTF-8, with or without BOM), .jsonl or .parquet file in one of the two schemas: own
            (video, caption, negative_caption; optional id, misalignment, split, explanation) or VideoCon's
            (videopath, caption, neg_caption; optional misalignment, split, nle). Other columns are ignored. Without
            an id a row gets "<stem>:<row number>", without a split it is in "train".
        video_root: the folder that relative video paths start from and that no path may leave by its text
            (links in it are the owner's choice and are followed). Default: the table's folder; then
            absolute paths may point anywhere.
    Returns:
        the triplets, with absolute posix video paths, and the rows set aside.
    Raises:
        FileNotFoundError: no such table.
        ValueError: an unknown suffix, a file that cannot be decoded, unknown columns, or no usable row.
    """
    columns, rows = read_table(path, used=[name for schema in SCHEMAS for name in schema.used])
    broken = [BadRow(row.where, row.problem) for row in rows if row.problem]
    if not columns and len(broken) == len(rows):
        raise ValueError(_nothing_usable(path, broken))
    schema = _recognise(path, columns)
    imported = _import_rows(rows, schema, path.stem, video_finder(path.parent, video_root))
    if not imported.triplets:
        raise ValueError(_nothing_usable(path, imported.set_aside))
    return imported


def summary(imported: Imported) -> dict[str, Any]:
    """What came in, as counts: a typo in a split or a type shows here before it costs a training run."""
    triplets = imported.triplets
    splits = Counter(triplet.split for triplet in triplets)
    kinds = Counter(triplet.misalignment for triplet in triplets)
    both = Counter((triplet.split, triplet.misalignment) for triplet in triplets)
    return {
        "triplets": len(triplets),
        "videos": len({triplet.video for triplet in triplets}),
        "set_aside": len(imported.set_aside),
        "by_split": {split: splits[split] for split in SPLITS},
        "by_misalignment": {kind.value: kinds[kind] for kind in Misalignment},
        "by_split_and_misalignment": {
            split: {kind.value: both[split, kind] for kind in Misalignment} for split in SPLITS if splits[split]
        },
    }


def write_set_aside(path: Path, bad_rows: list[BadRow]) -> None:
    """The rows left out, as JSONL ({"where", "reason"}), to be mended and imported again."""
    write_records(path, [dataclasses.asdict(bad) for bad in bad_rows])


# --- files to rows ---


def _recognise(path: Path, columns: list[str]) -> _Schema:
    """The schema whose columns are all there; otherwise the error speaks of the one that comes closest."""
    missing = {schema: [name for name in schema.required if name not in columns] for schema in SCHEMAS}
    schema = min(SCHEMAS, key=lambda each: len(missing[each]))
    if missing[schema]:
        accepted = "; or ".join(f"{each.name}: {', '.join(each.required)}" for each in SCHEMAS)
        raise ValueError(
            f"{path}: missing columns: {', '.join(missing[schema])}; found: {', '.join(columns) or 'none'}; "
            f"accepted: {accepted}"
        )
    twice = [name for name in schema.used if columns.count(name) > 1]
    if twice:
        raise ValueError(f"{path}: column {twice[0]!r} is there {columns.count(twice[0])} times; keep one")
    return schema


# --- rows to triplets ---


def _import_rows(rows: list[Row], schema: _Schema, stem: str, find_video: Callable[[str], str]) -> Imported:
    triplets: list[Triplet] = []
    set_aside: list[BadRow] = []
    where_used: dict[str, str] = {}
    for row in rows:
        try:
            if row.problem:
                raise ValueError(row.problem)
            triplet = _make_triplet(row, schema, stem, find_video)
            if triplet.id in where_used:
                raise ValueError(f"id: {triplet.id!r} is already used at {where_used[triplet.id]}")
        except ValueError as error:
            set_aside.append(BadRow(row.where, str(error)))
            continue
        where_used[triplet.id] = row.where
        triplets.append(triplet)
    return Imported(triplets, set_aside)


def _make_triplet(row: Row, schema: _Schema, stem: str, find_video: Callable[[str], str]) -> Triplet:
    caption, negative = cell(row.fields, "caption"), cell(row.fields, schema.negative_caption)
    given_id = row.fields.get(schema.id) if schema.id else None
    if isinstance(given_id, int) and not isinstance(given_id, bool):
        given_id = str(given_id)  # JSONL and Parquet often number their rows
    has_id = given_id is not None and given_id != ""
    return Triplet(
        id=cell({"id": given_id}, "id") if has_id else f"{stem}:{row.number}",
        caption=caption,
        negative_caption=negative,
        misalignment=_misalignment(cell(row.fields, "misalignment")) if "misalignment" in row.fields else None,
        split=cell(row.fields, "split").strip().lower() if row.fields.get("split") not in (None, "") else "train",
        video=_named(schema.video, find_video, cell(row.fields, schema.video)),
        explanation=cell(row.fields, schema.explanation) if row.fields.get(schema.explanation) else "",
    )


def _misalignment(name: str) -> Misalignment:
    kind = MISALIGNMENT_NAMES.get(" ".join(name.lower().replace("_", " ").replace("-", " ").split()))
    if kind is None:
        raise ValueError(f"misalignment: unknown type {name!r}; known: {', '.join(MISALIGNMENT_NAMES)}")
    return kind


def _named(column: str, find: Callable[[str], str], value: str) -> str:
    try:
        return find(value)
    except ValueError as error:
        raise ValueError(f"{column}: {error}") from None


def video_finder(table_folder: Path, video_root: Path | None) -> Callable[[str], str]:
    """A function from a path as written to the file's absolute path; asks the disk once per video.

    Paths are normalised as text before they are compared and stored, so ".." cannot climb through a link.
    """
    if video_root is not None and not video_root.is_dir():
        raise ValueError(f"video_root: {str(video_root)!r} is not a folder; give the one that holds the videos")
    root = Path(os.path.normpath((table_folder if video_root is None else video_root).absolute()))
    found: dict[str, str | ValueError] = {}

    def look(written: str) -> str:
        path = Path(os.path.normpath(root / written))
        free = video_root is None and Path(written).is_absolute()
        if not free and not (path.is_relative_to(root) or path.is_relative_to(root.resolve())):
            raise ValueError(f"{written!r} leaves {root}; no path of a manifest leaves its folder")
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise ValueError(f"{str(path)!r} cannot be found ({error.strerror})") from None
        if stat.S_ISDIR(mode):
            raise ValueError(f"{str(path)!r} is a folder, not a video")
        return path.as_posix()  # a FIFO or a broken file is the decoder's to judge

    def find(written: str) -> str:
        if written not in found:
            try:
                found[written] = look(written)
            except ValueError as error:
                found[written] = error
        result = found[written]
        if isinstance(result, ValueError):
            raise ValueError(str(result))
        return result

    return find


def _nothing_usable(path: Path, set_aside: list[BadRow]) -> str:
    if not set_aside:
        return f"{path}: no rows; expected a header and at least one row"
    first = " | ".join(f"{bad.where}: {bad.reason}" for bad in set_aside[:3])
    return f"{path}: no usable row, {len(set_aside)} set aside; the first: {first}"
