"""How well the learned weights find the clips that show what they should, and the score differences behind them.

A triplet may have several clips (one per generator) and a clip may serve several triplets: a weight belongs to
(triplet, clip).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from synvita.core.artefacts import SCORES, read_scores
from synvita.core.links import clip_links
from synvita.core.records import ClipWeight, Misalignment, Triplet
from synvita.core.store import read_records
from synvita.evaluate import intervals, metrics

TRUTH = ["world_truth"]


def read_weights(run: Path) -> list[ClipWeight]:
    """Empty where nothing was weighed; the same weight twice is refused by file:line."""
    path = run / "weights.jsonl"
    key = ("triplet_id", "clip_id", "criterion", "scorers")
    return read_records(path, ClipWeight, key) if path.exists() else []


def by_difference(rows: list[ClipWeight]) -> list[ClipWeight]:
    """Those of Eq. 4, or if there are none, of the first criterion there is."""
    criteria = [row.criterion for row in rows]
    return [row for row in rows if row.criterion == ("difference" if "difference" in criteria else criteria[0])]


def weight_quality(run: Path, scorers: list[str] | None = None) -> dict[str, Any]:
    """ROC-AUC of the learned weights against the simulator's truth, over all clips and per misalignment type.

    The interval resamples clips: what triplets share is drawn together.

    `scorers`: whose weights; default: the first there are (the ensemble's).
    """
    rows = by_difference(read_weights(run))
    truth = {(r.triplet_id, r.clip_id): r.weight > 0.5 for r in rows if r.scorers == TRUTH}
    wanted = scorers or ensemble(rows)
    learned = {(r.triplet_id, r.clip_id): r.weight for r in rows if r.scorers == wanted}
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


def ensemble(rows: list[ClipWeight]) -> list[str]:
    """Who weighs a run's clips: the first scorers in `weights.jsonl` (others may stand beside them: `weigh.also`)."""
    return next((r.scorers for r in rows if r.scorers != TRUTH), [])


def beside_ensemble(run: Path) -> list[list[str]]:
    """Scorers that have weights of their own beside the ensemble's."""
    known = {tuple(r.scorers): None for r in read_weights(run) if r.scorers != TRUTH}
    return [list(scorers) for scorers in known][1:]


def score_differences(run: Path) -> dict[str, Any]:
    """Figure 2: f-bar(V^s, t^s) - f-bar(V^s, t^r) of each triplet's clips, by misalignment type.

    A clip that a scorer of the ensemble has not scored with both captions has no f-bar and is left out.
    """
    if not (run / "weights.jsonl").exists() or not any(run.glob(SCORES)):
        return {}
    members = ensemble(read_weights(run))
    links = clip_links(run)
    rows = read_scores(run)
    scores = {(r.clip_id, r.caption, r.scorer): r.score for r in rows}
    values: dict[str, list[float]] = {str(kind): [] for kind in Misalignment}
    for t in read_records(run / "triplets.jsonl", Triplet, ("id",)):
        for clip in links.get(t.id, []) if t.misalignment and members else []:
            own = [scores.get((clip, t.negative_caption, name), np.nan) for name in members]
            real = [scores.get((clip, t.caption, name), np.nan) for name in members]
            difference = float(np.mean(own)) - float(np.mean(real))
            if not np.isnan(difference):
                values[str(t.misalignment)].append(round(difference, 6))
    return {kind: {"mean": float(np.mean(v)), "values": v} for kind, v in values.items() if v}
