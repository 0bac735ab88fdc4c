"""Table 6: the scorers themselves, alone and together, on videos with a true and a false caption each.

A weight is only as good as what its scorer sees, and whether several see more than the best of them is a matter of
measuring (supplement, "Additional analysis").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from synvita.core.records import Misalignment
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.from_table import log_odds
from synvita.evaluate.pairs import Rows, scored
from synvita.evaluate.results import entailment
from synvita.evaluate.to_baseline import auc_difference

Pair = tuple[str, str]  # (video, caption)
Scores = Mapping[str, Mapping[Pair, float]]  # scorer -> pair -> score in [0, 1]
ALL = "all"


def groups(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Each scorer alone, every two of them, and all."""
    return [group for size in dict.fromkeys((1, 2, len(names))) for group in combinations(names, size)]


def scorer_figures(
    pairs: Mapping[str, Rows], scores: Scores, quantities: Mapping[str, str], config: EvaluateConfig
) -> dict[str, Any]:
    """ROC-AUC of every group's mean score, over all pairs of a test set and per misalignment type.

    All groups are measured on the pairs that every scorer has scored, so that their figures can be compared.

    Args:
        pairs: test set -> its pairs, as they are asked. quantities: scorer -> what its scores are; means are of one
            quantity only.
    Returns:
        {"quantities", "without_mean": groups of several quantities, "sets": {test set: {group: {"all" or type: {auc,
        low, high, expected, missing}}}}, "mean_minus": {test set: {scorer: {auc, low, high}}}}: the last is the mean
        of all minus each alone, on the same resampled videos. A group is its names joined by " + ".
    """
    names = list(scores)
    means = [group for group in groups(names) if len({quantities[name] for name in group}) == 1]
    found: dict[str, Any] = {
        "quantities": dict(quantities),
        "without_mean": [" + ".join(group) for group in groups(names) if group not in means],
        "sets": {},
        "mean_minus": {},
    }
    for test, rows in pairs.items():
        each = {group: with_mean(rows, group, scores) for group in means}
        found["sets"][test] = {" + ".join(group): by_type(some, config) for group, some in each.items()}
        every = each.get(tuple(names)) if len(names) > 1 else None
        if every is not None:
            found["mean_minus"][test] = {
                name: auc_difference(list(zip(scored(every), scored(each[(name,)]), strict=True)), config)
                for name in names
            }
    return found


def with_mean(rows: Rows, group: Sequence[str], scores: Scores) -> Rows:
    """The pairs with the group's mean score; null where any scorer, of this group or not, has none."""
    found = []
    for row in rows:
        pair = (row["video"], row["caption"])
        there = all(pair in of for of in scores.values())
        mean = sum(scores[name][pair] for name in group) / len(group) if there else None
        found.append(row | {"log_odds": None if mean is None else log_odds(mean)})
    return found


def by_type(rows: Rows, config: EvaluateConfig) -> dict[str, Any]:
    parts = {ALL: rows} | {str(kind): [row for row in rows if row["misalignment"] == kind] for kind in Misalignment}
    return {kind: entailment(some, config) for kind, some in parts.items() if some}
