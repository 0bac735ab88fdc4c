"""What is ranked: a table of clips and captions, or a folder of videos with its captions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synvita.core.reading import read_json, read_text
from synvita.core.tables import cell, need_columns, read_table

OURS = "rank.json"  # of a folder with a ranking
NEGATIVE = "negative_caption"
VIDEOS = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".gif")
CAPTIONS = ("captions.csv", "captions.jsonl", "captions.parquet", "captions.txt")


@dataclass
class Row:
    """A clip and its caption. `fields`: everything the table says of it. `reason`: why it gets no score."""

    where: str
    file: str
    caption: str
    negative: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


def read_clips(source: Path) -> list[Row]:
    """The rows of a table (`file`, `caption`, perhaps `negative_caption`), or of a folder's captions.

    Files are relative to the table's folder. A row that cannot be used is kept with its reason.

    Raises:
        ValueError: no caption column; a folder without captions or videos; nothing to rank.
    """
    if not source.is_dir():
        rows = table_rows(source)
    else:
        given = next((source / name for name in CAPTIONS if (source / name).is_file()), None)
        if given is None:
            raise ValueError(f"{source}: has no captions; put {CAPTIONS[0]} (file,caption) or {CAPTIONS[-1]} there")
        rows = lines_of_text(given) if given.suffix == ".txt" else table_rows(given)
    if not rows:
        raise ValueError(f"{source}: no clips to rank")
    return rows


def table_rows(path: Path) -> list[Row]:
    columns, rows = read_table(path, "")
    need_columns(path, columns, ("file", "caption"), "rank")
    found = []
    for row in rows:
        made = Row(row.where, str(row.fields.get("file") or ""), str(row.fields.get("caption") or ""))
        made.fields, made.reason = dict(row.fields), row.problem
        try:
            if not made.reason:
                made.file, made.caption = cell(row.fields, "file"), cell(row.fields, "caption")
                made.negative = cell(row.fields, NEGATIVE) if row.fields.get(NEGATIVE) else ""
        except ValueError as error:
            made.reason = str(error)
        found.append(resolved(made, path.parent))
    return found


def files_beside(table: Path) -> Path:
    """The folder that a table's files are relative to: its own; of a ranking, that of the table that was ranked."""
    marker = table.parent / OURS
    if not marker.exists():
        return table.parent
    source = Path(str(read_json(marker, ["of"])["of"]))
    return source if source.is_dir() else source.parent


def lines_of_text(path: Path) -> list[Row]:
    """`captions.txt`: a line per video, `name<TAB>caption`; or a caption per video, in the order of their names.

    ValueError: neither.
    """
    lines = [(i, line.strip()) for i, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
    videos = sorted(p.name for p in path.parent.iterdir() if p.suffix.lower() in VIDEOS)
    if lines and all("\t" in line for _, line in lines):
        pairs = [(i, line.split("\t")[0].strip(), line.split("\t", 1)[1].strip()) for i, line in lines]
    elif len(lines) == len(videos):
        pairs = [(i, video, line) for (i, line), video in zip(lines, videos, strict=True)]
    else:
        text = f"{len(lines)} captions for {len(videos)} videos; give one line each, or lines of name<TAB>caption"
        raise ValueError(f"{path}: {text}")
    rows = [Row(f"{path}:{i}", file, caption, fields={"file": file, "caption": caption}) for i, file, caption in pairs]
    return [resolved(row, path.parent) for row in rows]


def resolved(row: Row, beside: Path) -> Row:
    if not row.reason:
        path = Path(row.file)
        row.file = (path if path.is_absolute() else beside / path).resolve().as_posix()
        if not Path(row.file).is_file():
            row.reason = f"{row.file}: no such file"
        elif not row.caption.strip():
            row.reason = "caption: empty"
    return row
