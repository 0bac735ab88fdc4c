"""Videos as part of the page: it is made to be passed on, so each is inside it or named with the reason why not."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from synvita.core.decoder import Decoder
from synvita.core.video_file import VideoError
from synvita.report import preview

MAX_BYTES = 300_000  # of a video that is embedded as it is; a larger one gets a preview
SMALL_BYTES = 60_000  # the same where a section shows a hundred videos and more
SHARE = 20_000_000  # characters of one section's videos: three sections stay below 64 MB of page


@dataclass(frozen=True)
class Video:
    """A video of the page: `data` is a data: URI, or empty, and then `reason` says why. `note`: what it is cut to."""

    name: str
    data: str
    reason: str = ""
    note: str = ""


def shown_name(file: str) -> str:
    """As the run names it; of a file elsewhere the name alone, as the page goes to people with other disks."""
    return Path(file).name if Path(file).is_absolute() else file


class Album:
    """The videos of one section, in the order of the page, until its share is used up."""

    def __init__(self, run: Path, decoder: Decoder, share: int = SHARE, most: int = MAX_BYTES):
        """share: characters. most: bytes of a video that is embedded as it is."""
        self._run, self._decoder, self._share, self._left, self._most = run, decoder, share, share, most
        self._known: dict[str, Video] = {}

    def embed(self, file: str) -> Video:
        if file not in self._known:
            self._known[file] = embed(self._run, file, self._decoder, self._most)
        video = self._known[file]
        if len(video.data) > self._left:
            return Video(video.name, "", f"this section's {self._share / 1e6:.0f} MB of videos are used up")
        self._left -= len(video.data)
        return video


def embed(run: Path, file: str, decoder: Decoder, most: int = MAX_BYTES) -> Video:
    """The file itself where it is a small MP4, else a preview of it; what gives no frames is named with the reason."""
    path, name = run / file, shown_name(file)
    if not Path(file).is_absolute() and not path.resolve().is_relative_to(run.resolve()):
        return Video(name, "", "leads out of the run folder")
    if not path.is_file():
        return Video(name, "", "file is missing")
    size = path.stat().st_size
    with path.open("rb") as opened:
        is_mp4 = opened.read(8)[4:] == b"ftyp"
    if is_mp4 and size <= most:
        return Video(name, data_uri(path.read_bytes()))
    try:
        small = preview.preview(path, decoder)
    except VideoError as error:
        return Video(name, "", str(error).removeprefix(f"{path}: "))
    return Video(name, data_uri(small), note=f"{preview.FRAMES} frames of {size / 1e6:.1f} MB")


def data_uri(content: bytes) -> str:
    return f"data:video/mp4;base64,{base64.b64encode(content).decode()}"
