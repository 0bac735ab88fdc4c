"""p-values where several questions are asked at once."""

from __future__ import annotations

from collections.abc import Sequence


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for their number: the chance of any false alarm among them stays below the level.

    The smallest of m counts m times, the next m - 1 times, and none less than the one before (Holm 1979).
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    corrected, largest = [0.0] * len(values), 0.0
    for place, i in enumerate(order):
        largest = max(largest, (len(values) - place) * values[i])
        corrected[i] = min(1.0, largest)
    return corrected
