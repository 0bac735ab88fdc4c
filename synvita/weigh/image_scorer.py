"""What the paper's three scorers share: a model of single images scores a clip as the mean over some of its frames.

A frame-level scorer sees no time: that is a property of the paper's ensemble.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from synvita.core.alignment import check_quantity, quantity
from synvita.core.frame_rules import FramePolicy
from synvita.core.question import Answers
from synvita.core.video import Sampled
from synvita.core.video_file import VideoError
from synvita.videollm.checkpoints import find_checkpoint, quiet, readable, revision_by_name
from synvita.videollm.memory import check_memory, weights_at
from synvita.videollm.protocol import Loading, check_device, usual_dtype

# What "four uniformly sampled frames" may mean: name -> (rule of `core.frame_rules`, frames; 0 = as many as asked for).
FRAMES = {
    "whole_steps": ("whole_steps", 0),  # k * (N // 4), t2v_metrics' own
    "both_ends": ("both_ends", 0),
    "midpoints": ("segment_middles", 0),
    "all36": ("first_frames", 36),  # GenAI-Bench: the first 36, short clips repeat their last frame
    "strip": ("whole_steps", 0),  # side by side in one image, with `GAP` black pixels between
}
GAP = 10


class ImageScorer(ABC):
    """Base of the scorers of single images. One says how it loads (`build`), what it makes of pixels once per frame
    (`eye`, `project`), and its scores of each frame and caption (`answer_scores`).

    checkpoint: a folder, a shipped name, or owner/name on the hub (default: the paper's, `usual_checkpoint`). dtype: of
    the weights (default: bfloat16 on an accelerator, float32 on a CPU); scores are fp32.
    device_map, load_4bit: as of `videollm.protocol.Loading`. frames: how many of a clip. rule: one of `FRAMES`.
    quantity: what a score is, one of `core.alignment.QUANTITIES`. tower: the folder of a vision tower that the
    checkpoint does not hold. at_once: (frame, caption) pairs in one pass.
    """

    known_as: ClassVar[str]
    usual_checkpoint: ClassVar[str]
    question: str
    to_pixels: Callable[[np.ndarray], Tensor]  # (T, H, W, 3) uint8 -> (T, 3, S, S); equal ones make equal pixels
    eye: Callable[[Tensor], Tensor]  # the tower: (T, 3, S, S) -> (T, tokens, width); what equal ones give is shared

    def __init__(
        self,
        checkpoint: str = "",
        device: str = "cpu",
        dtype: str | None = None,
        device_map: str | None = None,
        load_4bit: bool = False,
        frames: int = 4,
        rule: str = "whole_steps",
        quantity: str = "vqa_score",
        tower: str | None = None,
        at_once: int = 32,
    ):
        check_device(device, self.knob("device"))
        check_quantity(quantity, self.knob("quantity"))
        if rule not in FRAMES:
            raise ValueError(f"{self.knob('rule')}: unknown {rule!r}; known: {', '.join(FRAMES)}")
        for name, value in (("frames", frames), ("at_once", at_once)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{self.knob(name)}: {value!r} is not a positive number")
        self.checkpoint, self.rule, self.quantity = checkpoint or self.usual_checkpoint, rule, quantity
        self.tower, self.at_once = tower, at_once
        kind = usual_dtype(dtype, device, device_map, self.knob("dtype"))
        self.how = Loading(None, kind, device, device_map, load_4bit, tower)
        name, count = FRAMES[rule]
        self.looks_at = FramePolicy(count or frames, name)
        self.answers: Answers | None = None  # known with the tokenizer

    @classmethod
    def knob(cls, name: str) -> str:
        return f"--scorers.{cls.known_as}.{name}"

    def describe(self) -> dict[str, Any]:
        """All that decides a score: weights, question, frames, preprocessing, dtype."""
        towers = {} if self.tower is None else {"tower": revision_by_name(self.tower, self.knob("tower"))}
        return {
            "revision": revision_by_name(self.checkpoint, self.knob("checkpoint")),
            **towers,
            "quantity": self.quantity,
            "frames": asdict(self.looks_at) | {"name": self.rule},
            "dtype": str(self.how.dtype),
            "load_4bit": self.how.load_4bit,
            "images": self.images_as(),
            "question": self.question,
        }

    def load(self) -> None:
        """ValueError: another architecture or layout; a damaged checkpoint, as `readable`. MemoryError: too large."""
        quiet()
        folder = find_checkpoint(self.checkpoint, self.knob("checkpoint"))
        with readable(folder, self.knob("checkpoint")):
            check_memory(folder, self.how, self.knob("device"))
            self.build(folder)

    def needs(self) -> tuple[str, int] | None:
        """(device, bytes) of the weights; None: they are spread over several devices, or not here to be counted."""
        return weights_at(self.checkpoint, self.how, self.knob("checkpoint"))

    @torch.no_grad()
    def score_many(self, videos: Sequence[Sampled], captions: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """The captions of each clip -> their scores (N,), fp32 in [0, 1], averaged over the frames.

        Raises:
            ValueError: a caption longer than the model takes, or with a special token. VideoError: one frame for a
                strip.
        """
        if self.answers is None:
            self.load()
        found = self.answer_scores(self.looked(videos), captions)
        return [scores.mean(0).float().cpu().numpy() for scores in found]

    def score(self, video: Sampled, captions: Sequence[str]) -> np.ndarray:
        """N captions of one clip -> (N,)."""
        return self.score_many([video], [captions])[0]

    def looked(self, videos: Sequence[Sampled]) -> list[Tensor]:
        """Per clip (frames, tokens, width): each frame goes through the tower once, also if several scorers of this
        process have that tower."""
        key = (self.eye, self.rule == "strip", self.at_once)
        new = [video for video in videos if key not in video.kept]
        if new:
            pixels = [self.kept_pixels(video) for video in new]
            frames = torch.cat([self.eye(some) for some in torch.cat(pixels).split(self.at_once)])
            for video, part in zip(new, frames.split([len(some) for some in pixels]), strict=True):
                video.kept[key] = part
        seen = [video.kept[key] for video in videos]
        return list(self.project(torch.cat(seen)).split([len(part) for part in seen]))

    def kept_pixels(self, video: Sampled) -> Tensor:
        key = (self.to_pixels, self.rule == "strip")
        if key not in video.kept:
            video.kept[key] = self.to_pixels(self.images(video))
        return video.kept[key]

    def images(self, video: Sampled) -> np.ndarray:
        """(T, H, W, 3) uint8: the frames, or the one strip."""
        if self.rule != "strip":
            return video.frames
        if len(set(video.indices)) < 2:
            raise VideoError(f"{self.knob('rule')}: strip of a clip with {video.total} frame(s); give another rule")
        black = np.zeros((video.frames.shape[1], GAP, 3), np.uint8)
        parts = [part for frame in video.frames for part in (frame, black)]
        return np.concatenate(parts[:-1], 1)[None]

    def measure(self, logits: Tensor) -> Tensor:
        """(..., 2, vocab) logits at the answer and its end -> (...) scores."""
        assert self.answers is not None
        return quantity(self.quantity, logits, self.answers.yes, self.answers.no, self.answers.end)

    # ---- of each scorer

    @abstractmethod
    def images_as(self) -> str:
        """How frames become pixels, in a few words; it stands in the stamp."""

    @abstractmethod
    def build(self, folder: Path) -> None:
        """Load model and tokenizer; set `answers`, `to_pixels` and `eye`."""

    def project(self, seen: Tensor) -> Tensor:
        """What the eye gives, as the rest of the model takes it."""
        return seen

    @abstractmethod
    def answer_scores(self, looked: list[Tensor], captions: Sequence[Sequence[str]]) -> list[Tensor]:
        """Per clip (T, tokens, width) and its captions -> (T, N), by `measure`."""
