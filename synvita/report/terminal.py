"""The arms and their main figures as lines for the terminal; what a figure leaves out stands below the table."""

from __future__ import annotations

from typing import Any

from synvita.report.table import TASKS, Task, at, figure, gaps, interval, percent

NAMES = {
    "in_distribution": "in-dist",
    "open": "open",
    "unseen": "unseen",
    "temporal": "temporal",
    "retrieval_temporal": "retr. temporal",
    "retrieval_events": "retr. events",
    "qa": "QA",
}


def terminal_table(arms: dict[str, Any]) -> str:
    """Figures in percent with their intervals; a dash where there is no figure, and a line per hole in one."""
    tasks = [t for t in TASKS if t.path in NAMES and any(at(arm, t.path) for arm in arms.values())]
    lines = [f"{'arm (AUC, mAP, accuracy in %)':<30}" + "".join(f"{NAMES[task.path]:>20}" for task in tasks)]
    notes = []
    for name, arm in arms.items():
        lines.append(f"{name:<30}" + "".join(f"{terminal_cell(arm, task):>20}" for task in tasks))
        notes += [f"{name}, {NAMES[t.path]}: {text}" for t in tasks if (text := gaps(arm, t))]
    return "\n".join((*lines, *notes))


def terminal_cell(arm: dict[str, Any], task: Task) -> str:
    value = figure(arm, task)
    entry = at(arm, task.path) or {}
    return "-" if value is None else f"{percent(value)} {interval(entry)}".rstrip()
