"""A video LLM as a VQA scorer of whole clips: unlike the paper's frame-level ensemble it sees the order of frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from synvita.core.alignment import vqa_score
from synvita.core.frame_rules import FramePolicy
from synvita.core.packing import Segment, pack
from synvita.core.video import Sampled
from synvita.videollm.checkpoints import revision_by_name
from synvita.videollm.models import load_model
from synvita.videollm.packed import hidden_states
from synvita.videollm.protocol import Loading, dtype_of
from synvita.videollm.scoring import ask_within, prefill, shared_length

KNOB = "--scorers.video_llm.checkpoint"


class VideoLLMScorer:
    """f-bar = exp(-mean cross-entropy of "Yes" and its end), for the frames that the model itself takes.

    `frames` to `base`: as of `videollm.protocol.Loading`.
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
    ):
        self.checkpoint = checkpoint
        torch_dtype = dtype_of(dtype, "--scorers.video_llm.dtype")
        self.how = Loading(temporal_attention, torch_dtype, device, device_map, load_4bit, tower, base, frames)
        self.model: Any = None
        self.looks_at: FramePolicy | None = None

    def describe(self) -> dict[str, Any]:
        """Prompt and frames are the checkpoint's."""
        parts = {"revision": self.checkpoint, "tower": self.how.tower, "base": self.how.base}
        found = {key: revision_by_name(name, KNOB) for key, name in parts.items() if name is not None}
        return {**found, "dtype": str(self.how.dtype), "load_4bit": self.how.load_4bit, "frames": self.how.frames}

    def load(self) -> None:
        """ValueError: as `load_model`."""
        self.model = load_model(self.checkpoint, self.how, knob=KNOB)
        self.looks_at = self.model.policy

    @torch.no_grad()
    def score(self, video: Sampled, captions: Sequence[str]) -> np.ndarray:
        """N captions of one clip -> (N,) fp32 scores in [0, 1]."""
        if self.model is None:
            self.load()
        model, answers = self.model, self.model.questioner.answers
        media = model.media([model.look(video)])[0]
        asked = [ask_within(model, media, caption) for caption in captions]
        stop = shared_length(asked)
        cache, first, behind = prefill(model, [media], [asked[0].ids[:stop]])
        row = [Segment([*a.ids[stop:], answers.yes]) for a in asked]
        packed = pack([row], 0, behind, first)
        hidden = hidden_states(model.language, packed, model.placeholder, cache=cache)
        ends = torch.tensor([start + len(s.ids) for start, s in zip(packed.starts[0], row, strict=True)])
        logits = model.logits(hidden[0, torch.stack([ends - 2, ends - 1], 1)])  # (N, 2, vocab)
        return vqa_score(logits, torch.tensor([answers.yes, answers.end], device=logits.device)).cpu().numpy()
