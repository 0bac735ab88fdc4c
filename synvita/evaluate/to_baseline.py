"""An arm's figures minus those of `real_only`, on the pairs that both have scored, from the same resampled videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synvita.core.vocabulary import BASELINE, Task, tasks
from synvita.evaluate import difference, intervals, metrics, paired
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.group_figures import MINIMAL_PAIRS
from synvita.evaluate.paired import NOTHING, columns
from synvita.evaluate.pairs import Joined, Rows, auc_sets, join_pairs, put


def differences(
    pairs: dict[str, Rows], baseline: dict[str, Rows], config: EvaluateConfig, own: Sequence[Task] = ()
) -> dict[str, Any]:
    """Every figure minus the baseline's, with an interval. `own`: tasks that are no lines of the vocabulary.

    `pairs`: how many both have scored; `left_out`: those that only one has, or has a score for.

    Raises:
        ValueError: the two disagree about what is right.
    """
    found: dict[str, Any] = {}
    of_baseline = auc_sets(baseline, own)
    for name, rows in auc_sets(pairs, own).items():
        put(found, name, of_pairs(name, rows, of_baseline.get(name, []), config))
    for task in (*tasks(), *own):
        if task.kind != "entailment" and task.name in pairs and task.name in baseline:
            found[task.name] = by_query_difference(task, pairs[task.name], baseline[task.name], config)
    return found


def of_pairs(name: str, mine: Rows, theirs: Rows, config: EvaluateConfig) -> dict[str, Any]:
    both, left_out = join_pairs(name, mine, theirs, BASELINE)
    return {**auc_difference(both, config), "pairs": len(both), "left_out": left_out}


def by_query_difference(task: Task, mine: Rows, theirs: Rows, config: EvaluateConfig) -> dict[str, Any]:
    """Another figure minus the baseline's, as `synvita compare` measures it; null where no query is whole."""
    both, left_out = join_pairs(task.name, mine, theirs, BASELINE)
    if task.kind == "retrieval":
        found = difference.retrieval(both, paired.map_draws(config), config.level)
    else:
        whole = difference.whole_questions(both, mine, theirs)
        if task.kind in MINIMAL_PAIRS:
            found = difference.groups(whole, task, config.draws, config.level)
        else:
            found = difference.questions(whole, config.draws, config.level)
    figures = {task.metric: found["difference"], "low": found["low"], "high": found["high"]}
    return {**figures, "pairs": len(both), "left_out": left_out}


def auc_difference(both: list[Joined], config: EvaluateConfig) -> dict[str, Any]:
    """AUC of the first rows minus that of the second; null where they are of one class only."""
    labels, mine, videos = columns([row for row, _ in both])
    other = columns([twin for _, twin in both])[1]
    if not 0 < labels.sum() < labels.size:
        return {"auc": None, **NOTHING}
    interval = intervals.paired_auc_difference_interval(
        labels, mine, other, videos, config.draws, seed=0, level=config.level
    )
    return {"auc": metrics.roc_auc(labels, mine) - metrics.roc_auc(labels, other), **intervals.bounds(interval)}
