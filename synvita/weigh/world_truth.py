"""The miniature's oracle as a scorer: what a clip shows is known from the simulator's record, or read by rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synvita.core.frame_rules import FramePolicy
from synvita.core.records import Clip
from synvita.core.video import sample_video
from synvita.world.captions import parse_caption
from synvita.world.checker import read
from synvita.world.render import FRAMES, SIDE
from synvita.world.scenes import describes
from synvita.world.simulator import NAME, REVISION, world_truth

CHECKER = "1"  # raised when `world.checker` reads a clip differently


class WorldTruth:
    """1 where a caption is true of what a clip of the miniature shows, else 0.

    The simulator says what it drew. What other generators drew is read from the pixels (`world.checker`); a clip in
    which no clear scene can be read shows no caption.
    """

    looks_at = None
    quantity = "truth"

    def describe(self) -> dict[str, Any]:
        return {"revision": REVISION, "checker": CHECKER}

    def needs(self) -> tuple[str, int]:
        """No weights."""
        return "cpu", 0

    def score(self, clip: Clip, captions: Sequence[str]) -> list[float]:
        """ValueError: a caption or a clip that is not of the miniature."""
        if clip.generator == NAME:
            return [world_truth(clip, caption) for caption in captions]
        content = read(pixels(Path(clip.file), clip.clip_id)).content()
        return [float(content is not None and describes(parse_caption(caption), content)) for caption in captions]


def pixels(path: Path, clip: str) -> np.ndarray:
    """The miniature's frames, (8, 32, 32, 3) uint8, of a file in which each pixel may be repeated."""
    video = sample_video(path, FramePolicy(FRAMES))
    height, width = video.frames.shape[1:3]
    if video.total != FRAMES or height != width or height % SIDE:
        raise ValueError(
            f"clip {clip}: {video.total} frames of {width} x {height}; world_truth reads only clips of the miniature, "
            f"{FRAMES} frames of {SIDE} x {SIDE}; leave it out with --weigh.oracle false"
        )
    blocks = video.frames.reshape(FRAMES, SIDE, height // SIDE, SIDE, width // SIDE, 3)
    return np.asarray(blocks.mean((2, 4)).round().astype(np.uint8))
