"""Rows by query, and what results and benchmarks measure of them: mAP with its interval, right answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synvita.evaluate import intervals, metrics
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.pairs import Rows
from synvita.evaluate.ties import Spread, option_credit

Columns = tuple[np.ndarray, np.ndarray, list[str]]  # labels, scores, videos
NOTHING = {"low": None, "high": None}


def columns(rows: Rows) -> Columns:
    return np.array([r["label"] for r in rows]), np.array([r["log_odds"] for r in rows]), [r["video"] for r in rows]


def by_query(rows: Rows) -> list[Rows]:
    """Rows by query, in the order of first appearance."""
    found: dict[str, Rows] = {}
    for row in rows:
        found.setdefault(row["query"], []).append(row)
    return list(found.values())


# ---- retrieval


def mean_ap(ranked: Sequence[Columns]) -> float:
    return metrics.mean_average_precision([(labels, scores) for labels, scores, _ in ranked])


def around(value: float, drawn: np.ndarray, draws: int, level: float) -> intervals.Interval:
    """The quantiles of drawn figures, moved so that the draws' mean is `value`.

    A resample repeats videos, and repeated hits raise mAP, which is no error of the figure.
    """
    drawn = drawn[~np.isnan(drawn)]
    low, high = intervals.percentiles(drawn, draws, level)
    moved = value - drawn.mean() if drawn.size else 0.0
    return low + moved, high + moved


def map_draws(config: EvaluateConfig) -> int:
    return max(1, min(200, config.draws))


def map_interval(ranked: Sequence[Columns], config: EvaluateConfig) -> intervals.Interval:
    draws = map_draws(config)
    low, high = around(mean_ap(ranked), intervals.drawn_maps(ranked, draws, seed=0), draws, config.level)
    return float(np.clip(low, 0.0, 1.0)), float(np.clip(high, 0.0, 1.0))


# ---- questions


def is_right(options: Rows) -> float:
    """1 if the right option scores highest, a share of it where it ties."""
    right = [row["label"] for row in options].index(1)
    return metrics.accuracy([right], [[row["log_odds"] for row in options]])


def option_spread(options: Rows) -> Spread:
    """`is_right` over all orders of options that tie."""
    right = [row["label"] for row in options].index(1)
    return option_credit(right, [row["log_odds"] for row in options])[0]
