"""Clips that somebody generated already, by any model: a table of captions and files instead of a generator."""

from __future__ import annotations

from pathlib import Path

from synvita.core.provenance import file_digest
from synvita.core.reading import Row, cell, need_columns, read_table
from synvita.core.records import Clip, Triplet, clip_id
from synvita.core.set_aside import set_aside
from synvita.core.store import read_records, write_records

NEEDED = ("caption", "file")


def take_clips(run: Path, table: Path) -> dict[str, int]:
    """Write `clips.jsonl` and `clip_of_triplet.jsonl` from a table; a clip serves every triplet with its caption.

    Files stay where they are. A row that cannot be used is set aside by file:line: one that cannot be read, without its
    file, of a caption that no triplet has, or the second of a caption and generator: there is one clip of each.
    Returns counts {"clips", "triplets_with_clip", "triplets_without", "set_aside"}.
    """
    triplets = [t for t in read_records(run / "triplets.jsonl", Triplet, ("id",)) if t.split == "train"]
    captions = {t.negative_caption for t in triplets}
    clips: dict[tuple[str, str], Clip] = {}  # by caption and generator: a caption may have a clip of each
    first: dict[tuple[str, str], str] = {}
    aside: dict[str, str] = {}
    columns, rows = read_table(table, "--clips", (*NEEDED, "generator"))
    need_columns(table, columns, NEEDED, "--clips")
    for row in rows:
        try:
            clip = row_clip(row, table.parent, captions)
        except (ValueError, OSError) as error:
            aside[row.where] = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            continue
        key = (clip.caption, clip.generator)
        if key in first:
            aside[row.where] = f"{clip.caption!r} has a clip of {clip.generator!r} already, in {first[key]}; keep one"
            continue
        clips[key], first[key] = clip, row.where
    if not clips:
        raise ValueError(
            f"--clips: {table}: no clip fits a training triplet's negative caption ({len(aside)} set aside)"
        )
    of_caption: dict[str, list[str]] = {}
    for (caption, _), clip in clips.items():
        of_caption.setdefault(caption, []).append(clip.clip_id)
    links = [{"triplet_id": t.id, "clip_id": name} for t in triplets for name in of_caption.get(t.negative_caption, [])]
    set_aside(run, "generate --clips", aside)
    write_records(run / "clips.jsonl", clips.values())
    write_records(run / "clip_of_triplet.jsonl", links)
    served = len({link["triplet_id"] for link in links})
    without = len(triplets) - served
    return {"clips": len(clips), "triplets_with_clip": served, "triplets_without": without, "set_aside": len(aside)}


def row_clip(row: Row, beside: Path, captions: set[str]) -> Clip:
    """The clip of a table's row; its revision is the file's content.

    Raises:
        ValueError: the row's own problem, a cell that is empty or no text, no such file, a caption that nobody has.
            OSError: a file that cannot be read.
    """
    if row.problem:
        raise ValueError(row.problem)
    caption = cell(row.fields, "caption")
    generator = "existing" if row.fields.get("generator") in (None, "") else row.fields["generator"]
    path = Path(cell(row.fields, "file"))
    path = path if path.is_absolute() else (beside / path).resolve()
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if caption not in captions:
        raise ValueError(f"no training triplet has the negative caption {caption!r}")
    revision = file_digest(path)
    return Clip(clip_id(caption, generator, revision, {}, 0), caption, generator, revision, {}, 0, path.as_posix())
