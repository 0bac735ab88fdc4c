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
from synvita.core.pool import in_processes
from synvita.core.run_tasks import OWN, own_tasks
from synvita.core.store import write_atomic
from synvita.core.vocabulary import BASELINE, Task, tasks
from synvita.evaluate import intervals, metrics, paired, ties
from synvita.evaluate.audit import audit
from synvita.evaluate.benchmark_sizes import say_sizes
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.facts import arm_facts
from synvita.evaluate.group_figures import MINIMAL_PAIRS, PARTS_OF, minimal_pairs
from synvita.evaluate.model_size import model_sizes
from synvita.evaluate.paired import NOTHING, by_query, columns
from synvita.evaluate.pairs import Rows, auc_sets, put, read_pairs, scored
from synvita.evaluate.to_baseline import differences
from synvita.evaluate.weight_quality import beside_ensemble, score_differences, weight_quality

WORTH_A_PROCESS = 4_000_000  # bytes of pair files: their figures take longer than a process takes to import


def counts(rows: Rows) -> dict[str, int]:
    return {"expected": len(rows), "missing": len(rows) - len(scored(rows))}


# ---- figures of one arm


def entailment(rows: Rows, config: EvaluateConfig) -> dict[str, Any]:
    """ROC-AUC of the scored pairs; null where they are of one class only."""
    labels, scores, videos = columns(scored(rows))
    if not 0 < labels.sum() < labels.size:
        return {"auc": None, **NOTHING, **counts(rows)}
    interval = intervals.auc_interval(labels, scores, videos, config.draws, seed=0, level=config.level)
    open_ = ties.left_open(*ties.auc_bounds(labels, scores))
    return {"auc": metrics.roc_auc(labels, scores), **intervals.bounds(interval), **open_, **counts(rows)}


def retrieval(rows: Rows, config: EvaluateConfig) -> dict[str, Any]:
    """Tie-aware mAP and recall over queries, each ranked over the videos that have a score for it.

    A query of which no right video has a score is dropped and counted: a score for it would be made up.
    """
    every = by_query(rows)
    ranked = [columns(some) for some in map(scored, every) if any(row["label"] for row in some)]
    told = {"queries": len(ranked), "queries_dropped": len(every) - len(ranked), **counts(rows)}
    recalls = {
        f"recall_at_{k}": float(np.mean([metrics.recall_at_k(y, s, k) for y, s, _ in ranked])) if ranked else None
        for k in (1, 5, 10)
    }
    if not ranked:
        return {"map": None, **NOTHING, **recalls, **told}
    mean, low, high = ties.mean_of([ties.precision_spread(labels, scores) for labels, scores, _ in ranked])
    interval = intervals.bounds(paired.map_interval(ranked, config))
    return {"map": paired.mean_ap(ranked), **interval, **ties.left_open(low, high, mean), **recalls, **told}


def question_answering(rows: Rows, config: EvaluateConfig) -> dict[str, Any]:
    """Accuracy over the questions with one right option and a score for every option; others are dropped, counted."""
    every = by_query(rows)
    whole = [some for some in every if len(scored(some)) == len(some) and sum(row["label"] for row in some) == 1]
    told = {"questions": len(whole), "questions_dropped": len(every) - len(whole), **counts(rows)}
    if not whole:
        return {"accuracy": None, **NOTHING, **told}
    each = np.array([paired.is_right(some) for some in whole])
    interval = intervals.bootstrap(
        lambda i: float(each[i].mean()), [some[0]["video"] for some in whole], config.draws, seed=0, level=config.level
    )
    _, low, high = ties.mean_of([paired.option_spread(some) for some in whole])
    found = {"accuracy": float(each.mean()), **intervals.bounds(interval), **ties.left_open(low, high), **told}
    for part, name in PARTS_OF.items():
        some = [value for value, rows in zip(each.tolist(), whole, strict=True) if rows[0].get("part") == part]
        if some:
            found[name] = float(np.mean(some))
    return found


def arm_results(pairs: dict[str, Rows], config: EvaluateConfig, own: Sequence[Task] = ()) -> dict[str, Any]:
    """`own`: tasks of the run that are no lines of the vocabulary; their entries say which figure is theirs."""
    figures: dict[str, Any] = {}
    for name, rows in auc_sets(pairs, own).items():
        put(figures, name, entailment(rows, config))
    calls = {"retrieval": retrieval, "questions": question_answering}
    for task in (*tasks(), *own):
        if task.name in pairs and task.kind in MINIMAL_PAIRS:
            figures[task.name] = minimal_pairs(pairs[task.name], task.kind, task.metric, config)
        elif task.name in pairs and task.kind in calls:
            figures[task.name] = calls[task.kind](pairs[task.name], config)
    for task in own:
        if task.name in figures:
            figures[task.name][OWN] = task.metric
    return figures


