"""What can be set about evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluateConfig:
    """How arms are asked and measured.

    draws: bootstrap resamples of videos.
    level: of the intervals.
    rows_at_once: videos per forward pass.
    decode_timeout: seconds for one video.
    """

    draws: int = 1000
    level: float = 0.95
    rows_at_once: int = 32
    decode_timeout: float = 60.0

    def __post_init__(self) -> None:
        for name in ("draws", "rows_at_once", "decode_timeout"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"--evaluate.{name.replace('_', '-')}: {value} is not a positive number")
        if not 0 < self.level < 1:
            raise ValueError(f"--evaluate.level: {self.level} is not a share between 0 and 1, such as 0.95")
