"""Frames -> pixel values as t2v_metrics makes them for its image models, with Pillow's bicubic filter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synvita.core.pixels import CLIP_MEAN, CLIP_STD, LONGEST, Triple
from synvita.core.video_file import VideoError


@dataclass(frozen=True)
class ImagePixels:
    """`size`: of the square that the tower sees. `pad`: to a centred square in the mean colour first (LLaVA-1.5,
    CLIP-FlanT5), so that nothing of a wide clip is cut off; else its sides are (InstructBLIP)."""

    size: int
    pad: bool
    mean: Triple = CLIP_MEAN
    std: Triple = CLIP_STD

    def __str__(self) -> str:
        return f"{'padded to a square' if self.pad else 'short side'}, bicubic to {self.size}, centre crop"

    def __call__(self, images: np.ndarray) -> Tensor:
        """(T, H, W, 3) uint8 -> (T, 3, size, size) fp32. VideoError: one side is over 200 times the other."""
        height, width = images.shape[1:3]
        if max(height, width) > LONGEST * min(height, width):
            raise VideoError(f"video of {width}x{height} pixels: one side is over {LONGEST} times the other; crop it")
        return torch.stack([self.one(image) for image in images])

    def one(self, image: np.ndarray) -> Tensor:
        from PIL import Image

        picture = Image.fromarray(np.ascontiguousarray(image))
        if self.pad and picture.width != picture.height:
            side = max(picture.size)
            square = Image.new("RGB", (side, side), tuple(int(255 * value) for value in self.mean))
            square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
            picture = square
        short = min(picture.size)
        sides = (int(self.size * picture.width / short), int(self.size * picture.height / short))
        if picture.size != sides:
            picture = picture.resize(sides, Image.Resampling.BICUBIC)
        left, top = (round((side - self.size) / 2) for side in sides)
        picture = picture.crop((left, top, left + self.size, top + self.size))
        values = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
        return (values - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.std)[:, None, None]
