"""Values over seeds as text: means, spreads, intervals, p-values; rows of Markdown tables."""

from __future__ import annotations

import math


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def spread(values: list[float]) -> float:
    """Sample standard deviation; 0 for one value."""
    if len(values) < 2:
        return 0.0
    middle = mean(values)
    return math.sqrt(sum((v - middle) ** 2 for v in values) / (len(values) - 1))


def half_width(values: list[float]) -> float:
    """Of the 95 % interval of the mean by Student's t; infinite for one value."""
    from scipy import stats

    n = len(values)
    return math.inf if n < 2 else float(stats.t.ppf(0.975, n - 1)) * spread(values) / math.sqrt(n)


def t_test(values: list[float]) -> float:
    """Two-sided p of a mean this far from 0 by Student's t, as `half_width`; 1 for one value, which says nothing."""
    from scipy import stats

    if len(values) < 2:
        return 1.0
    if not spread(values):
        return 0.0 if mean(values) else 1.0
    return float(2 * stats.t.sf(abs(mean(values)) / spread(values) * math.sqrt(len(values)), len(values) - 1))


def difference(points: list[float], corrected: float | None = None) -> str:
    """The mean of paired differences with its interval, its p, and `corrected`: that p among others' (Holm).

    Of a single one just its value.
    """
    if len(points) < 2:
        return f"{mean(points):+.1f}"
    width, p = half_width(points), t_test(points)
    shown = f"[{mean(points) - width:+.1f}, {mean(points) + width:+.1f}]"
    among = "" if corrected is None else f" ({corrected:.2f})"
    return f"{mean(points):+.1f} {shown} {'p<0.001' if p < 0.001 else f'p={p:.3f}'}{among}"


def mean_and_spread(values: list[float | None]) -> str:
    """In percent, over the seeds that have the figure; how many these are is said where some have none."""
    known = [100 * value for value in values if value is not None]
    if not known:
        return ""
    some = f" ({len(known)} of {len(values)} seeds)" if len(known) < len(values) else ""
    return f"{mean(known):.1f} ± {spread(known):.1f}{some}"


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
