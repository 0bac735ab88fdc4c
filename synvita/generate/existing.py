"""Clips that somebody generated already, by any model: a table of captions and files instead of a generator."""

from __future__ import annotations

import csv
from pathlib import Path

from synvita.core.provenance import file_digest
from synvita.core.records import Clip, Triplet, clip_id
from synvita.core.set_aside import set_aside
from synvita.core.store import parse_lines, read_records, write_records


def read_table(table: Path) -> list[tuple[str, dict[str, str]]]:
    """(file:line, row) of a CSV or JSONL with the columns caption, file and optionally generator."""
    if not table.exists():
        raise ValueError(f"--clips: {table}: no such file")
    if table.suffix == ".jsonl":
        rows = [(f"{table}:{n}", {k: str(v) for k, v in fields.items()}) for n, fields in parse_lines(table)]
    else:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [(f"{table}:{reader.line_num}", row) for row in reader]
    if rows and not {"caption", "file"} <= set(rows[0][1]):
        raise ValueError(f"--clips: {table}: needs the columns caption and file, has {', '.join(rows[0][1])}")
    return rows


def take_clips(run: Path, table: Path) -> dict[str, int]:
    """Write `clips.jsonl` and `clip_of_triplet.jsonl` from a table; a clip serves every triplet with its caption.

    Files stay where they are. Rows whose file is missing are set aside by file:line.
    Returns counts {"clips", "triplets_with_clip", "triplets_without", "set_aside"}.
    """
    triplets = [t for t in read_records(run / "triplets.jsonl", Triplet) if t.split == "train"]
    captions = {t.negative_caption for t in triplets}
    clips: dict[str, Clip] = {}
    aside: dict[str, str] = {}
    for where, row in read_table(table):
        path = Path(row["file"])
        path = path if path.is_absolute() else (table.parent / path).resolve()
        if not path.is_file():
            aside[where] = f"{path}: no such file"
            continue
        if row["caption"] not in captions:
            aside[where] = f"no training triplet has the negative caption {row['caption']!r}"
            continue
        generator, revision = row.get("generator") or "existing", file_digest(path)
        name = clip_id(row["caption"], generator, revision, {}, 0)
        clips[row["caption"]] = Clip(name, row["caption"], generator, revision, {}, 0, path.as_posix())
    if not clips:
        raise ValueError(
            f"--clips: {table}: no clip fits a training triplet's negative caption ({len(aside)} set aside)"
        )
    links = [
        {"triplet_id": t.id, "clip_id": clips[t.negative_caption].clip_id}
        for t in triplets
        if t.negative_caption in clips
    ]
    set_aside(run, "generate", aside)
    write_records(run / "clips.jsonl", clips.values())
    write_records(run / "clip_of_triplet.jsonl", links)
    without = len(triplets) - len(links)
    return {"clips": len(clips), "triplets_with_clip": len(links), "triplets_without": without, "set_aside": len(aside)}
