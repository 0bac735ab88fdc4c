"""Clips that somebody generated already, by any model: a table of captions and files instead of a generator."""

from __future__ import annotations

from pathlib import Path

from synvita.core.provenance import file_digest
from synvita.core.records import Clip, Triplet, clip_id
from synvita.core.set_aside import set_aside
from synvita.core.store import read_records, read_rows, write_records


def take_clips(run: Path, table: Path) -> dict[str, int]:
    """Write `clips.jsonl` and `clip_of_triplet.jsonl` from a table; a clip serves every triplet with its caption.

    Files stay where they are. Rows whose file is missing are set aside by file:line.
    Returns counts {"clips", "triplets_with_clip", "triplets_without", "set_aside"}.
    """
    triplets = [t for t in read_records(run / "triplets.jsonl", Triplet) if t.split == "train"]
    captions = {t.negative_caption for t in triplets}
    clips: dict[tuple[str, str], Clip] = {}  # by caption and generator: a caption may have a clip of each
    aside: dict[str, str] = {}
    for where, row in read_rows(table, ("caption", "file"), "--clips"):
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
        clips[row["caption"], generator] = Clip(name, row["caption"], generator, revision, {}, 0, path.as_posix())
    if not clips:
        raise ValueError(
            f"--clips: {table}: no clip fits a training triplet's negative caption ({len(aside)} set aside)"
        )
    of_caption: dict[str, list[str]] = {}
    for (caption, _), clip in clips.items():
        of_caption.setdefault(caption, []).append(clip.clip_id)
    links = [{"triplet_id": t.id, "clip_id": name} for t in triplets for name in of_caption.get(t.negative_caption, [])]
    set_aside(run, "generate", aside)
    write_records(run / "clips.jsonl", clips.values())
    write_records(run / "clip_of_triplet.jsonl", links)
    served = len({link["triplet_id"] for link in links})
    without = len(triplets) - served
    return {"clips": len(clips), "triplets_with_clip": served, "triplets_without": without, "set_aside": len(aside)}
