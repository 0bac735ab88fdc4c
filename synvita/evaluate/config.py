"""What can be set about evaluation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluateConfig:
    """`draws`: bootstrap resamples of videos. `level`: of the intervals. `rows_at_once`: videos per forward pass."""

    draws: int = 1000
    level: float = 0.95
    rows_at_once: int = 32
    decode_timeout: float = 60.0

    def __post_init__(self) -> None:
        if self.draws < 1 or not 0 < self.level < 1 or self.rows_at_once < 1:
            raise ValueError(f"--evaluate: impossible values {self}")
