"""Frames -> the patches that Qwen's vision towers see, as transformers' video processors make them.

A video is resized to a size between two budgets of pixels, in which patches of `patch` pixels, `merge` by `merge` of
which become one visual token, fit without rest; `pair` frames share a patch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synvita.core.video_file import VideoError
from synvita.videollm.families.pixels import VideoSettings, channels_first

BICUBIC = 3  # Pillow's number
OLD_BOUNDS = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}


def fitting_size(
    height: int, width: int, unit: int, least: int, most: int, frames: int = 1, counted: int = 1
) -> tuple[int, int]:
    """The (height, width) nearest to a video's shape with both sides whole units and the pixels within the budget.

    Args:
        unit: pixels per side of a visual token. least, most: pixels of `counted` frames together.
        frames, counted: frames there are, and frames after rounding to whole patches: Qwen3-VL checks its budget
            with the latter and scales by the former. Both 1 where the budget is one frame's.
    Raises:
        VideoError: one side is over 200 times the other, which the models refuse.
    """
    if max(height, width) > 200 * min(height, width):
        raise VideoError(f"video of {width}x{height} pixels: one side is over 200 times the other; crop it")
    sides = [round(side / unit) * unit for side in (height, width)]
    pixels = counted * sides[0] * sides[1]
    if pixels > most:
        shrink = math.sqrt(frames * height * width / most)
        sides = [max(unit, math.floor(side / shrink / unit) * unit) for side in (height, width)]
    elif pixels < least:
        grow = math.sqrt(least / (frames * height * width))
        sides = [math.ceil(side * grow / unit) * unit for side in (height, width)]
    return sides[0], sides[1]


@dataclass(frozen=True)
class QwenPixels:
    """What a checkpoint says about its video processor.

    least, most: pixels, of one frame or (`whole`) of all frames of a video together.
    cap: visual tokens that bound `most` further (of a frame if `whole`, else of a video); 0 = not at all.
    """

    settings: VideoSettings
    patch: int
    merge: int
    pair: int
    least: int
    most: int
    whole: bool
    cap: int

    @classmethod
    def from_folder(cls, folder: Path, whole: bool, **default: Any) -> QwenPixels:
        """From official keys; `default` are the official class's values for keys that a checkpoint leaves out.

        Raises:
            ValueError: no config; a size without its two bounds (or resizing switched off).
        """
        settings = VideoSettings.from_folder(folder, resample=BICUBIC, **default)
        has, size = settings.extra, dict(settings.size or {})
        if not whole:  # Qwen2.5-VL's older names for the bounds; its class lets them win
            size |= {new: has[old] for old, new in OLD_BOUNDS.items() if old in has}
        if not size.get("shortest_edge") or not size.get("longest_edge"):
            raise ValueError(f"{settings.source}: size: {size}; give shortest_edge and longest_edge, in pixels")
        cap = has["max_video_tokens"] if has.get("cap_pixels_per_frame") else 0
        sides = has["patch_size"], has["merge_size"], has["temporal_patch_size"]
        return cls(settings, *sides, size["shortest_edge"], size["longest_edge"], whole, cap)

    def size(self, frames: int, height: int, width: int) -> tuple[int, int]:
        """(height, width) that `frames` frames of a video are resized to."""
        unit, most = self.patch * self.merge, self.most
        enough = int(self.least * 1.05)
        if not self.whole:
            if self.cap:
                most = max(min(most, int(self.cap * unit * unit * 0.9) * self.pair // frames), enough)
            return fitting_size(height, width, unit, self.least, most)
        if self.cap:
            most = max(min(self.cap * unit * unit, most // frames), enough) * frames
        if min(height, width) < unit:
            grow = max(unit / height, unit / width)
            height, width = int(height * grow), int(width * grow)
        return fitting_size(height, width, unit, self.least, most, frames, round(frames / self.pair) * self.pair)

    def __call__(self, frames: np.ndarray) -> tuple[Tensor, Tensor]:
        """(T, H, W, 3) uint8 -> ((N, 3 * pair * patch * patch) fp32, (1, 3) int64: N = time * height * width).

        Patches that become one visual token follow each other. An odd last frame is shown twice.
        """
        video = channels_first(frames)
        height, width = self.size(len(video), *video.shape[-2:])
        pixels = self.settings.normalise(self.settings.resize(video, height, width))
        pixels = torch.cat([pixels, pixels[-1:].expand(-len(pixels) % self.pair, -1, -1, -1)])
        p, m = self.patch, self.merge
        time, rows, columns = len(pixels) // self.pair, height // p, width // p
        parts = pixels.view(time, self.pair, 3, rows // m, m, p, columns // m, m, p)
        patches = parts.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(time * rows * columns, -1)
        return patches, torch.tensor([[time, rows, columns]])
