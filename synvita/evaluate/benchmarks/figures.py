"""The figures of a benchmark: each with an interval over videos, what ties leave open, and the authors' rule for them.

{"value", "low", "high", "tie_low", "tie_high", "authors"}, fractions. `value` does not depend on the order of ties.
`authors` is what the benchmark's own script prints, and null where that is a matter of chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from synvita.evaluate import intervals, metrics
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.group_figures import credit_groups, group_figures
from synvita.evaluate.paired import Columns, by_query, columns, map_interval, mean_ap
from synvita.evaluate.pairs import Rows, scored
from synvita.evaluate.ties import auc_bounds, mean_of, precision_spread, recall_bounds

KS = (1, 5, 10)
DRAWS = 200  # of videos, where every draw ranks them all again


@dataclass(frozen=True)
class Measured:
    """n: units that have all their scores. parts: aspects, categories, misalignments -> their n and main figure."""

    n: int
    figures: dict[str, dict[str, Any]]
    parts: dict[str, dict[str, Any]]


def measure(rows: Rows, kind: str, metric: str, config: EvaluateConfig) -> Measured:
    """All figures of the pairs, or groups of pairs, that have all their scores; metric: the main one."""
    if kind == "entailment":
        return Measured(len(scored(rows)), entailment(rows, config), auc_by_part(rows))
    if kind == "retrieval":
        return Measured(len(scored(rows)), retrieval(rows, config), {})
    groups, _ = credit_groups(rows, kind)
    parts: dict[str, list[float]] = {}
    for group in groups:
        if group.part:
            parts.setdefault(group.part, []).append(group.credits[metric].spread.mean)
    means = {part: {"n": len(each), metric: math.fsum(each) / len(each)} for part, each in sorted(parts.items())}
    return Measured(len(groups), group_figures(groups, config), means)


def auc_by_part(rows: Rows) -> dict[str, dict[str, Any]]:
    parts: dict[str, Rows] = {}
    for row in scored(rows):
        if row.get("part"):
            parts.setdefault(row["part"], []).append(row)
    found = {}
    for part, some in sorted(parts.items()):
        labels, scores, _ = columns(some)
        if 0 < labels.sum() < labels.size:
            found[part] = {"n": len(some), "auc": metrics.roc_auc(labels, scores)}
    return found


def entailment(rows: Rows, config: EvaluateConfig) -> dict[str, dict[str, Any]]:
    """ROC-AUC; the authors' script (scikit-learn's) counts a tie half, as we do."""
    labels, scores, videos = columns(scored(rows))
    if not 0 < labels.sum() < labels.size:
        raise ValueError("the pairs that have a score are all right or all wrong; ROC-AUC needs both")
    value = metrics.roc_auc(labels, scores)
    interval = intervals.auc_interval(labels, scores, videos, config.draws, seed=0, level=config.level)
    low, high = auc_bounds(labels, scores)
    return {"auc": {"value": value, **intervals.bounds(interval), "tie_low": low, "tie_high": high, "authors": value}}


def retrieval(rows: Rows, config: EvaluateConfig) -> dict[str, dict[str, Any]]:
    """mAP and recall over the captions of which a right video has a score. The authors' script sorts ties by chance:
    its number is defined where every order gives the same. `tie_mean`: the mean over all orders."""
    ranked = [columns(some) for some in map(scored, by_query(rows)) if any(row["label"] for row in some)]
    if not ranked:
        raise ValueError("no caption has a score for a right video; nothing can be ranked")
    mean, low, high = mean_of([precision_spread(labels, scores) for labels, scores, _ in ranked])
    interval = intervals.bounds(map_interval(ranked, config))
    found = {"map": {"value": mean_ap(ranked), **interval, **ties(low, high), "tie_mean": mean}}
    drawn = drawn_recalls(ranked, config)
    for place, k in enumerate(KS):
        values = [metrics.recall_at_k(labels, scores, k) for labels, scores, _ in ranked]
        bounds = np.mean([recall_bounds(labels, scores, k) for labels, scores, _ in ranked], axis=0).tolist()
        value = float(np.mean(values))
        own = drawn[:, place]
        interval = intervals.bounds(shifted(own[~np.isnan(own)], value, config))
        found[f"recall_at_{k}"] = {"value": value, **interval, **ties(*bounds), "tie_mean": value}
    return found


def ties(low: float, high: float) -> dict[str, float | None]:
    defined = math.isclose(low, high, rel_tol=0, abs_tol=1e-12)
    return {"tie_low": low, "tie_high": high, "authors": low if defined else None}


def drawn_recalls(ranked: list[Columns], config: EvaluateConfig) -> np.ndarray:
    """(draws, KS): recall over captions with the videos drawn anew, the same for all captions; those of which no right
    video was drawn are left out of a draw, as for mAP."""
    codes, count = intervals.group_codes([video for _, _, videos in ranked for video in videos])
    of_query = np.split(codes, np.cumsum([len(videos) for _, _, videos in ranked])[:-1])
    found = []
    for drawn in intervals.group_draws(count, min(DRAWS, config.draws), seed=0):
        times = np.bincount(drawn, minlength=count)
        each = []
        for (labels, scores, _), own in zip(ranked, of_query, strict=True):
            truth, values = np.repeat(labels, times[own]), np.repeat(scores, times[own])
            if truth.any():
                each.append([metrics.recall_at_k(truth, values, k) for k in KS])
        found.append(np.mean(each, axis=0) if each else np.full(len(KS), math.nan))
    return np.array(found)


def shifted(drawn: np.ndarray, value: float, config: EvaluateConfig) -> intervals.Interval:
    """Quantiles moved by the difference of the draws' mean from the figure: repeated hits are no error of it."""
    low, high = intervals.percentiles(drawn, min(DRAWS, config.draws), config.level)
    moved = value - drawn.mean() if drawn.size else 0.0
    return float(np.clip(low + moved, 0.0, 1.0)), float(np.clip(high + moved, 0.0, 1.0))
