"""A small moving preview of a video that is too large for the page, or that a browser may not play."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from synvita.core.decoder import Decoder
from synvita.core.frame_rules import FramePolicy
from synvita.core.video_file import VideoError
from synvita.core.write_video import write_video

FRAMES, SIDE, FPS = 12, 176, 4  # of the whole video; the longer side in pixels; shown per second
CRF = 26  # it is only looked at: a fifth of the bytes of a clip that models will see
MAX_BYTES = 400_000


def shrunk(frames: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) uint8 -> the same pictures with a longer side of at most SIDE pixels, both sides even."""
    from PIL import Image

    height, width = frames.shape[1:3]
    scale = min(1.0, SIDE / max(height, width))
    sides = [max(2, 2 * round(side * scale / 2)) for side in (width, height)]
    return np.stack([np.asarray(Image.fromarray(frame).resize((sides[0], sides[1]))) for frame in frames])


def preview(path: Path, decoder: Decoder) -> bytes:
    """An MP4 of FRAMES frames, evenly spread over the whole video.

    Raises:
        VideoError: the file gives no frames; or the preview is larger than MAX_BYTES.
    """
    frames = shrunk(decoder.video(path, FramePolicy(FRAMES, "segment_middles")).frames)
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "preview.mp4"
        write_video(small, frames, FPS, crf=CRF)
        content = small.read_bytes()
    if len(content) > MAX_BYTES:
        raise VideoError(f"{path}: its preview has {len(content) / 1e3:.0f} kB, more than {MAX_BYTES / 1e3:.0f} kB")
    return content
