"""What a clip shows without a model: nothing at all, or no motion."""

from __future__ import annotations

import numpy as np

DARK, UNIFORM, STILL = 16, 3, 1  # of 255: mean below, spread within a frame below, change between frames at most


def is_black(video: np.ndarray) -> bool:
    """Every frame is dark and nearly uniform: a safety filter's answer, an overflow of half precision, or NaN.

    video: (T, H, W, 3) uint8.
    """
    return all(frame.mean() < DARK and frame.std() < UNIFORM for frame in video)


def is_static(video: np.ndarray) -> bool:
    """No pixel changes from the first frame on; a caption may want that."""
    first = video[0].astype(np.int16)
    return all(np.abs(frame - first).max() <= STILL for frame in video[1:])
