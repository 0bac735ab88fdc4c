"""Frames that are in memory already, instead of a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from synvita.core import arguments
from synvita.core.video import sample_array
from synvita.videollm.protocol import Features, VideoLLM

Video = str | Path | np.ndarray  # a file; or frames, (T, H, W, 3) uint8 RGB
WAY_OUT = "a video file's path, or frames as a (T, H, W, 3) uint8 array, RGB"


def check_frames(name: str, value: Any) -> np.ndarray:
    """ValueError: no frames, by the argument's name."""
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8 or value.ndim != 4 or value.shape[-1] != 3:
        raise arguments.refuse(name, value, WAY_OUT)
    if not value.size:
        raise arguments.refuse(name, value, "frames: at least one, none of them empty")
    return value


def look_at(model: VideoLLM, frames: np.ndarray, fps: float | None) -> Features:
    """What the frozen part of a model makes of them. ValueError: it samples by the second, and `fps` is None."""
    if fps is not None and (isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < math.inf):
        raise arguments.refuse("fps", fps, "frames per second, a number above 0")
    if fps is None and model.policy.fps:
        raise ValueError("fps: this model samples frames by the second; give the frames per second of the arrays")
    found = model.look(sample_array(frames, model.policy, fps or 0.0))
    return {name: value.cpu().contiguous() for name, value in found.items()}


def same_video(one: Video, other: Video) -> bool:
    """Arrays are not compared: the same object is the same video."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return one is other
    return str(one) == str(other)
