"""Somebody's scores of a benchmark -> the JSON that others read, and a short table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.provenance import file_digest
from synvita.core.store import write_atomic
from synvita.evaluate.benchmarks.figures import measure
from synvita.evaluate.benchmarks.scores import KNOB, Joined, ScoreFile
from synvita.evaluate.benchmarks.table import Loaded
from synvita.evaluate.config import EvaluateConfig

SHOWN = 10  # missing pairs, and stray scores, that are named one by one in the JSON and on the terminal
TITLES = {
    "auc": "ROC-AUC",
    "map": "mAP",
    "recall_at_1": "R@1",
    "recall_at_5": "R@5",
    "recall_at_10": "R@10",
    "accuracy_causal": "accuracy, causal",
    "accuracy_temporal": "accuracy, temporal",
}
OF_TIMEBLIND = {"text": "question accuracy", "video": "video accuracy", "group": "instance accuracy"}


@dataclass(frozen=True)
class Asked:
    """What is measured: a benchmark by name, or one's own table. `expected`: of `unit`, in a whole copy."""

    name: str
    kind: str
    metric: str
    unit: str
    expected: int
    loaded: Loaded


def outcome(asked: Asked, scores: ScoreFile, joined: Joined, config: EvaluateConfig) -> dict[str, Any]:
    """Everything that is known about these scores of this benchmark.

    Raises:
        ValueError: numbers that do not say where yes ends and no begins, for a figure that needs it.
    """
    if asked.kind in ("yes_no", "strict") and asked.metric != "accuracy" and not scores.decided:
        text = "its numbers leave [0, 1], so nobody knows where yes begins"
        raise ValueError(f"{KNOB}: {scores.path}: {text}; give P(Yes), or a column log_odds")
    measured = measure(joined.rows, asked.kind, asked.metric, config)
    n = measured.n
    excluded = len(asked.loaded.excluded)
    return {
        "benchmark": asked.name,
        "n": n,
        "expected": asked.expected,
        "missing": asked.expected - excluded - n,
        "unit": asked.unit,
        "excluded": asked.loaded.excluded,
        "pairs": {
            "n": sum(row["log_odds"] is not None for row in joined.rows),
            "expected": len(joined.rows),
            "without_score": len(joined.missing),
            "first_without_score": joined.missing[:SHOWN],
        },
        "metrics": measured.figures,
        "parts": measured.parts,
        "main": asked.metric,
        "interval": {"level": config.level, "over": "videos"},
        "files": {path.name: file_digest(path) for path in asked.loaded.files},
        "form": asked.loaded.form,
        "scores": {
            "file": scores.path.name,
            "digest": file_digest(scores.path),
            "form": scores.form,
            "of_no_pair": len(joined.unused),
            "first_of_no_pair": joined.unused[:SHOWN],
        },
        "notes": asked.loaded.notes,
    }


def write_outcome(path: Path, found: dict[str, Any]) -> None:
    write_atomic(path, json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def as_table(found: dict[str, Any]) -> str:
    """Figures in percent, with intervals; ties and the authors' numbers where they differ from the value."""
    of = f"{found['n']:,} of {found['expected']:,} {found['unit']}"
    left_out = f", {len(found['excluded'])} left out as in the authors' script" if found["excluded"] else ""
    form = f" ({found['form']})" if found["form"] else ""
    lines = [f"{found['benchmark']}: {of}{left_out}{form}; scores: {found['scores']['form']}"]
    lines.append(f"{'':<22}{'value':>8}{'interval':>18}{'ties, from .. to':>20}{'over orders':>13}{'authors':>10}")
    for name, entry in found["metrics"].items():
        title = OF_TIMEBLIND.get(name) if found["benchmark"] == "timeblind" else None
        spread = [entry["tie_low"], entry["tie_high"]]
        ties = f"{percent(spread[0])} .. {percent(spread[1])}" if spread[0] != spread[1] else ""
        order = percent(entry["tie_mean"]) if ties and "tie_mean" in entry else ""
        authors = percent(entry["authors"]) if entry["authors"] is not None else "ties"
        interval = "" if entry["low"] is None else f"[{percent(entry['low'])}, {percent(entry['high'])}]"
        name = title or TITLES.get(name, name)
        lines.append(f"{name:<22}{percent(entry['value']):>8}{interval:>18}{ties:>20}{order:>13}{authors:>10}")
    lines += [f"  {part}: {percent(e[found['main']])} ({e['n']:,})" for part, e in found["parts"].items()]
    return "\n".join((*lines, *(f"note: {note}" for note in found["notes"])))


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def gaps(found: dict[str, Any]) -> list[str]:
    """What is no part of the figures, in lines; empty where nothing is missing and no score is stray."""
    lines = []
    pairs, scores = found["pairs"], found["scores"]
    if pairs["without_score"]:
        lines.append(f"{pairs['without_score']:,} of {pairs['expected']:,} pairs have no score:")
        lines += [f"  {text}" for text in pairs["first_without_score"]]
    short = found["expected"] - len(found["excluded"]) - found["n"]
    if short > 0:
        lines.append(f"{short:,} of {found['expected']:,} {found['unit']} are missing from every figure")
    if scores["of_no_pair"]:
        lines.append(f"{scores['of_no_pair']:,} scores are of no pair of the benchmark and are set aside:")
        lines += [f"  {text}" for text in scores["first_of_no_pair"]]
    return lines
