"""Pair scores -> `results.json`: every metric with a bootstrap interval over videos, differences to `real_only`,
and how well the learned weights find the clips that show what they should."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from synvita.core.records import ClipWeight, Misalignment, ScoredClip, Triplet
from synvita.core.store import parse_lines, read_records, write_atomic
from synvita.evaluate import intervals, metrics
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.facts import arm_facts

BASELINE = "real_only"
TEMPORAL = {Misalignment.ACTION, Misalignment.FLIP}
Rows = list[dict[str, Any]]


def read_pairs(folder: Path) -> dict[str, Rows]:
    return {path.stem: [fields for _, fields in parse_lines(path)] for path in sorted(folder.glob("*.jsonl"))}


def subsets(pairs: dict[str, Rows]) -> dict[str, Rows]:
    """The entailment figures, each a set of pairs: per test set, unseen concepts, temporal, per misalignment type."""
    found: dict[str, Rows] = {}
    if "in_distribution" in pairs:
        found["in_distribution"] = pairs["in_distribution"]
    rows = pairs.get("open") or pairs.get("in_distribution", [])
    if "open" in pairs:
        found["open"] = rows
    found["unseen"] = [r for r in rows if r["unseen"]]
    found["temporal"] = [r for r in rows if r["misalignment"] in TEMPORAL]
    for kind in Misalignment:
        found[f"per_type.{kind}"] = [r for r in rows if r["misalignment"] == kind]
    return {name: rows for name, rows in found.items() if rows}


def scored(rows: Rows) -> Rows:
    return [row for row in rows if row["log_odds"] is not None]


def queries(rows: Rows) -> list[Rows]:
    """Rows by query, in the order of first appearance."""
    found: dict[str, Rows] = {}
    for row in rows:
        found.setdefault(row["query"], []).append(row)
    return list(found.values())


def columns(rows: Rows) -> tuple[np.ndarray, np.ndarray, list[str]]:
    return np.array([r["label"] for r in rows]), np.array([r["log_odds"] for r in rows]), [r["video"] for r in rows]


def entailment(rows: Rows, config: EvaluateConfig) -> dict[str, Any]:
    labels, scores, videos = columns(scored(rows))
    low, high = intervals.auc_interval(labels, scores, videos, config.draws, seed=0, level=config.level)
    return {"auc": metrics.roc_auc(labels, scores), "low": low, "high": high, **counts(rows)}


def counts(rows: Rows) -> dict[str, int]:
    return {"expected": len(rows), "missing": len(rows) - len(scored(rows))}


def retrieval_tables(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores (queries, videos), videos in one order."""
    found = queries(scored(rows))
    videos = {row["video"]: i for i, row in enumerate(found[0])}
    labels, scores = np.zeros((len(found), len(videos))), np.zeros((len(found), len(videos)))
    for q, some in enumerate(found):
        for row in some:
            labels[q, videos[row["video"]]], scores[q, videos[row["video"]]] = row["label"], row["log_odds"]
    return labels, scores


def mean_ap(labels: np.ndarray, scores: np.ndarray) -> float:
    return metrics.mean_average_precision([(y, s) for y, s in zip(labels, scores, strict=True) if y.any()])


def retrieval(rows: Rows, config: EvaluateConfig) -> dict[str, Any]:
    """Tie-aware mAP over queries; videos are resampled for the interval (fewer draws: each is a full ranking).

    A resample repeats videos, and repeated hits raise mAP, which is no error of the figure: the quantiles are moved by
    the difference of the draws' mean from it.
    """
    labels, scores = retrieval_tables(rows)
    rng, draws = np.random.default_rng(0), max(1, min(200, config.draws))
    picks = [rng.integers(labels.shape[1], size=labels.shape[1]) for _ in range(draws)]
    drawn = [mean_ap(labels[:, p], scores[:, p]) for p in picks]
    tail = (1 - config.level) / 2
    figure = mean_ap(labels, scores)
    low, high = np.clip(np.quantile(drawn, [tail, 1 - tail]) - np.mean(drawn) + figure, 0.0, 1.0)
    recalls = {
        f"recall_at_{k}": float(np.mean([metrics.recall_at_k(y, s, k) for y, s in zip(labels, scores, strict=True)]))
        for k in (1, 5, 10)
    }
    return {"map": figure, "low": float(low), "high": float(high), **recalls, **counts(rows)}


def question_answering(rows: Rows, config: EvaluateConfig) -> dict[str, Any]:
    whole = [some for some in queries(rows) if all(r["log_odds"] is not None for r in some)]
    right = [[r["label"] for r in some].index(1) for some in whole]
    scores = [[r["log_odds"] for r in some] for some in whole]
    each = np.array([metrics.accuracy([c], [s]) for c, s in zip(right, scores, strict=True)])
    low, high = intervals.bootstrap(
        lambda i: float(each[i].mean()), [some[0]["video"] for some in whole], config.draws, seed=0, level=config.level
    )
    return {"accuracy": float(each.mean()), "low": low, "high": high, **counts(rows)}


def put(into: dict[str, Any], dotted: str, value: Any) -> None:
    *path, last = dotted.split(".")
    for key in path:
        into = into.setdefault(key, {})
    into[last] = value


def arm_results(pairs: dict[str, Rows], config: EvaluateConfig) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, rows in subsets(pairs).items():
        put(found, name, entailment(rows, config))
    calls: dict[str, Callable[[Rows, EvaluateConfig], dict[str, Any]]] = {
        "retrieval_temporal": retrieval,
        "retrieval_events": retrieval,
        "qa": question_answering,
    }
    for name, call in calls.items():
        if name in pairs:
            found[name] = call(pairs[name], config)
    return found


