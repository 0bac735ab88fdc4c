"""What the weigh stage needs of a model that says how well a caption fits a video, and the ones known by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from synvita.core.backends import Part
from synvita.core.frame_rules import FramePolicy
from synvita.core.video import Sampled

SCORERS = {
    "clip_flant5": "synvita.weigh.clip_flant5:ClipFlanT5Scorer",
    "instructblip": "synvita.weigh.instructblip:InstructBlip",
    "llava": "synvita.weigh.llava:Llava",
    "qwen2_5_vl": "synvita.weigh.video_llm:Qwen25VLScorer",
    "qwen3_vl": "synvita.weigh.video_llm:Qwen3VLScorer",
    "video_llm": "synvita.weigh.video_llm:VideoLLMScorer",
    "world_truth": "synvita.weigh.world_truth:WorldTruth",
}
NEEDS = ("score",)
FRAMES = FramePolicy(4)  # of a scorer that does not say what it looks at


class Scorer(Protocol):
    """A VQA scorer. Its arguments are what the configuration says under `scorers`; weights are loaded by `load`, or
    with the first clip, never when it is made.

    Only `score` must be there. `describe()` says what decides its scores (default: the configuration alone).
    `load()`: once per worker, before the first clip. `looks_at`: the frames that it wants, known after `load` at the
    latest (default: 4 of the clip); None: it judges by the clip's record and gets that instead, with a `file` that
    opens. `quantity`: what its scores are, one of `core.alignment.QUANTITIES` or a name of one's own (default "score");
    only scorers of one quantity are averaged.
    `score_many(videos, captions)`: several clips in one pass, for scorers that gain from it. `needs()`: (device, bytes)
    of its weights before they are loaded, or None; one that says so works side by side with others that fit beside it.
    """

    looks_at: FramePolicy | None
    quantity: str

    def describe(self) -> dict[str, Any]:
        """Revision, prompt, frames, dtype, ...: JSON values; no weights are loaded."""

    def load(self) -> None: ...

    def score(self, video: Sampled, captions: Sequence[str]) -> np.ndarray | Sequence[float]:
        """(N,) scores in [0, 1] of N captions of one video."""


def load_scorer(part: Part) -> Any:
    """ValueError: as `Part.make`."""
    return part.make(SCORERS, NEEDS)


def described(scorer: Any) -> dict[str, Any]:
    return scorer.describe() if callable(getattr(scorer, "describe", None)) else {}


class NoScore(ValueError):
    """A number that is no score, for one clip of many."""


def checked(values: Any, captions: Sequence[str], knob: str, clip: str) -> list[float]:
    """What a scorer gave for a clip: as many scores as captions, each in [0, 1].

    Raises:
        ValueError: no list, or another number of scores: the scorer is broken. NoScore: NaN, or outside [0, 1].
    """
    try:
        scores = [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{knob}: clip {clip}: gave no list of numbers ({error})") from None
    if len(scores) != len(captions):
        raise ValueError(f"{knob}: clip {clip}: {len(scores)} scores of {len(captions)} captions")
    for value, caption in zip(scores, captions, strict=True):
        if not 0 <= value <= 1:  # NaN, too
            raise NoScore(f"{knob}: clip {clip}: {value} of {caption!r} is no score in [0, 1]")
    return scores
