"""Which examples a step takes and at which rate: functions of numbers and names, so that a resumed run has the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from synvita.core.provenance import seed_of
from synvita.train.config import TrainConfig


def plan(ids: Sequence[str], size: int, epochs: int, seed: int) -> Iterator[list[int]]:
    """Every example once per epoch, in an order that depends on the seed, the epoch and the examples' ids alone."""
    for epoch in range(epochs):
        order = sorted(range(len(ids)), key=lambda i: seed_of("order", seed, epoch, ids[i]))
        for i in range(0, len(order), size):
            yield order[i : i + size]


def warmup_of(steps: int, config: TrainConfig) -> int:
    """Steps of warm-up: what is set, or a tenth of the steps, rounded up, if there are no more steps than that.

    A training that is all warm-up hardly leaves its start: one step of 20 has a twentieth of the rate.
    """
    return config.warmup if config.warmup < steps else math.ceil(steps / 10)


def rate_at(step: int, steps: int, config: TrainConfig) -> float:
    """Learning rate of a step (from 0): linear warm-up, then cosine or linear to zero, or constant."""
    warmup = warmup_of(steps, config)
    if step < warmup:
        return config.rate * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    if config.schedule == "cosine":
        return config.rate * 0.5 * (1 + math.cos(math.pi * done))
    return config.rate * (1 - done if config.schedule == "linear" else 1)