# ---- the file


def collect(
    run: Path,
    arms: dict[str, list[str]],
    seed: int,
    config: EvaluateConfig,
    only: Sequence[str] | None = None,
    workers: int = 1,
    look: tuple[Path, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Read all pair files, compute everything, write `results.json` (fractions; strict JSON, so null and never NaN).

    Args:
        arms: base model's folder, like `models/NAME` -> its arms. The first one's results are the file's `arms`, the
            others stand under `models`.
        only: tasks; default: all.
        workers: processes at most; few pairs are measured in this one.
        look: a folder below the run folder that has pair files of its own and gets the file, and what the file says of
            it under `look`.
    Raises:
        ValueError: a bad row of a pair file or record, as file:line; two arms' files that contradict each other.
    """
    place, told = (run, {}) if look is None else (look[0], {"look": look[1]})
    size = sum(path.stat().st_size for path in pair_files(place, arms, seed, only))
    many = workers if size > WORTH_A_PROCESS else 1
    of_model = {
        home: model_results(run / home, place / home, some, seed, config, only, many) for home, some in arms.items()
    }
    say_sizes(run, of_model)
    first, *others = of_model
    results: dict[str, Any] = {**told, "model": first.removeprefix("models/"), "arms": of_model[first]}
    if others:
        results["models"] = {home.removeprefix("models/"): {"arms": of_model[home]} for home in others}
    results["parameters"] = model_sizes(run, list(arms))
    results["weights"] = weight_quality(run)
    results["other_weights"] = {" + ".join(some): weight_quality(run, some) for some in beside_ensemble(run)}
    scores = read_scores(run)
    results["score_differences"] = score_differences(run, scores)
    results["quantities"] = quantities(run)
    results["audit"] = audit(run, rows=scores) if scores else {}
    results["made_from"] = made_from(run, place, arms, seed, only)
    write_atomic(place / "results.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
    return results


def made_from(
    run: Path, place: Path, arms: dict[str, list[str]], seed: int, only: Sequence[str] | None = None
) -> dict[str, str]:
    """Pair file, relative to the run folder -> its digest."""
    digests = Digests(run)
    found = {
        file: digests.of(file)
        for file in (path.relative_to(run).as_posix() for path in pair_files(place, arms, seed, only))
    }
    digests.save()
    return found


def pair_files(run: Path, arms: dict[str, list[str]], seed: int, only: Sequence[str] | None) -> list[Path]:
    folders = [run / home / "pairs" / arm / str(seed) for home, some in arms.items() for arm in some]
    paths = [path for folder in folders for path in sorted(folder.glob("*.jsonl"))]
    return [path for path in paths if only is None or path.stem in only]


def model_results(
    home: Path,
    asked: Path,
    arms: list[str],
    seed: int,
    config: EvaluateConfig,
    only: Sequence[str] | None = None,
    workers: int = 1,
) -> dict[str, Any]:
    """Arm -> its figures, and its differences to the baseline of the same base model.

    Args:
        home: the model's folder, `models/NAME` of a run. asked: what has its `pairs/`: the same, but of a look.
        workers: processes that measure an arm each; it pays from a few thousand pairs an arm.
    """
    calls = [(arm, (home, asked, arm, arms, seed, config, only)) for arm in arms]
    if workers == 1:
        return {arm: figures_of(*arguments) for arm, arguments in calls}
    measured = dict(in_processes(figures_of, calls, min(workers, len(arms))))
    return {arm: measured[arm] for arm in arms}


def figures_of(
    home: Path, asked: Path, arm: str, arms: list[str], seed: int, config: EvaluateConfig, only: Sequence[str] | None
) -> dict[str, Any]:
    """One arm of `model_results`."""
    pairs, facts = read_pairs(asked / "pairs" / arm / str(seed), only), arm_facts(home, arm, seed)
    own = own_tasks(home.parents[1])
    figures = {"weights_from": facts["weights_from"], **arm_results(pairs, config, own)}
    for key in ("triplets", "with_clip", "without_clip", "set_aside", "temporal_attention", "scores_from"):
        if key in facts:
            figures[key] = facts[key]
    if BASELINE in arms and arm != BASELINE:
        baseline = read_pairs(asked / "pairs" / BASELINE / str(seed), only)
        try:
            figures[f"minus_{BASELINE}"] = differences(pairs, baseline, config, own)
        except ValueError as error:
            raise ValueError(f"{asked / 'pairs' / arm / str(seed)}: {error}; ask one of them again") from None
    return figures
