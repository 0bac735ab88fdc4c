"""Values over seeds as text: means, spreads, intervals, sign tests; rows of Markdown tables."""

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


def sign_test(values: list[float]) -> float:
    """Two-sided p of as many equal signs if each were a coin toss; zeros are left out."""
    from scipy import stats

    signs = [v > 0 for v in values if v]
    return float(stats.binomtest(sum(signs), len(signs)).pvalue) if signs else 1.0


def difference(points: list[float]) -> str:
    """The mean of paired differences with its interval and the sign test's p."""
    width = half_width(points)
    shown = f" [{mean(points) - width:+.1f}, {mean(points) + width:+.1f}]" if math.isfinite(width) else ""
    return f"{mean(points):+.1f}{shown} p={sign_test(points):.2f}"


def mean_and_spread(values: list[float | None]) -> str:
    """In percent, over the seeds that have the figure; how many these are is said where some have none."""
    known = [100 * value for value in values if value is not None]
    if not known:
        return ""
    some = f" ({len(known)} of {len(values)} seeds)" if len(known) < len(values) else ""
    return f"{mean(known):.1f} ± {spread(known):.1f}{some}"


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
