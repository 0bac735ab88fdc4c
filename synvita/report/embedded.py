"""Videos as part of the page: it is made to be passed on, so each is inside it or named with the reason why not."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 2_000_000  # of one video
SHARE = 20_000_000  # characters of one section's videos: three sections stay below 64 MB of page


@dataclass(frozen=True)
class Video:
    """A video of the page: `data` is a data: URI, or empty, and then `reason` says why."""

    name: str
    data: str
    reason: str = ""


def embed(run: Path, file: str) -> Video:
    """The MP4 as a data: URI. Anything else is named, not embedded."""
    path = run / file
    if not Path(file).is_absolute() and not path.resolve().is_relative_to(run.resolve()):
        return Video(file, "", "leads out of the run folder")
    if not path.is_file():
        return Video(file, "", "file is missing")
    size = path.stat().st_size
    if size > MAX_BYTES:
        return Video(file, "", f"{size / 1e6:.1f} MB, more than the {MAX_BYTES / 1e6:.0f} MB that are embedded")
    content = path.read_bytes()
    if content[4:8] != b"ftyp":
        return Video(file, "", "not an MP4 file")
    return Video(file, f"data:video/mp4;base64,{base64.b64encode(content).decode()}")


class Album:
    """The videos of one section, in the order of the page, until its share is used up."""

    def __init__(self, run: Path, share: int = SHARE):
        self._run, self._share, self._left = run, share, share

    def embed(self, file: str) -> Video:
        video = embed(self._run, file)
        if len(video.data) > self._left:
            return Video(file, "", f"this section's {self._share / 1e6:.0f} MB of videos are used up")
        self._left -= len(video.data)
        return video
