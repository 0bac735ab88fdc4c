"""A video LLM as a VQA scorer of whole clips: unlike the paper's frame-level ensemble it sees the order of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from synvita.core.alignment import check_quantity, quantity
from synvita.core.frame_rules import FramePolicy
from synvita.core.question import ENTAILMENT
from synvita.core.video import Sampled
from synvita.videollm.checkpoints import revision_by_name
from synvita.videollm.memory import weights_at
from synvita.videollm.models import load_model
from synvita.videollm.protocol import Loading, usual_dtype
from synvita.videollm.scoring import QUESTIONS_AT_ONCE, ask_within, score_answers

FIGURE = 'Does this figure show "{caption}"? Please answer Yes or No.'  # what t2v_metrics 3.1 asks its chat models
QUESTIONS = {"entailment": ENTAILMENT, "figure": FIGURE}


class VideoLLMScorer:
    """f-bar = exp(-mean cross-entropy of "Yes" and its end), for the frames that the model itself takes.

    `frames` to `base`: as of `videollm.protocol.Loading`. `quantity`: another of `core.alignment.QUANTITIES`.
    `question`: a name of `QUESTIONS` or a text with {caption}, for chat models (default: the model's own).
    `fps`: frames per second, for models that take any number of frames (default: the model's own rule).
    """

    known_as: ClassVar[str] = "video_llm"
    usual_checkpoint: ClassVar[str] = ""
    usual: ClassVar[dict[str, Any]] = {"quantity": "vqa_score", "question": "", "fps": 0.0}

    def __init__(
        self,
        checkpoint: str = "",
        device: str = "cpu",
        dtype: str | None = None,
        device_map: str | None = None,
        load_4bit: bool = False,
        frames: int = 0,
        temporal_attention: bool | None = None,
        tower: str | None = None,
        base: str | None = None,
        quantity: str | None = None,
        question: str | None = None,
        fps: float | None = None,
    ):
        self.checkpoint = checkpoint or self.usual_checkpoint
        if not self.checkpoint:
            raise ValueError(f"{self.knob('checkpoint')}: none given; give a folder or a hub name owner/name")
        self.quantity = self.usual["quantity"] if quantity is None else quantity
        check_quantity(self.quantity, self.knob("quantity"))
        self.question = self.usual["question"] if question is None else QUESTIONS.get(question, question)
        if self.question and self.question.count("{caption}") != 1:
            known = ", ".join(QUESTIONS)
            raise ValueError(f"{self.knob('question')}: {question!r}: give {known}, or a text with {{caption}} once")
        self.fps = self.usual["fps"] if fps is None else fps
        if isinstance(self.fps, bool) or not isinstance(self.fps, (int, float)) or not 0 <= self.fps <= 1000:
            raise ValueError(f"{self.knob('fps')}: {fps!r} is not a number of frames per second")
        kind = usual_dtype(dtype, device, device_map, self.knob("dtype"))
        self.how = Loading(temporal_attention, kind, device, device_map, load_4bit, tower, base, frames)
        self.model: Any = None
        self.looks_at: FramePolicy | None = None

    @classmethod
    def knob(cls, name: str) -> str:
        return f"--scorers.{cls.known_as}.{name}"

    def describe(self) -> dict[str, Any]:
        """What the model does by itself (its prompt, its frames) is the checkpoint's."""
        parts = {"revision": self.checkpoint, "tower": self.how.tower, "base": self.how.base}
        found = {
            key: revision_by_name(name, self.knob("checkpoint")) for key, name in parts.items() if name is not None
        }
        how = {"dtype": str(self.how.dtype), "load_4bit": self.how.load_4bit, "frames": self.how.frames}
        asked = {key: value for key, value in (("question", self.question), ("fps", self.fps)) if value}
        return {**found, **how, "quantity": self.quantity, **asked}

    def load(self) -> None:
        """ValueError: as `load_model`; a question or a rate for a model that does not take one."""
        self.model = load_model(self.checkpoint, self.how, knob=self.knob("checkpoint"))
        self.looks_at = self.model.policy
        if self.question:
            if not hasattr(self.model.questioner, "asking"):
                text = f"{self.checkpoint} is asked in its authors' words only; leave it out"
                raise ValueError(f"{self.knob('question')}: {text}")
            self.model.questioner = self.model.questioner.asking(self.question)
        if self.fps and not self.how.frames:
            if not self.model.policy.fps:
                text = f"{self.checkpoint} takes {self.model.policy.count} frames of every clip; leave it out"
                raise ValueError(f"{self.knob('fps')}: {text}")
            self.looks_at = replace(self.model.policy, count=0, fps=float(self.fps))

    def needs(self) -> tuple[str, int] | None:
        """As of `ImageScorer`."""
        return weights_at(self.checkpoint, self.how, self.knob("checkpoint"))

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


class Qwen25VLScorer(VideoLLMScorer):
    """Qwen2.5-VL as t2v_metrics 3.1 asks it: P("Yes") of the first token, 8 frames per second."""

    known_as = "qwen2_5_vl"
    usual_checkpoint = "Qwen/Qwen2.5-VL-7B-Instruct"
    usual: ClassVar[dict[str, Any]] = {"quantity": "p_yes", "question": FIGURE, "fps": 8.0}


class Qwen3VLScorer(Qwen25VLScorer):
    """Qwen3-VL in the same way."""

    known_as = "qwen3_vl"
    usual_checkpoint = "Qwen/Qwen3-VL-8B-Instruct"
