"""Decoded frames -> the pixel values that a vision tower was trained with, from a checkpoint's preprocessor config."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synvita.core.reading import read_json
from synvita.core.records import as_list
from synvita.core.video_file import VideoError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


LONGEST = 200  # times the other side: a line of a video would be resized to gigabytes
TOGETHER = 2**20  # pixels that are prepared at once
MAX_SIZE = 4096  # pixels a side; towers see 224 to 448
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocess:
    """`size`: pixels of the square that the tower sees. `mean`, `std`: per RGB channel, on values in [0, 1]."""

    size: int = 224
    mean: Triple = CLIP_MEAN
    std: Triple = CLIP_STD

    @classmethod
    def from_folder(cls, folder: Path) -> Preprocess:
        """From `preprocessor_config.json` (official keys).

        Raises:
            ValueError: no such file, not JSON; a size or a mean that no tower can have: names file and key.
        """
        path = folder / "preprocessor_config.json"
        if not path.exists():
            raise ValueError(
                f"{folder}: no preprocessor_config.json; the checkpoint does not say what its frames look like"
            )
        stored = read_json(path)
        crop = stored.get("crop_size", stored.get("size", 224))
        size = crop.get("height", crop.get("shortest_edge")) if isinstance(crop, dict) else crop
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_SIZE:
            raise ValueError(f"{path}: size: {size!r} is not a number of pixels from 1 to {MAX_SIZE}; fetch it again")
        mean, std = (channels(path, *pair, stored) for pair in (("image_mean", CLIP_MEAN), ("image_std", CLIP_STD)))
        if min(std) <= 0:
            raise ValueError(f"{path}: image_std: {list(std)} is not above 0; fetch it again")
        return cls(size, mean, std)

    def __call__(self, frames: np.ndarray) -> Tensor:
        """(T, H, W, 3) uint8 -> (T, 3, size, size) fp32; few frames at once, because a value takes 4 bytes here.

        Video-LLaVA's own order (FACTS-video-llava 3): normalise, short side to `size` (bilinear, no antialias, long
        side floored), centre crop. Its random horizontal flip is left out on purpose: it can invert "left" and "right".

        Raises:
            VideoError: one side is over 200 times the other.
        """
        height, width = frames.shape[1:3]
        if max(height, width) > LONGEST * min(height, width):
            raise VideoError(f"video of {width}x{height} pixels: one side is over {LONGEST} times the other; crop it")
        together = max(1, TOGETHER // (height * width))
        return torch.cat([self._seen(frames[at : at + together]) for at in range(0, len(frames), together)])

    def _seen(self, frames: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
        pixels = (pixels - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.std)[:, None, None]
        height, width = pixels.shape[-2:]
        if height <= width:
            resized = (self.size, int(width * self.size / height))
        else:
            resized = (int(height * self.size / width), self.size)
        if resized != (height, width):
            pixels = functional.interpolate(pixels, size=resized, mode="bilinear", align_corners=False)
        top, left = (round((side - self.size) / 2) for side in resized)
        return pixels[..., top : top + self.size, left : left + self.size].contiguous()


def channels(path: Path, key: str, usual: Triple, stored: dict[str, Any]) -> Triple:
    """A stored value per RGB channel. ValueError: not three finite numbers."""
    given = stored.get(key, usual)
    numbers = [v for v in given if isinstance(v, (int, float)) and math.isfinite(v)] if as_list(given) else []
    if len(numbers) != 3 or len(given) != 3:
        raise ValueError(f"{path}: {key}: {given!r} is not a number for each of red, green and blue; fetch it again")
    return numbers[0], numbers[1], numbers[2]
