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
from synvita.core.records import Misalignment
from synvita.core.run_tasks import OWN, own_tasks
from synvita.core.store import write_atomic
from synvita.core.vocabulary import BASELINE, IN_DISTRIBUTION, OPEN, Task, tasks
from synvita.evaluate import difference, intervals, metrics, paired
from synvita.evaluate.audit import audit
from synvita.evaluate.benchmark_sizes import say_sizes
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.facts import arm_facts
from synvita.evaluate.group_figures import MINIMAL_PAIRS, PARTS_OF, minimal_pairs
from synvita.evaluate.model_size import model_sizes
from synvita.evaluate.paired import NOTHING, by_query, columns
from synvita.evaluate.pairs import Joined, Rows, join_pairs, read_pairs
from synvita.evaluate.weight_quality import beside_ensemble, score_differences, weight_quality

TEMPORAL = {Misalignment.ACTION, Misalignment.FLIP}
WORTH_A_PROCESS = 4_000_000  # bytes of pair files: their figures take longer than a process takes to import


def subsets(pairs: dict[str, Rows]) -> dict[str, Rows]:
    """The entailment figures, each a set of pairs: per test set, unseen concepts, temporal, per misalignment type."""
    parts = {name: pairs[name] for name in (IN_DISTRIBUTION, OPEN) if pairs.get(name)}
    rows = parts.get(OPEN) or parts.get(IN_DISTRIBUTION, [])
    parts["unseen"] = [r for r in rows if r["unseen"]]
    parts["temporal"] = [r for r in rows if r["misalignment"] in TEMPORAL]
    for kind in Misalignment:
        parts[f"per_type.{kind}"] = [r for r in rows if r["misalignment"] == kind]
    return {name: rows for name, rows in parts.items() if rows}


def auc_sets(pairs: dict[str, Rows], own: Sequence[Task] = ()) -> dict[str, Rows]:
    """Every set of pairs that an AUC is of: `subsets`, and the entailment tasks with a file of their own."""
    alone = [task.name for task in (*tasks(), *own) if task.kind == "entailment" and not task.split]
    return subsets(pairs) | {name: pairs[name] for name in alone if name in pairs}


def scored(rows: Rows) -> Rows:
    return [row for row in rows if row["log_odds"] is not None]


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
    return {"map": paired.mean_ap(ranked), **intervals.bounds(paired.map_interval(ranked, config)), **recalls, **told}


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
    found = {"accuracy": float(each.mean()), **intervals.bounds(interval), **told}
    for part, name in PARTS_OF.items():
        some = [value for value, rows in zip(each.tolist(), whole, strict=True) if rows[0].get("part") == part]
        if some:
            found[name] = float(np.mean(some))
    return found


def put(into: dict[str, Any], dotted: str, value: Any) -> None:
    *path, last = dotted.split(".")
    for key in path:
        into = into.setdefault(key, {})
    into[last] = value


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


# ---- two arms


def differences(
    pairs: dict[str, Rows], baseline: dict[str, Rows], config: EvaluateConfig, own: Sequence[Task] = ()
) -> dict[str, Any]:
    """Every figure minus the baseline's on the pairs that both have scored, with an interval from the same resampled
    videos.

    `pairs`: how many these are; `left_out`: those that only one has, or has a score for.

    Raises:
        ValueError: the two disagree about what is right.
    """
    found: dict[str, Any] = {}
    theirs = auc_sets(baseline, own)
    for name, rows in auc_sets(pairs, own).items():
        both, left_out = join_pairs(name, rows, theirs.get(name, []), BASELINE)
        put(found, name, {**auc_difference(both, config), "pairs": len(both), "left_out": left_out})
    for task in (*tasks(), *own):
        if task.kind in ("retrieval", "questions") and task.name in pairs and task.name in baseline:
            found[task.name] = by_query_difference(task, pairs[task.name], baseline[task.name], config)
    return found


def by_query_difference(task: Task, mine: Rows, theirs: Rows, config: EvaluateConfig) -> dict[str, Any]:
    """mAP or accuracy minus the baseline's, as `synvita compare` measures it; null where no query is whole."""
    both, left_out = join_pairs(task.name, mine, theirs, BASELINE)
    if task.kind == "questions":
        found = difference.questions(difference.whole_questions(both, mine, theirs), config.draws, config.level)
    else:
        found = difference.retrieval(both, paired.map_draws(config), config.level)
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
