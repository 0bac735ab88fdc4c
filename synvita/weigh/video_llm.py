"""A video LLM as a VQA scorer of whole clips: unlike the paper's frame-level ensemble it sees the order of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from synvita.core.alignment import vqa_score
from synvita.core.packing import Segment, pack
from synvita.core.video import Sampled
from synvita.videollm.models import load_model
from synvita.videollm.packed import hidden_states
from synvita.videollm.scoring import ask_within, prefill, shared_length


class VideoLLMScorer:
    """f-bar = exp(-mean cross-entropy of "Yes" and its end), for the frames that the model itself takes (`policy`)."""

    def __init__(self, name: str | Path):
        self.model = load_model(name, knob="--weigh.models.video_llm")
        self.policy = self.model.policy

    @torch.no_grad()
    def score(self, video: Sampled, captions: list[str]) -> np.ndarray:
        """N captions of one clip -> (N,) fp32 scores in [0, 1]."""
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
