"""mAP and accuracy of one arm, and minus another's on the same queries, by resampling the same videos for both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synvita.evaluate import intervals, metrics
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.pairs import Joined, Rows, pair_key

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


def map_difference(rows: Rows, both: Sequence[Joined], config: EvaluateConfig) -> dict[str, Any]:
    """mAP minus the other arm's, over the queries of which both have scored a right video; null where there is none.

    Args:
        rows: all of this arm's.
        both: the pairs that both arms have scored.
    """
    del rows  # a query is ranked over what both have
    twins = {pair_key(row): twin for row, twin in both}
    kept = [some for some in by_query([row for row, _ in both]) if any(row["label"] for row in some)]
    if not kept:
        return {"map": None, **NOTHING}
    mine = [columns(some) for some in kept]
    theirs = [columns([twins[pair_key(row)] for row in some]) for some in kept]
    value, draws = mean_ap(mine) - mean_ap(theirs), map_draws(config)
    drawn = intervals.drawn_maps(mine, draws, seed=0) - intervals.drawn_maps(theirs, draws, seed=0)
    return {"map": value, **intervals.bounds(around(value, drawn, draws, config.level))}


# ---- questions


def is_right(options: Rows) -> float:
    """1 if the right option scores highest, a share of it where it ties."""
    right = [row["label"] for row in options].index(1)
    return metrics.accuracy([right], [[row["log_odds"] for row in options]])


def accuracy_difference(rows: Rows, both: Sequence[Joined], config: EvaluateConfig) -> dict[str, Any]:
    """Accuracy minus the other arm's, over the questions with one right option and both arms' scores for every option.

    Args:
        rows: all of this arm's, which say how many options a question has.
        both: the pairs that both arms have scored.
    """
    twins = {pair_key(row): twin for row, twin in both}
    whole = [some for some in by_query(rows) if all(pair_key(row) in twins for row in some)]
    whole = [some for some in whole if sum(row["label"] for row in some) == 1]
    if not whole:
        return {"accuracy": None, **NOTHING}
    each = np.array([is_right(some) - is_right([twins[pair_key(row)] for row in some]) for some in whole])
    interval = intervals.bootstrap(
        lambda i: float(each[i].mean()), [some[0]["video"] for some in whole], config.draws, seed=0, level=config.level
    )
    return {"accuracy": float(each.mean()), **intervals.bounds(interval)}
