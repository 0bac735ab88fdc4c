"""The real video's first frame as a clip's start: the scene stays, only what the caption says may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synvita.core.decoder import Decoder
from synvita.core.frame_rules import FramePolicy
from synvita.core.identity import Digests
from synvita.core.records import Triplet

FIRST = FramePolicy(1, "first_frames")


def start_of(triplet: Triplet, run: Path, digests: Digests) -> dict[str, Any]:
    """What a clip depends on besides caption and seed: the real video, by its name and its content.

    ValueError: it is not there.
    """
    try:
        return {"first_frame_of": triplet.video, "video_digest": digests.of(triplet.video)}
    except OSError as error:
        raise ValueError(f"triplet {triplet.id}: {run / triplet.video}: {error.strerror}; mend the path") from None


def first_frames(run: Path, settings: Sequence[Mapping[str, Any]], height: int, width: int) -> list[Any]:
    """A picture (PIL) of the wanted size for each clip. ValueError: a video that gives no frames."""
    with Decoder() as decoder:
        frames = [decoder.video(run / one["first_frame_of"], FIRST).frames[0] for one in settings]
    return [fitted(frame, height, width) for frame in frames]


def fitted(frame: np.ndarray, height: int, width: int) -> Any:
    """(H, W, 3) uint8 -> its largest middle part of the wanted proportions, in the wanted size: not distorted."""
    from PIL import Image, ImageOps

    return ImageOps.fit(Image.fromarray(frame), (width, height), Image.Resampling.LANCZOS)