def differences(pairs: dict[str, Rows], baseline: dict[str, Rows], config: EvaluateConfig) -> dict[str, Any]:
    """AUC minus the baseline's on the same pairs, with a paired interval (the same resampled videos for both)."""
    found: dict[str, Any] = {}
    theirs = subsets(baseline)
    for name, rows in subsets(pairs).items():
        both = [(a, b) for a, b in zip(rows, theirs[name], strict=True) if None not in (a["log_odds"], b["log_odds"])]
        labels, mine, videos = columns([a for a, _ in both])
        other = columns([b for _, b in both])[1]
        low, high = intervals.paired_auc_difference_interval(
            labels, mine, other, videos, config.draws, seed=0, level=config.level
        )
        value = metrics.roc_auc(labels, mine) - metrics.roc_auc(labels, other)
        put(found, name, {"auc": value, "low": low, "high": high})
    return found


def by_difference(rows: list[ClipWeight]) -> list[ClipWeight]:
    """Those of Eq. 4, or if there are none, of the first criterion there is."""
    criteria = [row.criterion for row in rows]
    return [row for row in rows if row.criterion == ("difference" if "difference" in criteria else criteria[0])]


def weight_quality(run: Path, scorers: list[str] | None = None) -> dict[str, Any]:
    """ROC-AUC of the learned weights against the simulator's truth, over all clips and per misalignment type.

    `scorers`: whose weights; default: the first there are (the ensemble's).
    """
    path = run / "weights.jsonl"
    rows = by_difference(read_records(path, ClipWeight) if path.exists() else [])
    truth = {r.triplet_id: r.weight > 0.5 for r in rows if r.scorers == ["world_truth"]}
    learned = {r.triplet_id: r.weight for r in rows if r.scorers == (scorers or ensemble(rows))}
    if not truth or not learned:
        return {}
    kinds = {t.id: t.misalignment for t in read_records(run / "triplets.jsonl", Triplet)}
    found: dict[str, Any] = {}
    for kind in ("all", *Misalignment):
        ids = [i for i in learned if i in truth and kind in ("all", kinds[i])]
        labels = [int(truth[i]) for i in ids]
        weights = [learned[i] for i in ids]
        entry: dict[str, Any] = {"clips": len(ids), "right": sum(labels), "mean_weight": float(np.mean(weights or [0]))}
        if 0 < sum(labels) < len(labels):
            low, high = intervals.auc_interval(labels, weights, ids, 1000, seed=0)
            entry |= {"auc": metrics.roc_auc(labels, weights), "low": low, "high": high}
        found[str(kind)] = entry
    return found


def ensemble(rows: list[ClipWeight]) -> list[str]:
    """Who weighs a run's clips: the first scorers in `weights.jsonl` (others may stand beside them: `weigh.also`)."""
    return next((r.scorers for r in rows if r.scorers != ["world_truth"]), [])


def beside_ensemble(run: Path) -> list[list[str]]:
    """Scorers that have weights of their own beside the ensemble's."""
    rows = read_records(run / "weights.jsonl", ClipWeight) if (run / "weights.jsonl").exists() else []
    known = {tuple(r.scorers): None for r in rows if r.scorers != ["world_truth"]}
    return [list(some) for some in known][1:]


def score_differences(run: Path) -> dict[str, Any]:
    """Figure 2: per misalignment type the distribution of f-bar(V^s, t^s) - f-bar(V^s, t^r)."""
    if not (run / "scores.jsonl").exists() or not (run / "weights.jsonl").exists():
        return {}
    members = ensemble(read_records(run / "weights.jsonl", ClipWeight))
    links = {f["triplet_id"]: f["clip_id"] for _, f in parse_lines(run / "clip_of_triplet.jsonl")}
    sums: dict[tuple[str, str], list[float]] = {}
    for s in read_records(run / "scores.jsonl", ScoredClip):
        if s.scorer in members:
            sums.setdefault((s.clip_id, s.caption), []).append(s.score)
    found: dict[str, list[float]] = {str(kind): [] for kind in Misalignment}
    for t in read_records(run / "triplets.jsonl", Triplet):
        keys = [(links.get(t.id, ""), caption) for caption in (t.negative_caption, t.caption)]
        if all(key in sums for key in keys):
            target, source = (float(np.mean(sums[key])) for key in keys)
            found[str(t.misalignment)].append(round(target - source, 6))
    return {kind: {"mean": float(np.mean(v)), "values": v} for kind, v in found.items() if v}


def collect(run: Path, arms: list[str], seed: int, config: EvaluateConfig) -> dict[str, Any]:
    """Read all pair files, compute everything, write `results.json` (fractions)."""
    pairs = {arm: read_pairs(run / "pairs" / arm / str(seed)) for arm in arms}
    results: dict[str, Any] = {"arms": {}}
    for arm in arms:
        facts = arm_facts(run, arm, seed)
        found = {"weights_from": facts["weights_from"], **arm_results(pairs[arm], config)}
        for key in ("triplets", "with_clip", "without_clip", "set_aside", "temporal_attention"):
            if key in facts:
                found[key] = facts[key]
        if BASELINE in pairs and arm != BASELINE:
            found[f"minus_{BASELINE}"] = differences(pairs[arm], pairs[BASELINE], config)
        results["arms"][arm] = found
    results["weights"] = weight_quality(run)
    results["other_weights"] = {" + ".join(some): weight_quality(run, some) for some in beside_ensemble(run)}
    results["score_differences"] = score_differences(run)
    write_atomic(run / "results.json", json.dumps(results, indent=1) + "\n")
    return results
