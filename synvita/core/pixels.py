"""Decoded frames -> the pixel values that a vision tower was trained with, from a checkpoint's preprocessor config."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Preprocess:
    """`size`: pixels of the square that the tower sees. `mean`, `std`: per RGB channel, on values in [0, 1]."""

    size: int = 224
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    @classmethod
    def from_folder(cls, folder: Path) -> Preprocess:
        """From `preprocessor_config.json` (official keys); ValueError if it is missing."""
        path = folder / "preprocessor_config.json"
        if not path.exists():
            raise ValueError(
                f"{folder}: no preprocessor_config.json; the checkpoint does not say what its frames look like"
            )
        stored = json.loads(path.read_text())
        crop = stored.get("crop_size", stored.get("size", 224))
        size = crop if isinstance(crop, int) else crop.get("height", crop.get("shortest_edge"))
        return cls(size, tuple(stored.get("image_mean", CLIP_MEAN)), tuple(stored.get("image_std", CLIP_STD)))

    def __call__(self, frames: np.ndarray) -> Tensor:
        """(T, H, W, 3) uint8 -> (T, 3, size, size) fp32.

        Video-LLaVA's own order (FACTS-video-llava 3): normalise, short side to `size` (bilinear, no antialias, long
        side floored), centre crop. Its random horizontal flip is left out on purpose: it can invert "left" and "right".
        """
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
