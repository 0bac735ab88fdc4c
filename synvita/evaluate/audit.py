"""Where is a scorer blind? What its scores and weights look like by misalignment type, before anything is trained.

Where the truth about a clip is known (the miniature's, or a column `shows_target` that a person filled in) also how
well its weights find the right clips, and whether its scores can be read as probabilities.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synvita.core.artefacts import AUDIT, TRUTH, quantities, read_clips, read_scores
from synvita.core.links import clip_links
from synvita.core.records import Misalignment, ScoredClip, Triplet
from synvita.core.run_folder import need
from synvita.core.store import read_records, write_atomic
from synvita.core.tables import need_columns, read_table
from synvita.evaluate import intervals, metrics

BINS = 10
ALL = "all"
YES, NO = ("1", "true", "yes"), ("0", "false", "no")
MANY_ZERO, STILL = 0.9, 0.02  # of the weights; how little the differences spread where a scorer tells nothing
Pair = tuple[str, str]  # (triplet, clip)


@dataclass(frozen=True)
class Scored:
    """A clip of a triplet with one scorer's two scores."""

    kind: str
    own: float
    real: float

    @property
    def weight(self) -> float:
        """Eq. 4."""
        return max(0.0, self.own - self.real)


def audit(
    run: Path, truth: dict[str, bool] | None = None, draws: int = 1000, rows: Sequence[ScoredClip] | None = None
) -> dict[str, Any]:
    """By scorer and misalignment type, and how scorers agree.

    Args:
        truth: clip -> whether it shows its own caption; default: `world_truth`'s scores, where there are any.
        rows: the run's scores, where somebody has read them.
    Returns:
        {"scorers": {name: {"quantity", "types": {type: figures}, "blind": [sentences]}}, "agreement": {"a, b": r}};
        r: Pearson's, of the differences. figures: clips, own, real, difference, spread (standard deviation of the
        differences), weight, zero (share of weights that are 0); with the truth right, auc, low, high,
        calibration_error.
    """
    need(run, "triplets.jsonl", "triplets make")
    rows = read_scores(run) if rows is None else rows
    clips = read_clips(run)
    own = [r for r in rows if r.scorer in TRUTH and r.clip_id in clips and clips[r.clip_id].caption == r.caption]
    right = {r.clip_id: r.score > 0.5 for r in own} if truth is None else truth
    scores = {(r.scorer, r.clip_id, r.caption): r.score for r in rows if r.scorer not in TRUTH}
    names = sorted({scorer for scorer, _, _ in scores})
    links = clip_links(run)
    triplets = [t for t in read_records(run / "triplets.jsonl", Triplet, ("id",)) if t.id in links]
    of = {name: pairs_of(name, triplets, links, scores) for name in names}
    what = quantities(run)
    found = {}
    for name in names:
        types = {kind: figures(of[name], kind, right, draws) for kind in (ALL, *map(str, Misalignment))}
        types = {kind: one for kind, one in types.items() if one["clips"]}
        found[name] = {"quantity": what[name], "types": types, "blind": blind(name, types)}
    return {"scorers": found, "agreement": agreement(of)}


def pairs_of(
    name: str, triplets: Sequence[Triplet], links: dict[str, list[str]], scores: dict[tuple[str, str, str], float]
) -> dict[Pair, Scored]:
    """A clip that the scorer has not scored with both captions is left out."""
    found = {}
    for t in triplets:
        for clip in links[t.id]:
            own, real = scores.get((name, clip, t.negative_caption)), scores.get((name, clip, t.caption))
            if own is not None and real is not None:
                found[t.id, clip] = Scored(str(t.misalignment or "unknown"), own, real)
    return found


def figures(pairs: dict[Pair, Scored], kind: str, right: dict[str, bool], draws: int) -> dict[str, Any]:
    some = {key: one for key, one in pairs.items() if kind in (ALL, one.kind)}
    if not some:
        return {"clips": 0}
    own, real = (np.array([getattr(one, side) for one in some.values()]) for side in ("own", "real"))
    weights = np.array([one.weight for one in some.values()])
    found: dict[str, Any] = {
        "clips": len(some),
        "own": float(own.mean()),
        "real": float(real.mean()),
        "difference": float((own - real).mean()),
        "spread": float((own - real).std()),
        "weight": float(weights.mean()),
        "zero": float((weights == 0).mean()),
    }
    judged = [(clip, one.weight, one.own) for (_, clip), one in some.items() if clip in right]
    if judged:
        labels = [int(right[clip]) for clip, _, _ in judged]
        found |= {"judged": len(judged), "right": sum(labels)}
        found["calibration_error"] = calibration_error(labels, [score for _, _, score in judged])
        if 0 < sum(labels) < len(labels):
            values, clips = [weight for _, weight, _ in judged], [clip for clip, _, _ in judged]
            interval = intervals.auc_interval(labels, values, clips, draws, seed=0)
            found |= {"auc": metrics.roc_auc(labels, values), **intervals.bounds(interval)}
    return found


