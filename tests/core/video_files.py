"""Video files for tests: frames that say their number, in any codec, whole and broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

from synvita.core.write_video import write_video


def numbered(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames whose grey says their number: 8 levels in each of two halves, far apart enough for any codec."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    for i in range(count):
        frames[i, :, : width // 2] = 16 + 28 * (i % 8)
        frames[i, :, width // 2 :] = 16 + 28 * (i // 8 % 8)
    return frames


def numbers(frames: np.ndarray) -> list[int]:
    """The inverse of `numbered`."""
    half = frames.shape[2] // 2
    low, high = frames[:, :, : half - 4].mean((1, 2, 3)), frames[:, :, half + 4 :].mean((1, 2, 3))
    return [int(8 * round((b - 16) / 28) + round((a - 16) / 28)) for a, b in zip(low, high, strict=True)]


def encode(
    path: Path,
    frames: np.ndarray,
    codec: str,
    times: list[int] | None = None,
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    container_options: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w", options=container_options or {}) as out:
        stream: Any = out.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.codec_context.thread_count = pix_fmt, 1
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts = times[number] if times else number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def encode_groups(path: Path, **kwargs: Any) -> Path:
    """60 noisy frames, B-frames, a key frame each 12: wrong references would show."""
    noise = np.random.default_rng(0).integers(0, 60, (60, 48, 64, 3), dtype=np.uint8)
    options = {"g": "12", "bf": "3", "x264-params": "scenecut=0:b-adapt=0:" + kwargs.pop("params", "open-gop=0")}
    return encode(path, numbered(60) // 2 + noise, "libx264", options=options, **kwargs)


def audio_only(path: Path) -> None:
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def header_only(path: Path) -> None:
    write_video(path, numbered(8), 8)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])


def broken(path: Path, kind: str) -> Path:
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("this is no video\n" * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "audio":
        audio_only(path)
    elif kind == "header":
        header_only(path)
    elif kind == "no index":
        encode_groups(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


BROKEN = [
    ("missing", "No such file"),
    ("empty", "zero bytes"),
    ("text", "not a readable video"),
    ("folder", "is a folder"),
    ("audio", "no video stream"),
    ("header", "no frame decodes|not a readable video"),
    ("no index", "not a readable video"),
]
