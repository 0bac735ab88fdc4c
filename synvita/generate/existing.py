"""Clips that somebody generated already, by any model: a table of captions and files instead of a generator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synvita.core.artefacts import clips_file
from synvita.core.links import write_links
from synvita.core.names import check_name
from synvita.core.provenance import file_digest
from synvita.core.records import Clip, Triplet, clip_id
from synvita.core.set_aside import set_aside
from synvita.core.stage import claim_folder
from synvita.core.store import read_records, write_records
from synvita.core.tables import Row, cell, need_columns, read_table

NEEDED = ("caption", "file")


def take_clips(run: Path, table: Path) -> dict[str, int]:
    """Add a table's clips to those of their generators; a clip serves every triplet with its caption.

    Files stay where they are. A caption that had a clip of the same generator gets the table's in its place; other
    clips stay. A row that cannot be used is set aside by file:line: one that cannot be read, without its file, of a
    caption that no triplet has, or the second of a caption and generator: there is one clip of each.
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
    by_generator: dict[str, list[Clip]] = {}
    for (_, generator), clip in sorted(clips.items()):
        by_generator.setdefault(generator, []).append(clip)
    for generator, some in by_generator.items():
        add(run, generator, some)
    links = {generator: of_triplets(run, generator, triplets) for generator in by_generator}
    write_links(run, links)
    set_aside(run, "generate --clips", aside)
    served = len({triplet for some in links.values() for triplet in some})
    without = len(triplets) - served
    return {"clips": len(clips), "triplets_with_clip": served, "triplets_without": without, "set_aside": len(aside)}


@dataclass(frozen=True)
class Imported:
    """As much of a stage as `claim_folder` needs: clips that were made elsewhere."""

    folder: str
    stamp: dict[str, str]


def add(run: Path, generator: str, clips: list[Clip]) -> None:
    """Put clips into their generator's file, each in the place of the one of its caption.

    Raises:
        ValueError: clips of that name were made here, by a generator.
    """
    name = check_name("--clips: generator", generator)
    claim_folder(run, Imported(f"clips/{name}", {"generator": name, "from": "a table of clips"}))
    path = clips_file(run, name)
    there = read_records(path, Clip, ("clip_id",)) if path.exists() else []
    by_caption = {clip.caption: clip for clip in (*there, *clips)}
    write_records(path, sorted(by_caption.values(), key=lambda clip: clip.clip_id))


def of_triplets(run: Path, generator: str, triplets: list[Triplet]) -> dict[str, list[str]]:
    """Triplet id -> the clip of its negative caption, of one generator."""
    of_caption = {c.caption: c.clip_id for c in read_records(clips_file(run, generator), Clip, ("clip_id",))}
    return {t.id: [of_caption[t.negative_caption]] for t in triplets if t.negative_caption in of_caption}


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
    name = clip_id(caption, generator, revision, {}, 0)
    return Clip(name, caption, generator, revision, {}, 0, path.as_posix(), revision)
