"""The table of arms as text: which columns a run has, and what each cell says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

BASELINE = "real_only"
DASH = "–"


@dataclass(frozen=True)
class Task:
    """One column of the table: `path` in an arm's results, its figure's `key`, and its names for people."""

    path: str
    key: str
    name: str
    measure: str


TASKS = (
    Task("in_distribution", "auc", "In-distribution", "AUC"),
    Task("open", "auc", "Open", "AUC"),
    Task("unseen", "auc", "Unseen", "AUC"),
    Task("temporal", "auc", "Temporal", "AUC"),
    Task("per_type.relation", "auc", "Relation", "AUC"),
    Task("per_type.flip", "auc", "Flip", "AUC"),
    Task("retrieval_temporal", "map", "Retrieval, temporal", "mAP"),
    Task("retrieval_events", "map", "Retrieval, events", "mAP"),
    Task("qa", "accuracy", "Questions", "accuracy"),
)


@dataclass(frozen=True)
class Cell:
    """One figure as text; `sign` is better, worse, or empty where the difference's interval covers 0."""

    value: str = DASH
    interval: str = ""
    difference: str = ""
    difference_interval: str = ""
    sign: str = ""
    missing: str = ""


# ---- numbers as text


def percent(value: float | None) -> str:
    """A fraction as percent with one decimal; a dash for a figure that is not there."""
    return DASH if value is None or not math.isfinite(value) else f"{100 * value + 0.0:.1f}"


def signed(value: float) -> str:
    """A difference of fractions in points, with its sign (never -0.0)."""
    return f"{round(100 * value, 1) + 0.0:+.1f}" if math.isfinite(value) else DASH


def interval(entry: dict[str, Any]) -> str:
    low, high = entry.get("low"), entry.get("high")
    return "" if low is None or high is None else f"[{percent(low)}, {percent(high)}]"


def signed_interval(entry: dict[str, Any]) -> str:
    return f"[{signed(entry['low'])}, {signed(entry['high'])}]"


def sign_of(entry: dict[str, Any]) -> str:
    """better / worse only where the interval of the difference leaves 0 out."""
    if entry["low"] > 0:
        return "better"
    return "worse" if entry["high"] < 0 else ""


def at(results: dict[str, Any], path: str) -> dict[str, Any] | None:
    """The entry under a dotted path, or None."""
    found: Any = results
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


# ---- the table of arms


def cell(arm: dict[str, Any], task: Task) -> Cell:
    entry = at(arm, task.path)
    if entry is None or task.key not in entry:
        return Cell()
    missing = f"{entry['missing']} of {entry['expected']} missing" if entry.get("missing") else ""
    versus = at(arm.get(f"minus_{BASELINE}", {}), task.path) if task.key == "auc" else None
    if versus is None:
        return Cell(percent(entry[task.key]), interval(entry), missing=missing)
    return Cell(
        percent(entry[task.key]),
        interval(entry),
        signed(versus["auc"]),
        signed_interval(versus),
        sign_of(versus),
        missing,
    )


def arm_note(arm: dict[str, Any]) -> str:
    """How many clips an arm was trained with, where training wrote it down and something was left out."""
    parts = [f"{arm['triplets']:,} triplets"] if "triplets" in arm else []
    words = {"with_clip": "with a clip", "without_clip": "without a clip", "set_aside": "set aside"}
    parts += [f"{arm[key]:,} {text}" for key, text in words.items() if isinstance(arm.get(key), int) and arm[key]]
    return ", ".join(parts)


def arm_table(arms: dict[str, Any]) -> tuple[list[Task], list[dict[str, Any]]]:
    """The columns that any arm has, and a row of cells for each arm."""
    tasks = [task for task in TASKS if any(at(arm, task.path) for arm in arms.values())]
    rows = [
        {
            "arm": name,
            "cells": [cell(arm, task) for task in tasks],
            "weights_from": arm.get("weights_from", DASH),
            "note": arm_note(arm),
        }
        for name, arm in arms.items()
    ]
    return tasks, rows
