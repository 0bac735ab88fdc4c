"""A run folder as the report reads it, and the results that belong to it: small, quick to make, nothing trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from run_files import write_clips, write_scores, write_weights
from small import HOME, MODEL

from synvita.core.decoder import Decoder
from synvita.core.records import Clip, ClipWeight, Misalignment, ScoredClip, Triplet
from synvita.core.store import write_records
from synvita.core.write_video import write_video

SCRIPT = "<script>alert(1)</script>"
SCORERS = ["llava", "clip_flant5"]
DECODER = Decoder()  # starts a process only for a video that is not embedded as it is


def entry(auc: float, low: float, high: float, missing: int = 0, key: str = "auc") -> dict[str, Any]:
    return {key: auc, "low": low, "high": high, "expected": 400, "missing": missing}


def arm(base: float, weights_from: str) -> dict[str, Any]:
    return {
        "weights_from": weights_from,
        "in_distribution": entry(base + 0.2, base + 0.181, base + 0.219),
        "open": entry(base, base - 0.021, base + 0.022),
        "unseen": entry(base - 0.05, base - 0.083, base - 0.011),
        "temporal": entry(base - 0.1, base - 0.132, base - 0.071),
        "per_type": {kind: entry(base + 0.01, base - 0.06, base + 0.05) for kind in ("object", "relation", "flip")},
        "retrieval_temporal": entry(base - 0.4, base - 0.43, base - 0.37, key="map"),
        "retrieval_events": entry(base - 0.5, base - 0.53, base - 0.47, key="map"),
        "qa": entry(base - 0.2, base - 0.24, base - 0.16, key="accuracy"),
    }


def difference(auc: float, low: float, high: float) -> dict[str, Any]:
    return {"auc": auc, "low": low, "high": high}


def paired(value: float, low: float, high: float, key: str = "map") -> dict[str, Any]:
    return {key: value, "low": low, "high": high, "pairs": 400, "left_out": 0}


def make_results() -> dict[str, Any]:
    arms = {
        "off_the_shelf": arm(0.571, "nothing trained"),
        "real_only": arm(0.653, "none (no synthetic clips)"),
        "uniform": arm(0.637, "uniform (1.0)"),
        "weighted": arm(0.664, "difference of llava + clip_flant5"),
        "synvita": arm(0.688, "difference of llava + clip_flant5") | {"triplets": 2000, "without_clip": 7},
        "weighted_oracle": arm(0.702, "difference of world_truth"),
    }
    arms["synvita"]["open"]["missing"] = 3
    for name, (mid, low, high) in {
        "off_the_shelf": (-0.082, -0.11, -0.051),
        "uniform": (-0.016, -0.039, 0.006),
        "weighted": (0.011, -0.004, 0.027),
        "synvita": (0.035, 0.012, 0.058),
        "weighted_oracle": (0.049, 0.021, 0.073),
    }.items():
        arms[name]["minus_real_only"] = {
            "open": difference(mid, low, high),
            "unseen": difference(-mid, -high, -low),
            "per_type": {"flip": difference(0.0, -0.02, 0.02)},
        }
    arms["synvita"]["minus_real_only"] |= {
        "retrieval_temporal": paired(0.041, 0.013, 0.082),
        "retrieval_events": paired(-0.028, -0.047, -0.011),
        "qa": paired(-0.003, -0.047, 0.04, "accuracy"),
    }
    rng = np.random.default_rng(0)
    spreads = {str(k): [round(float(v), 6) for v in rng.normal(0.1, 0.1, 40)] for k in Misalignment}
    return {
        "model": MODEL,
        "parameters": {MODEL: 2_054_528},
        "arms": arms,
        "weights": {
            "all": {"clips": 1790, "right": 1204, "mean_weight": 0.1234, "auc": 0.813, "low": 0.79, "high": 0.834},
            "flip": {"clips": 40, "right": 0, "mean_weight": 0.021},
        },
        "other_weights": {"a_video_llm": {"all": {"clips": 1791, "right": 1204, "mean_weight": 0.5, "auc": 0.777}}},
        "score_differences": {k: {"mean": float(np.mean(v)), "values": v} for k, v in spreads.items()},
    }


def make_run(run: Path, caption: str = "a red ball rolls", negative: str = "a blue ball rolls") -> Path:
    """14 triplets, two of each type, with clips, scores of both captions, learned and true weights."""
    rng = np.random.default_rng(1)
    triplets, clips, links, scores, weights = [], [], [], [], []
    for i, kind in enumerate([*Misalignment, *Misalignment]):
        video, file = f"videos/{i}.mp4", f"clips/sim/{i}.mp4"
        for name in (video, file):
            write_video(run / name, rng.integers(0, 255, (2, 16, 16, 3), dtype=np.uint8), fps=4)
        triplet = Triplet(f"t{i:02}", video, f"{caption} {i}", f"{negative} {i}", kind)
        triplets.append(triplet)
        clips.append(Clip(f"c{i}", triplet.negative_caption, "sim", "1", {}, i, file))
        links.append({"triplet_id": triplet.id, "clip_id": f"c{i}"})
        for scorer in (*SCORERS, "world_truth"):
            scores.append(ScoredClip(f"c{i}", triplet.negative_caption, scorer, 4, "both_ends", [16, 16], 0.777))
            scores.append(ScoredClip(f"c{i}", triplet.caption, scorer, 4, "both_ends", [16, 16], 0.222))
        weights.append(ClipWeight(triplet.id, f"c{i}", "difference", SCORERS, i / 20))
        weights.append(ClipWeight(triplet.id, f"c{i}", "difference", ["world_truth"], float(i % 2)))
    write_records(run / "triplets.jsonl", triplets)
    write_clips(run, clips)
    write_records(run / "clip_of_triplet.jsonl", links)
    write_scores(run, scores)
    write_weights(run, weights)
    return run


def add_pairs(
    run: Path, arms: list[str], caption: str = "a red ball rolls", negative: str = "a blue ball rolls"
) -> Path:
    """Answers of each arm with seed 0: 70 open triplets, ten of each type, and two retrieval tasks of ten videos."""
    for number, arm in enumerate(arms):
        rng = np.random.default_rng(100 + number)
        answers = iter(rng.normal(0.3, 1, 1000).round(3).tolist())
        rows = []
        for i, kind in enumerate([*Misalignment] * 10):
            pair = {"video": f"videos/{i % 14}.mp4", "query": f"o{i:02}", "misalignment": str(kind), "unseen": False}
            for text, label in ((f"{caption} {i}", 1), (f"{negative} {i}", 0)):
                rows.append(pair | {"caption": text, "label": label, "log_odds": next(answers)})
        write_records(run / HOME / "pairs" / arm / "0" / "open.jsonl", rows)
        for task in ("retrieval_temporal", "retrieval_events"):
            rows = [
                {"query": str(q), "caption": f"{caption} {q}", "video": f"videos/{v}.mp4", "label": int(v % 5 == q % 5)}
                for q in range(9)
                for v in range(10)
            ]
            write_records(
                run / HOME / "pairs" / arm / "0" / f"{task}.jsonl", [row | {"log_odds": next(answers)} for row in rows]
            )
    return run