def calibration_error(labels: Sequence[int], scores: Sequence[float], bins: int = BINS) -> float:
    """How far scores are from the share of right clips among those that get them: the mean over bins of equal width,
    by their numbers (expected calibration error); 0 = a score can be read as a probability."""
    truth, values = np.array(labels, float), np.array(scores, float)
    places = np.minimum((values * bins).astype(int), bins - 1)
    off = 0.0
    for place in range(bins):
        inside = places == place
        if inside.any():
            off += inside.sum() * abs(float(values[inside].mean()) - float(truth[inside].mean()))
    return off / len(values)


def agreement(of: dict[str, dict[Pair, Scored]]) -> dict[str, float | None]:
    """Pearson's r of the score differences of two scorers, over what both have scored; None: one is constant."""
    names, found = sorted(of), {}
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            shared = [key for key in of[one] if key in of[other]]
            a, b = (np.array([of[n][key].own - of[n][key].real for key in shared]) for n in (one, other))
            even = len(shared) < 2 or not a.std() or not b.std()
            found[f"{one}, {other}"] = None if even else float(np.corrcoef(a, b)[0, 1])
    return found


def blind(name: str, types: dict[str, dict[str, Any]]) -> list[str]:
    """In words: the types in which a scorer tells nothing."""
    said = []
    for kind, one in types.items():
        if one.get("low") is not None and one["low"] <= 0.5:
            rates = f"AUC {100 * one['auc']:.1f} [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"
            said.append(f"{name} cannot be told from chance on type {kind}, by {one['judged']} clips: {rates}")
        elif "auc" not in one and one["zero"] >= MANY_ZERO:
            said.append(f"{name} gives {100 * one['zero']:.0f} % of the clips of type {kind} no weight at all")
        elif "auc" not in one and one["spread"] < STILL:
            said.append(
                f"{name} scores both captions alike on type {kind}: the difference spreads by {one['spread']:.3f}"
            )
    return said


def read_truth(table: Path, run: Path) -> dict[str, bool]:
    """Clip -> whether it shows its own caption, from a table with `clip_id` or `file`, and `shows_target` (1, 0, yes,
    no; empty: not judged).

    Raises:
        ValueError: a column that is missing, another value, a clip that the run does not have: by file:line.
    """
    columns, rows = read_table(table, "--truth")
    key = "clip_id" if "clip_id" in columns else "file"
    need_columns(table, columns, (key, "shows_target"), "--truth")
    clips = read_clips(run)
    by_file: dict[str, set[str]] = {}
    for clip_id, one in clips.items():
        for known in (clip_id, one.file, Path(one.file).name):
            by_file.setdefault(known, set()).add(clip_id)
    found: dict[str, bool] = {}
    for row in rows:
        if row.problem:
            raise ValueError(f"--truth: {row.where}: {row.problem}")
        value = str(row.fields.get("shows_target", "")).strip().lower()
        name = str(row.fields.get(key) or "")
        meant = sorted(by_file.get(name) or by_file.get(Path(name).name) or set())
        if value and value not in YES + NO:
            raise ValueError(f"--truth: {row.where}: shows_target: {value!r}; give 1 or 0, or leave it empty")
        if value and len(meant) != 1:
            said = (
                f"several clips {name!r}, e.g. {clips[meant[0]].file}; give clip_id" if meant else f"no clip {name!r}"
            )
            raise ValueError(f"--truth: {row.where}: {key}: the run has {said}")
        if value:
            found[meant[0]] = value in YES
    return found


def write_audit(run: Path, found: dict[str, Any]) -> Path:
    path = run / AUDIT
    write_atomic(path, json.dumps(found, indent=1, allow_nan=False) + "\n")
    return path


def as_text(found: dict[str, Any]) -> str:
    """The audit as lines for a terminal."""
    lines = []
    for name, one in found["scorers"].items():
        judged = any("judged" in row for row in one["types"].values())
        head = f"{name}, {one['quantity']}:"
        lines.append(f"{head:<22}{'clips':>7}{'own':>7}{'real':>7}{'diff.':>8}{'spread':>8}{'weight':>8}{'zero':>7}"
                     + (f"{'right':>7}{'AUC':>22}{'calibr.':>9}" if judged else ""))  # fmt: skip
        for kind, row in one["types"].items():
            line = f"  {kind:<20}{row['clips']:>7}{row['own']:>7.3f}{row['real']:>7.3f}{row['difference']:>+8.3f}"
            line += f"{row['spread']:>8.3f}{row['weight']:>8.3f}{100 * row['zero']:>6.0f}%"
            if "judged" in row:
                auc = "-"
                if row.get("low") is not None:
                    auc = f"{100 * row['auc']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
                line += f"{100 * row['right'] / row['judged']:>6.0f}%{auc:>22}{row['calibration_error']:>9.3f}"
            lines.append(line)
    for pair, r in found["agreement"].items():
        lines.append(f"{pair}: differences correlate by {'-' if r is None or math.isnan(r) else f'{r:+.2f}'}")
    lines += [f"note: {text}" for one in found["scorers"].values() for text in one["blind"]]
    return "\n".join(lines)
