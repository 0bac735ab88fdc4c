"""Pair rows of known figures, and loops that find these figures again without the code that is tested."""

from __future__ import annotations

from typing import Any

import numpy as np

from synvita.core.store import write_records


def entailment_row(number: int, label: int, log_odds: float | None, **more: Any) -> dict[str, Any]:
    """Video `number // 2`: two triplets share a video."""
    row = {"video": f"v{number // 2}.mp4", "caption": f"caption {number} {label}", "query": f"t{number}"}
    return row | {"label": label, "log_odds": log_odds, "misalignment": "object", "unseen": False} | more


def entailment_rows(count: int, seed: int, signal: float = 1.0, **more: Any) -> list[dict[str, Any]]:
    """Two rows per triplet; scores are noise plus `signal` for true captions plus what all rows of a video share."""
    rng = np.random.default_rng(seed)
    mood = 2 * rng.normal(size=count)
    return [
        entailment_row(i, label, float(rng.normal() + signal * label + mood[i // 2]), **more)
        for i in range(count)
        for label in (1, 0)
    ]


def retrieval_rows(seed: int, signal: float, queries: int = 7, each: int = 12) -> list[dict[str, Any]]:
    """`each` right videos per query among queries x each; scores are noise plus `signal` for the right ones."""
    rng = np.random.default_rng(seed)
    return [
        {"query": str(q), "caption": f"caption {q}", "video": f"{v}.mp4", "label": int(v // each == q)}
        | {"log_odds": float(rng.normal() + signal * (v // each == q))}
        for q in range(queries)
        for v in range(queries * each)
    ]


def naive_auc(rows: list[dict[str, Any]], scores: list[float] | None = None) -> float:
    """Share of (true, false) pairs in the right order, ties half; ValueError where there is no such pair."""
    values = scores or [row["log_odds"] for row in rows]
    positive = np.array([v for row, v in zip(rows, values, strict=True) if row["label"]])
    negative = np.array([v for row, v in zip(rows, values, strict=True) if not row["label"]])
    if not positive.size or not negative.size:
        raise ValueError("one class")
    wins = (positive[:, None] > negative).sum() + (positive[:, None] == negative).sum() / 2
    return float(wins / (positive.size * negative.size))


def naive_ap(labels: list[int], scores: list[float]) -> float:
    """Precision at each distinct score, weighed by the positives that enter there."""
    value, before = 0.0, 0
    for threshold in sorted(set(scores), reverse=True):
        kept = [label for label, score in zip(labels, scores, strict=True) if score >= threshold]
        value += (sum(kept) - before) / sum(labels) * sum(kept) / len(kept)
        before = sum(kept)
    return value


def resampled(groups: list[str], draws: int, seed: int = 0) -> list[list[int]]:
    """Row numbers of each draw of whole groups, with numpy's own generator."""
    names = list(dict.fromkeys(groups))
    members = {name: [i for i, group in enumerate(groups) if group == name] for name in names}
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, len(names), size=len(names)) for _ in range(draws)]
    return [[i for code in codes for i in members[names[code]]] for codes in drawn]


def middle(values: list[float], level: float = 0.95) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def write_run(run, arms, model="tiny", seed=0, videos=True):
    """arms: name -> task -> rows. A video's bytes are its name, so that the same names are the same files."""
    run.mkdir(exist_ok=True)
    names = ", ".join(f"{arm}: {{}}" for arm in arms)
    (run / "config.yaml").write_text(f"train: {{seed: {seed}, arms: {{{names}}}}}\n")
    for arm, tasks in arms.items():
        for task, rows in tasks.items():
            write_records(run / "models" / model / "pairs" / arm / str(seed) / f"{task}.jsonl", rows)
            for row in rows if videos else ():
                (run / row["video"]).write_text(row["video"])
    return run


def better_by(rows, amount, label=1):
    return [row | {"log_odds": row["log_odds"] + amount * (row["label"] == label)} for row in rows]
