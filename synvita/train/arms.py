"""The arms of the experiment: ways to use synthetic clips, as values of the same few knobs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from synvita.core.names import check_name
from synvita.core.records import Misalignment
from synvita.core.settings import choose
from synvita.core.vocabulary import BASELINE, CRITERIA, METHOD, ORACLE_ARM, UNTRAINED

WEIGHTS = ("learned", "none", "oracle", "uniform")


@dataclass(frozen=True)
class Arm:
    """One way to use synthetic clips.

    `weights`: none (no clips), uniform, learned (the scorers'), oracle (the truth). `consistency_weight`: lambda of
    Eq. 7; 0 = without Eq. 6. `criterion`, `scorers`: which weights, where `weights.jsonl` has several (default: the
    first learned ones). `synthetic_types`, `generators`: restrict the synthetic part only (Tables 2 and 9); empty =
    all. `margin`: m of Eq. 6.
    """

    weights: str = "none"
    consistency_weight: float = 0.0
    criterion: str = ""
    scorers: tuple[str, ...] = ()
    synthetic_types: tuple[str, ...] = ()
    generators: tuple[str, ...] = ()
    margin: float = 0.2

    def __post_init__(self) -> None:
        choose("--arm: weights", self.weights, WEIGHTS)
        if not 0 <= self.consistency_weight < math.inf or not 0 <= self.margin <= 1:  # refuses NaN, too
            raise ValueError(f"--arm: consistency_weight must be a number >= 0 and margin in [0, 1], got {self}")
        if self.criterion:
            choose("--arm: criterion", self.criterion, CRITERIA)
        for name in self.synthetic_types:
            choose("--synthetic-types", name, tuple(Misalignment))
        if self.consistency_weight and self.weights == "none":
            raise ValueError("--arm: the consistency loss needs synthetic clips, but weights are 'none'")
        if (self.synthetic_types or self.generators) and self.weights == "none":
            raise ValueError("--arm: synthetic_types and generators restrict synthetic clips, but weights are 'none'")


ARMS = {
    BASELINE: Arm(),
    "uniform": Arm("uniform"),
    "weighted": Arm("learned"),
    METHOD: Arm("learned", 1.0),
    ORACLE_ARM: Arm("oracle"),
}
# The same with weights of a scorer that sees the whole clip, not single frames.
VIDEO_ARMS = {
    "weighted_video": Arm("learned", scorers=("video_llm",)),
    "synvita_video": Arm("learned", 1.0, scorers=("video_llm",)),
}


def check_arm(name: Any) -> str:
    """An arm's name, which its folders get. ValueError: it cannot be a folder's, or is the untrained model's."""
    if check_name("--train.arms", name) == UNTRAINED:
        raise ValueError(f"--train.arms: {name!r} is the name of the model before training; give the arm another")
    return name
