"""A video LLM as a VQA scorer of whole clips: unlike the paper's frame-level ensemble it sees the order of frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synvita.core.alignment import check_quantity, quantity
from synvita.core.frame_rules import FramePolicy
from synvita.core.video import Sampled
from synvita.videollm.checkpoints import revision_by_name
from synvita.videollm.models import load_model
from synvita.videollm.protocol import Loading, dtype_of
from synvita.videollm.scoring import QUESTIONS_AT_ONCE, ask_within, score_answers

KNOB = "--scorers.video_llm.checkpoint"


class VideoLLMScorer:
    """f-bar = exp(-mean cross-entropy of "Yes" and its end), for the frames that the model itself takes.

    `frames` to `base`: as of `videollm.protocol.Loading`. `quantity`: another of `core.alignment.QUANTITIES`.
    """

    def __init__(
        self,
        checkpoint: str,
        device: str = "cpu",
        dtype: str = "float32",
        device_map: str | None = None,
        load_4bit: bool = False,
        frames: int = 0,
        temporal_attention: bool | None = None,
        tower: str | None = None,
        base: str | None = None,
        quantity: str = "vqa_score",
    ):
        check_quantity(quantity, "--scorers.video_llm.quantity")
        self.checkpoint, self.quantity = checkpoint, quantity
        torch_dtype = dtype_of(dtype, "--scorers.video_llm.dtype")
        self.how = Loading(temporal_attention, torch_dtype, device, device_map, load_4bit, tower, base, frames)
        self.model: Any = None
        self.looks_at: FramePolicy | None = None

    def describe(self) -> dict[str, Any]:
        """Prompt and frames are the checkpoint's."""
        parts = {"revision": self.checkpoint, "tower": self.how.tower, "base": self.how.base}
        found = {key: revision_by_name(name, KNOB) for key, name in parts.items() if name is not None}
        how = {"dtype": str(self.how.dtype), "load_4bit": self.how.load_4bit, "frames": self.how.frames}
        return {**found, **how, "quantity": self.quantity}

    def load(self) -> None:
        """ValueError: as `load_model`."""
        self.model = load_model(self.checkpoint, self.how, knob=KNOB)
        self.looks_at = self.model.policy

    @torch.no_grad()
    def score(self, video: Sampled, captions: Sequence[str]) -> np.ndarray:
        """N captions of one clip -> (N,) fp32 scores in [0, 1]."""
        if self.model is None:
            self.load()
        media = self.model.media([self.model.look(video)])[0]
        asked = [ask_within(self.model, media, caption) for caption in captions]
        place = "cpu" if self.model.language.device.type == "cpu" else "accelerator"
        scores = score_answers(self.model, [media], [asked], self.measure, QUESTIONS_AT_ONCE[place])
        return scores[0].float().cpu().numpy()

    def measure(self, logits: Tensor) -> Tensor:
        """(n, 2, vocab) logits at the answer and its end -> (n,) scores."""
        answers = self.model.questioner.answers
        return quantity(self.quantity, logits, answers.yes, answers.no, answers.end)
