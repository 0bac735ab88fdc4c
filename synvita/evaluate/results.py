"""Pair scores -> `results.json`: every metric with a bootstrap interval over videos, and differences to `real_only`.

A pair without a score is no row of any figure: it is counted (`missing`), never filled in. What cannot be computed from
the rest is null, with its counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synvita.core.artefacts import quantities, read_scores
from synvita.core.identity import Digests
from synvita.core.records import Misalignment
from synvita.core.store import write_atomic
from synvita.core.vocabulary import BASELINE, IN_DISTRIBUTION, OPEN, tasks
from synvita.evaluate import intervals, metrics
from synvita.evaluate.audit import audit
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.facts import arm_facts
from synvita.evaluate.pairs import Rows, pair_key, read_pairs
from synvita.evaluate.weight_quality import beside_ensemble, score_differences, weight_quality

TEMPORAL = {Misalignment.ACTION, Misalignment.FLIP}
Columns = tuple[np.ndarray, np.ndarray, list[str]]  # labels, scores, videos
NOTHING = {"low": None, "high": None}


def subsets(pairs: dict[str, Rows]) -> dict[str, Rows]:
    """The entailment figures, each a set of pairs: per test set, unseen concepts, temporal, per misalignment type."""
    parts = {name: pairs[name] for name in (IN_DISTRIBUTION, OPEN) if pairs.get(name)}
    rows = parts.get(OPEN) or parts.get(IN_DISTRIBUTION, [])
    parts["unseen"] = [r for r in rows if r["unseen"]]
    parts["temporal"] = [r for r in rows if r["misalignment"] in TEMPORAL]
    for kind in Misalignment:
        parts[f"per_type.{kind}"] = [r for r in rows if r["misalignment"] == kind]
    return {name: rows for name, rows in parts.items() if rows}


def scored(rows: Rows) -> Rows:
    return [row for row in rows if row["log_odds"] is not None]


def queries(rows: Rows) -> list[Rows]:
    """Rows by query, in the order of first appearance."""
    by_query: dict[str, Rows] = {}
    for row in rows:
        by_query.setdefault(row["query"], []).append(row)
    return list(by_query.values())


def columns(rows: Rows) -> Columns:
    return np.array([r["label"] for r in rows]), np.array([r["log_odds"] for r in rows]), [r["video"] for r in rows]


def counts(rows: Rows) -> dict[str, int]:
    return {"expected": len(rows), "missing": len(rows) - len(scored(rows))}


# ---- figures of one arm


def entailment(rows: Rows, config: EvaluateConfig) -> dict[str, Any]:
    """ROC-AUC of the scored pairs; null where they are of one class only."""
    labels, scores, videos = columns(scored(rows))
    if not 0 < labels.sum() < labels.size:
        return {"auc": None, **NOTHING, **counts(rows)}
    interval = intervals.auc_interval(labels, scores, videos, config.draws, seed=0, level=config.level)
    return {"auc": metrics.roc_auc(labels, scores), **intervals.bounds(interval), **counts(rows)}


def mean_ap(ranked: list[Columns]) -> float:
    return metrics.mean_average_precision([(labels, scores) for labels, scores, _ in ranked])


def retrieval(rows: Rows, config: EvaluateConfig) -> dict[str, Any]:
    """Tie-aware mAP and recall over queries, each ranked over the videos that have a score for it.

    A query of which no right video has a score is dropped and counted: a score for it would be made up.
    """
    every = queries(rows)
    ranked = [columns(some) for some in map(scored, every) if any(row["label"] for row in some)]
    told = {"queries": len(ranked), "queries_dropped": len(every) - len(ranked), **counts(rows)}
    recalls = {
        f"recall_at_{k}": float(np.mean([metrics.recall_at_k(y, s, k) for y, s, _ in ranked])) if ranked else None
        for k in (1, 5, 10)
    }
    if not ranked:
        return {"map": None, **NOTHING, **recalls, **told}
    return {"map": mean_ap(ranked), **intervals.bounds(map_interval(ranked, config)), **recalls, **told}


def map_interval(ranked: list[Columns], config: EvaluateConfig) -> intervals.Interval:
    """Videos are resampled, for all queries together.

    A resample repeats videos, and repeated hits raise mAP, which is no error of the figure: the quantiles are moved by
    the difference of the draws' mean from it.
    """
    draws = max(1, min(200, config.draws))
    drawn = intervals.drawn_maps(ranked, draws, seed=0)
    drawn = drawn[~np.isnan(drawn)]
    low, high = intervals.percentiles(drawn, draws, config.level)
    moved = mean_ap(ranked) - drawn.mean() if drawn.size else 0.0
    return float(np.clip(low + moved, 0.0, 1.0)), float(np.clip(high + moved, 0.0, 1.0))


def question_answering(rows: Rows, config: EvaluateConfig) -> dict[str, Any]:
    """Accuracy over the questions with one right option and a score for every option; others are dropped, counted."""
    every = queries(rows)
    whole = [some for some in every if len(scored(some)) == len(some) and sum(row["label"] for row in some) == 1]
    told = {"questions": len(whole), "questions_dropped": len(every) - len(whole), **counts(rows)}
    if not whole:
        return {"accuracy": None, **NOTHING, **told}
    right = [[row["label"] for row in some].index(1) for some in whole]
    scores = [[row["log_odds"] for row in some] for some in whole]
    each = np.array([metrics.accuracy([c], [s]) for c, s in zip(right, scores, strict=True)])
    interval = intervals.bootstrap(
        lambda i: float(each[i].mean()), [some[0]["video"] for some in whole], config.draws, seed=0, level=config.level
    )
    return {"accuracy": float(each.mean()), **intervals.bounds(interval), **told}


def put(into: dict[str, Any], dotted: str, value: Any) -> None:
    *path, last = dotted.split(".")
    for key in path:
        into = into.setdefault(key, {})
    into[last] = value


def arm_results(pairs: dict[str, Rows], config: EvaluateConfig) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, rows in subsets(pairs).items():
        put(figures, name, entailment(rows, config))
    calls = {"entailment": entailment, "retrieval": retrieval, "questions": question_answering}
    for task in tasks():
        if task.name in pairs and not task.split:
            figures[task.name] = calls[task.kind](pairs[task.name], config)
    return figures


# ---- two arms


def differences(pairs: dict[str, Rows], baseline: dict[str, Rows], config: EvaluateConfig) -> dict[str, Any]:
    """AUC minus the baseline's on the pairs that both have scored, with an interval from the same resampled videos.

    `pairs`: how many these are; `left_out`: those that only one has, or has a score for.

    Raises:
        ValueError: the two disagree about what is right.
    """
    found: dict[str, Any] = {}
    theirs = subsets(baseline)
    for name, rows in subsets(pairs).items():
        other = {pair_key(row): row for row in theirs.get(name, [])}
        joined = [(row, other[pair_key(row)]) for row in rows if pair_key(row) in other]
        for row, twin in joined:
            if row["label"] != twin["label"]:
                where = f"caption {row['caption']!r} of video {row['video']}"
                raise ValueError(f"{name}: {where}: one arm's label is {row['label']}, {BASELINE}'s {twin['label']}")
        both = [(row, twin) for row, twin in joined if None not in (row["log_odds"], twin["log_odds"])]
        entry = {"pairs": len(both), "left_out": len(rows) + len(other) - len(joined) - len(both)}
        put(found, name, {**auc_difference(both, config), **entry})
    return found


def auc_difference(both: list[tuple[dict[str, Any], dict[str, Any]]], config: EvaluateConfig) -> dict[str, Any]:
    """AUC of the first rows minus that of the second; null where they are of one class only."""
    labels, mine, videos = columns([row for row, _ in both])
    other = columns([twin for _, twin in both])[1]
    if not 0 < labels.sum() < labels.size:
        return {"auc": None, **NOTHING}
    interval = intervals.paired_auc_difference_interval(
        labels, mine, other, videos, config.draws, seed=0, level=config.level
    )
    return {"auc": metrics.roc_auc(labels, mine) - metrics.roc_auc(labels, other), **intervals.bounds(interval)}


# ---- the file


def collect(
    run: Path, arms: dict[str, list[str]], seed: int, config: EvaluateConfig, only: Sequence[str] | None = None
) -> dict[str, Any]:
    """Read all pair files, compute everything, write `results.json` (fractions; strict JSON, so null and never NaN).

    Args:
        arms: base model's folder, like `models/NAME` -> its arms. The first one's results are the file's `arms`, the
            others stand under `models`.
        only: tasks; default: all.
    Raises:
        ValueError: a bad row of a pair file or record, as file:line; two arms' files that contradict each other.
    """
    of_model = {home: model_results(run / home, some, seed, config, only) for home, some in arms.items()}
    first, *others = of_model
    results: dict[str, Any] = {"model": first.removeprefix("models/"), "arms": of_model[first]}
    if others:
        results["models"] = {home.removeprefix("models/"): {"arms": of_model[home]} for home in others}
    results["weights"] = weight_quality(run)
    results["other_weights"] = {" + ".join(some): weight_quality(run, some) for some in beside_ensemble(run)}
    scores = read_scores(run)
    results["score_differences"] = score_differences(run, scores)
    results["quantities"] = quantities(run)
    results["audit"] = audit(run, rows=scores) if scores else {}
    results["made_from"] = made_from(run, arms, seed, only)
    write_atomic(run / "results.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
    return results


def made_from(run: Path, arms: dict[str, list[str]], seed: int, only: Sequence[str] | None = None) -> dict[str, str]:
    """Pair file -> its digest."""
    folders = [run / home / "pairs" / arm / str(seed) for home, some in arms.items() for arm in some]
    paths = [path for folder in folders for path in sorted(folder.glob("*.jsonl"))]
    digests = Digests(run)
    wanted = [path.relative_to(run).as_posix() for path in paths if only is None or path.stem in only]
    found = {file: digests.of(file) for file in wanted}
    digests.save()
    return found


def model_results(
    home: Path, arms: list[str], seed: int, config: EvaluateConfig, only: Sequence[str] | None = None
) -> dict[str, Any]:
    """Arm -> its figures, and its differences to the baseline of the same base model."""
    pairs = {arm: read_pairs(home / "pairs" / arm / str(seed), only) for arm in arms}
    found: dict[str, Any] = {}
    for arm in arms:
        facts = arm_facts(home, arm, seed)
        figures = {"weights_from": facts["weights_from"], **arm_results(pairs[arm], config)}
        for key in ("triplets", "with_clip", "without_clip", "set_aside", "temporal_attention", "scores_from"):
            if key in facts:
                figures[key] = facts[key]
        if BASELINE in pairs and arm != BASELINE:
            try:
                figures[f"minus_{BASELINE}"] = differences(pairs[arm], pairs[BASELINE], config)
            except ValueError as error:
                raise ValueError(f"{home / 'pairs' / arm / str(seed)}: {error}; ask one of them again") from None
        found[arm] = figures
    return found
