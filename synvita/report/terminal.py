"""The arms and their main figures as lines for the terminal; what a figure leaves out stands below the table."""

from __future__ import annotations

from typing import Any

from synvita.core.run_tasks import with_own
from synvita.core.vocabulary import Task, main_figures
from synvita.report.table import at, figure, gaps, interval, percent, ties


def terminal_table(arms: dict[str, Any]) -> str:
    """Figures in percent with their intervals; a dash where there is no figure, and a line per hole in one, with the
    arms that have it, if not all do."""
    tasks = [t for t in with_own(main_figures(), arms) if any(at(arm, t.name) for arm in arms.values())]
    lines = [f"{'arm (AUC, mAP, accuracy in %)':<30}" + "".join(f"{task.column:>22}" for task in tasks)]
    holes: dict[tuple[str, str], list[str]] = {}
    for name, arm in arms.items():
        lines.append(f"{name:<30}" + "".join(f"{terminal_cell(arm, task):>22}" for task in tasks))
        for task in tasks:
            for text in filter(None, (gaps(arm, task), ties(at(arm, task.name) or {}))):
                holes.setdefault((task.column, text), []).append(name)
    notes = [
        f"{column}: {text}" if len(names) == len(arms) > 1 else f"{', '.join(names)}, {column}: {text}"
        for (column, text), names in holes.items()
    ]
    return "\n".join((*lines, *notes))


def terminal_cell(arm: dict[str, Any], task: Task) -> str:
    value = figure(arm, task)
    entry = at(arm, task.name) or {}
    return "-" if value is None else f"{percent(value)} {interval(entry)}".rstrip()
