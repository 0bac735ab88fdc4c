"""Decoded frames -> pixel values as transformers' video processors make them with torchvision, but without it.

torchvision resizes uint8 tensors by torch's own antialiasing filters, which round and clamp after each of the two
directions. The same call on the same bytes gives the same pixels; through float32 some differ by 39 of 255 levels.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synvita.core.reading import read_json

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
FILTERS = {0: "nearest-exact", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers, as configs store them
NESTED = "processor_config.json"  # since transformers 5 one file holds the settings of all processors
FILES = ("video_preprocessor_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class VideoSettings:
    """What a checkpoint says about its video frames (official keys); `size` and `extra` as stored.

    `mean`, `std`: per RGB channel; both on values that were multiplied by `scale` (None: not rescaled).
    """

    source: Path
    size: dict[str, int] | None
    resample: int
    scale: float | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    extra: dict[str, Any]

    @classmethod
    def from_folder(cls, folder: Path, **default: Any) -> VideoSettings:
        """From the file that the official processor takes; `default` are its class's values for what is not stored.

        Raises:
            ValueError: no such file; or a setting whose work is not done here.
        """
        source, stored = read_settings(folder)
        given = default | {key: value for key, value in stored.items() if value is not None}
        for knob, done in (("do_center_crop", False), ("do_normalize", True)):
            if given.get(knob, done) is not done:
                raise ValueError(f"--model: {source}: {knob}: {given[knob]} is not supported; store {done}")
        if given["resample"] not in FILTERS:
            known = ", ".join(f"{number} ({name})" for number, name in FILTERS.items())
            raise ValueError(f"--model: {source}: resample: {given['resample']}; supported: {known}")
        return cls(
            source,
            given["size"] if given.get("do_resize", True) else None,
            given["resample"],
            given.get("rescale_factor", 1 / 255) if given.get("do_rescale", True) else None,
            tuple(given["image_mean"]),
            tuple(given["image_std"]),
            given,
        )

    def square(self, size: dict[str, int] | None = None) -> tuple[int, int]:
        """(height, width) in pixels of a stored size; ValueError if it does not say both."""
        size = size or self.size
        if size is None or not {"height", "width"} <= size.keys():
            raise ValueError(f"--model: {self.source}: size: {size}; store it as height and width")
        return size["height"], size["width"]

    def resize(self, frames: Tensor, height: int, width: int) -> Tensor:
        return resize(frames, height, width, FILTERS[self.resample])

    def normalise(self, frames: Tensor) -> Tensor:
        """(T, 3, H, W) uint8 -> fp32; the scale goes into mean and deviation first, as in the official processor."""
        per = 1.0 if self.scale is None else 1.0 / self.scale
        mean, std = (torch.tensor(values)[:, None, None] * per for values in (self.mean, self.std))
        return (frames.float() - mean) / std


def read_settings(folder: Path) -> tuple[Path, dict[str, Any]]:
    """(file, content) of the video processor's settings, from the first place where the official one looks."""
    if (folder / NESTED).exists():
        nested = read_json(folder / NESTED).get("video_processor")
        if isinstance(nested, dict):
            return folder / NESTED, nested
        if nested is not None:
            raise ValueError(f"--model: {folder / NESTED}: video_processor is no object like {{...}}; fetch it again")
    for name in FILES:
        if (folder / name).exists():
            return folder / name, read_json(folder / name)
    raise ValueError(f"--model: {folder}: no {FILES[0]}; the checkpoint does not say what its frames look like")


def channels_first(frames: np.ndarray) -> Tensor:
    """(T, H, W, 3) uint8 -> (T, 3, H, W) uint8."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).contiguous()


def resize(frames: Tensor, height: int, width: int, mode: str) -> Tensor:
    """(T, 3, H, W) uint8 -> (T, 3, height, width) uint8 by torch's filter `mode`, as torchvision's `resize`.

    A torch without Lanczos (before 2.12) gets bicubic, as the official processors do there, with a warning.
    """
    if frames.shape[-2:] == (height, width):
        return frames
    smooth = {} if mode == "nearest-exact" else {"antialias": True, "align_corners": False}
    try:
        return functional.interpolate(frames, size=(height, width), mode=mode, **smooth)
    except (NotImplementedError, ValueError):
        if mode != "lanczos":
            raise
    warnings.warn(f"torch {torch.__version__} has no Lanczos filter: frames resized by bicubic", stacklevel=2)
    return functional.interpolate(frames, size=(height, width), mode="bicubic", **smooth)
