"""Figures over groups of pairs (questions with options, minimal pairs): a mean over groups, with an interval."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synvita.evaluate import intervals
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.groups import Credit, counterfactual, strict_entailment, yes_no
from synvita.evaluate.pairs import Rows
from synvita.evaluate.ties import left_open, option_credit

MINIMAL_PAIRS = ("counterfactual", "yes_no", "strict")
PARTS_OF = {"causal": "accuracy_causal", "temporal": "accuracy_temporal"}  # ATP-Hard's figures of their own


@dataclass(frozen=True)
class Group:
    """What one group earns. `cluster`: what is resampled with it; `part`: of the benchmark, empty where it has none."""

    credits: dict[str, Credit]
    cluster: str
    part: str


def credit_groups(rows: Rows, kind: str) -> tuple[list[Group], int]:
    """The groups of which every pair has a score, and how many others there are."""
    by_query: dict[str, Rows] = {}
    for row in rows:
        by_query.setdefault(row["query"], []).append(row)
    whole = [some for some in by_query.values() if all(row["log_odds"] is not None for row in some)]
    return [credit(some, kind) for some in whole], len(by_query) - len(whole)


def credit(rows: Rows, kind: str) -> Group:
    """Videos are resampled with all that is asked about them; a group of two videos is a cluster of its own."""
    first = rows[0]
    part, one_video = str(first.get("part") or ""), len({row["video"] for row in rows}) == 1
    cluster = first["video"] if one_video else f"group {first['query']}"
    if kind in ("counterfactual", "yes_no"):
        grid = grid_of(rows)
        return Group(counterfactual(grid) if kind == "counterfactual" else yes_no(grid), cluster, part)
    if kind == "questions":
        options = sorted(rows, key=lambda row: row.get("option", 0))
        spread, authors = option_credit([row["label"] for row in options].index(1), [r["log_odds"] for r in options])
        return Group({"accuracy": Credit(spread, authors)}, cluster, part)
    return Group(strict_entailment([row["label"] for row in rows], [row["log_odds"] for row in rows]), cluster, part)


def grid_of(rows: Rows) -> list[list[float]]:
    """Scores of caption i and video j, where caption i is right for video i; rows may stand in any order."""
    score = {(row["caption"], row["video"]): row["log_odds"] for row in rows}
    right = [(row["caption"], row["video"]) for row in rows if row["label"]]
    if len(right) != 2 or len(score) != 4:
        raise ValueError(f"group {rows[0]['query']!r}: not two captions by two videos, of which two pairs are right")
    return [[score[caption, video] for _, video in right] for caption, _ in right]


def mean_figure(credits: Sequence[Credit], clusters: Sequence[Hashable], config: EvaluateConfig) -> dict[str, Any]:
    """A figure with its interval and what ties leave open; null where there is no group."""
    if not credits:
        return {"value": None, "low": None, "high": None, "tie_low": None, "tie_high": None, "authors": None}
    table = np.array([(*credit.spread, credit.authors) for credit in credits])
    mean, low, high, authors = (math.fsum(column) / len(credits) for column in table.T.tolist())
    interval = mean_interval(table[:, 0], clusters, config)
    return {"value": mean, **intervals.bounds(interval), "tie_low": low, "tie_high": high, "authors": authors}


def mean_interval(values: np.ndarray, clusters: Sequence[Hashable], config: EvaluateConfig) -> intervals.Interval:
    """`intervals.bootstrap` of the mean, same draws, without gathering the rows of each."""
    codes, count = intervals.group_codes(clusters)
    sums = np.bincount(codes, weights=values, minlength=count)
    sizes = np.bincount(codes, minlength=count)
    drawn = [sums[d].sum() / sizes[d].sum() for d in intervals.group_draws(count, config.draws, seed=0)]
    return intervals.percentiles(np.array(drawn), config.draws, config.level)


def group_figures(groups: Sequence[Group], config: EvaluateConfig) -> dict[str, dict[str, Any]]:
    """Figure -> its entry; those of ATP-Hard's question types are figures of their own."""
    names = list(groups[0].credits) if groups else []
    clusters = [group.cluster for group in groups]
    found = {name: mean_figure([g.credits[name] for g in groups], clusters, config) for name in names}
    for part, name in PARTS_OF.items():
        some = [group for group in groups if group.part == part and "accuracy" in group.credits]
        if some:
            found[name] = mean_figure([g.credits["accuracy"] for g in some], [g.cluster for g in some], config)
    return found


def minimal_pairs(rows: Rows, kind: str, metric: str, config: EvaluateConfig) -> dict[str, Any]:
    """An entry of `results.json`: the main figure with its interval, the others, and what was left out."""
    groups, dropped = credit_groups(rows, kind)
    figures = group_figures(groups, config)
    main = figures.get(metric, {"value": None, "low": None, "high": None})
    missing = sum(row["log_odds"] is None for row in rows)
    told = {"groups": len(groups), "groups_dropped": dropped, "expected": len(rows), "missing": missing}
    others = {name: entry["value"] for name, entry in figures.items() if name != metric}
    open_ = left_open(main["tie_low"], main["tie_high"]) if groups else {}
    return {metric: main["value"], "low": main["low"], "high": main["high"], **open_, **others, **told}
