"""How well the learned weights find the clips that show what they should, and the score differences behind them.

A triplet may have several clips (one per generator) and a clip may serve several triplets: a weight belongs to
(triplet, clip).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synvita.core.artefacts import SCORES, TRUTH, default_weights, read_scores, read_weights, weights_file
from synvita.core.links import clip_links
from synvita.core.records import ClipWeight, Misalignment, ScoredClip, Triplet
from synvita.core.store import read_records
from synvita.evaluate import intervals, metrics


def weight_quality(run: Path, scorers: Sequence[str] | None = None) -> dict[str, Any]:
    """ROC-AUC of the learned weights against the truth, over all clips and per misalignment type.

    The interval resamples clips: what triplets share is drawn together.

    `scorers`: whose weights; default: the ensemble's.
    """
    default = default_weights(run)
    if default is None:
        return {}
    criterion, wanted = default.shown, scorers or default.scorers
    if not all(weights_file(run, group, criterion).exists() for group in (wanted, TRUTH)):
        return {}
    truth = {(r.triplet_id, r.clip_id): r.weight > 0.5 for r in read_weights(run, TRUTH, criterion)}
    learned = {(r.triplet_id, r.clip_id): r.weight for r in read_weights(run, wanted, criterion)}
    if not truth or not learned:
        return {}
    kinds = {t.id: t.misalignment for t in read_records(run / "triplets.jsonl", Triplet, ("id",))}
    quality: dict[str, Any] = {}
    for kind in ("all", *Misalignment):
        keys = [key for key in learned if key in truth and kind in ("all", kinds.get(key[0]))]
        labels = [int(truth[key]) for key in keys]
        weights = [learned[key] for key in keys]
        entry: dict[str, Any] = {
            "clips": len(keys),
            "right": sum(labels),
            "mean_weight": float(np.mean(weights)) if weights else None,
        }
        if 0 < sum(labels) < len(labels):
            interval = intervals.auc_interval(labels, weights, [clip for _, clip in keys], 1000, seed=0)
            entry |= {"auc": metrics.roc_auc(labels, weights), **intervals.bounds(interval)}
        quality[str(kind)] = entry
    return quality


def beside_ensemble(run: Path) -> list[list[str]]:
    """Scorers that have weights of their own beside the ensemble's: few before many."""
    default = default_weights(run)
    if default is None:
        return []
    files = sorted((run / "weights").glob(f"*-{default.shown}.jsonl"))
    groups = [row.scorers for path in files for row in read_records(path, ClipWeight)[:1]]
    return [group for group in sorted(groups, key=len) if tuple(group) not in (default.scorers, TRUTH)]


def score_differences(run: Path, rows: Sequence[ScoredClip] | None = None) -> dict[str, Any]:
    """Figure 2: f-bar(V^s, t^s) - f-bar(V^s, t^r) of each triplet's clips, by misalignment type.

    A clip that a scorer of the ensemble has not scored with both captions has no f-bar and is left out. `rows`: the
    run's scores, where somebody has read them.
    """
    default = default_weights(run)
    if default is None or not any(run.glob(SCORES)):
        return {}
    members = default.scorers
    links = clip_links(run)
    rows = read_scores(run) if rows is None else rows
    scores = {(r.clip_id, r.caption, r.scorer): r.score for r in rows}
    values: dict[str, list[float]] = {str(kind): [] for kind in Misalignment}
    for t in read_records(run / "triplets.jsonl", Triplet, ("id",)):
        for clip in links.get(t.id, []) if t.misalignment and members else []:
            own = [scores.get((clip, t.negative_caption, name), math.nan) for name in members]
            real = [scores.get((clip, t.caption, name), math.nan) for name in members]
            difference = sum(own) / len(own) - sum(real) / len(real)
            if not math.isnan(difference):
                values[str(t.misalignment)].append(round(difference, 6))
    return {kind: {"mean": float(np.mean(v)), "values": v} for kind, v in values.items() if v}
