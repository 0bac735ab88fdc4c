"""The Python API: how well do these captions fit this video?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from synvita.core.alignment import alignment
from synvita.videollm.lora import load_lora
from synvita.videollm.scoring import score_captions
from synvita.videollm.video_llava import VideoLlava
from synvita.videollm.visual import VisualStore


@dataclass(frozen=True)
class AlignmentScores:
    """alignment: (N,) fp32 in [0, 1], f of Eq. 1. log_odds: (N,) fp32, of Yes against No."""

    alignment: np.ndarray
    log_odds: np.ndarray


class Aligner:
    """A video LLM that is asked whether captions fit a video; the video is decoded, encoded and prefilled once."""

    def __init__(self, model: VideoLlava, cache: Path | None = None, decode_timeout: float = 60.0):
        self.model = model
        self.store = VisualStore(model, cache, Path(), decode_timeout)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "mini-video-llava",
        adapter: str | Path | None = None,
        temporal_attention: bool | None = None,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        cache: Path | None = None,
        decode_timeout: float = 60.0,
    ) -> Aligner:
        """A shipped name, a folder or `owner/name`, and optionally a LoRA adapter that was trained on it."""
        model = VideoLlava.from_pretrained(name, temporal_attention, dtype, device)
        if adapter is not None:
            load_lora(model, Path(adapter))
        return cls(model, cache, decode_timeout)

    def score(self, video: str | Path, captions: Sequence[str]) -> AlignmentScores:
        """Scores of N captions, in the order given.

        Raises:
            ValueError: no captions, an empty one, an unreadable video (`VideoError`), a score that is not finite.
        """
        if not captions:
            raise ValueError("captions: none given; give at least one")
        odds = score_captions(self.model, self.store.visual([str(video)]), [list(captions)])[0]
        bad = next((i for i, value in enumerate(odds.tolist()) if not math.isfinite(value)), None)
        if bad is not None:
            raise ValueError(f"caption {captions[bad]!r}: the model's score is {odds[bad].item()}; try dtype float32")
        return AlignmentScores(alignment(odds).numpy(), odds.numpy())

    def close(self) -> None:
        """End the decoder's process."""
        self.store.close()
