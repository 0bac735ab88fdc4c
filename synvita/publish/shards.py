"""A run's clips as WebDataset shards: tar files that a training streams, each clip with what is known of it.

In `OUT/clips-000000.tar`, for every clip: ID.mp4, ID.json (all that is known), ID.txt (its caption).
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synvita.core.progress import progress
from synvita.core.records import Clip
from synvita.core.store import write_atomic
from synvita.publish.videofolder import Exported, begin, card, end, left, unusable

CARD = """# Synthetic clips

{number} clips made from captions by {generators}, exported by synvita as WebDataset shards. Load them with
`webdataset.WebDataset("clips-{{000000..{last}}}.tar")`. A clip is a video, `.txt` (the caption it was asked to show)
and `.json`: `caption`, `generator`, `revision`, `seed`, `clip_id`, `digest` (of the video's
bytes){scores}{weights}{chosen}.

Licence: not known to the program; the terms of the generators and of the captions apply.
"""
SHARD_BYTES, SHARD_CLIPS = 2**29, 10_000  # a shard ends behind the clip that reaches either


def export_shards(run: Path, out: Path, generators: Sequence[str] | None = None) -> Exported:
    """Write the shards; the same clips give the same bytes. A killed call begins anew, and leaves no `out`.

    Args and Raises: as of `videofolder.export`.
    """
    clips, rows, part = begin(run, out, generators, "webdataset")
    part.mkdir(parents=True, exist_ok=True)
    aside: dict[str, str] = {}
    for old in part.glob("clips-*.tar"):  # of a killed call
        old.unlink()
    writer = Shards(part)
    with progress("export", len(clips)) as tick:
        for clip, row in zip(clips, rows, strict=True):
            if reason := unusable(run / clip.file, clip.digest):
                aside[clip.clip_id] = reason
            else:
                writer.add(clip, row, (run / clip.file).read_bytes())
            tick()
    writer.close()
    rows = left(run, rows, aside)
    last = writer.number - 1
    write_atomic(part / "README.md", card(run, rows, CARD.replace("{last}", f"{last:06d}")))
    return end(part, out, rows, aside)


class Shards:
    """Writes members into one shard after the other. Nothing of the machine or the day is in them."""

    def __init__(self, folder: Path):
        self.folder, self.number, self.clips = folder, 0, 0
        self.tar: tarfile.TarFile | None = None

    def add(self, clip: Clip, row: dict[str, Any], video: bytes) -> None:
        if self.tar is None:
            path = self.folder / f"clips-{self.number:06d}.tar"
            self.tar = tarfile.open(path, "w")  # noqa: SIM115 - until it is full
        known = {key: value for key, value in row.items() if key not in ("file", "file_name")}
        parts = {Path(clip.file).suffix: video, ".json": json.dumps(known).encode(), ".txt": clip.caption.encode()}
        for suffix, content in parts.items():
            member = tarfile.TarInfo(f"{clip.clip_id}{suffix}")  # time, owner: 0
            member.size = len(content)
            self.tar.addfile(member, io.BytesIO(content))
        self.clips += 1
        if self.clips >= SHARD_CLIPS or self.tar.offset >= SHARD_BYTES:
            self.close()

    def close(self) -> None:
        if self.tar is not None:
            self.tar.close()
            self.tar, self.clips, self.number = None, 0, self.number + 1
