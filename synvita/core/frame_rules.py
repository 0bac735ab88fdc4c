"""Which frames of a video a model sees. A frame's index is its rank in presentation order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


def both_ends(n: int, k: int) -> list[int]:
    """First and last frame and equal steps between them, truncated."""
    return [int(i) for i in np.linspace(0, n - 1, k, dtype=int)]


def both_ends_rounded(n: int, k: int) -> list[int]:
    """As `both_ends`, but rounded, half to even."""
    return [int(i) for i in np.linspace(0, n - 1, k).round()]


def segment_starts(n: int, k: int) -> list[int]:
    """The first frame of each of k equal segments."""
    return [i * n // k for i in range(k)]


def segment_middles(n: int, k: int) -> list[int]:
    """The middle of each of k equal segments, truncated."""
    return [(2 * i + 1) * n // (2 * k) for i in range(k)]


def segment_middles_rounded(n: int, k: int) -> list[int]:
    """Middles of k segments up to the last frame: half a step, truncated, plus whole steps, rounded half to even."""
    step = (n - 1) / k
    return [int(step / 2) + int(i) for i in np.round(step * np.arange(k))]


def whole_steps(n: int, k: int) -> list[int]:
    """From the first frame on in steps of n // k (at least 1): t2v_metrics' rule for image models."""
    step = max(1, n // k)
    return [min(i * step, n - 1) for i in range(k)]


def first_frames(n: int, k: int) -> list[int]:
    """The first k frames; a shorter video repeats its last one (GenAI-Bench's rule, k = 36)."""
    return [min(i, n - 1) for i in range(k)]


# Each video LLM was trained with one. They differ by a frame here and there, which is enough to shift its scores.
RULES = {
    "both_ends": both_ends,
    "both_ends_rounded": both_ends_rounded,
    "both_ends_trimmed": both_ends,  # between ends that depend on the clock: `FramePolicy.trimmed`
    "segment_starts": segment_starts,
    "segment_middles": segment_middles,
    "segment_middles_rounded": segment_middles_rounded,
    "whole_steps": whole_steps,
    "first_frames": first_frames,
}


def check_rule(name: str) -> None:
    """ValueError: nobody knows this rule."""
    if name not in RULES:
        raise ValueError(f"rule: unknown frame rule {name!r}; known: {', '.join(RULES)}")


def uniform_indices(n: int, k: int, rule: str = "both_ends") -> list[int]:
    """k frame indices of n, spread by one of `RULES` (repeats where n < k).

    Raises:
        ValueError: unknown rule, n < 1 or k < 1.
    """
    check_rule(rule)
    if n < 1 or k < 1:
        raise ValueError(f"n, k: need at least one frame to take from and one to take, got n={n}, k={k}")
    return RULES[rule](n, k)


@dataclass(frozen=True)
class FramePolicy:
    """Which frames of a video a model sees.

    `count`: how many; 0 = as many as `fps` (frames per second of the video's own clock) gives, between `least` and
    `most`, in steps of `step`. `rule`: where they lie (`uniform_indices`). `size`: (height, width) in pixels that
    frames are decoded to, shape not kept; None = as they are.
    """

    count: int = 8
    rule: str = "both_ends"
    size: tuple[int, int] | None = None
    fps: float = 0.0
    least: int = 1
    most: int = 768
    step: int = 1

    def __post_init__(self) -> None:
        check_rule(self.rule)
        for name, low in (("count", 0), ("least", 1), ("most", 1), ("step", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"frames: {name} is {value!r}, not a whole number from {low} on")
        if not 0 <= self.fps < math.inf or (not self.count and not self.fps):  # NaN, too
            raise ValueError(
                f"frames: fps is {self.fps} with count {self.count}; give a number of frames, or per second"
            )

    def indices(self, total: int, rate: float) -> list[int]:
        """Of a video with `total` frames at `rate` frames per second."""
        if self.rule == "both_ends_trimmed":
            return self.trimmed(total, rate or 24.0)
        count = self.count
        if not count:
            count = int(total / (rate or 24.0) * self.fps)
            count = min(max(count, self.least), self.most, max(total, self.least))
            count = max(self.step, count // self.step * self.step)
        return uniform_indices(total, count, self.rule)

    def trimmed(self, total: int, rate: float) -> list[int]:
        """`fps` rounded, at most `most`, none twice; or `count`. A long video loses its first and last second."""
        most, first, last = self.count or self.most, 0, total - 1
        if total / rate - 2 > most * self.fps:
            begin, end = int(rate), min(int(total - rate), last)
            first, last = (begin, end) if begin < end else (first, last)
        count = self.count or min(max(round(self.fps * (total / rate)), 1), most)
        found = [int(i) for i in np.linspace(first, last, count, dtype=int)]
        return found if self.count else sorted(set(found))
