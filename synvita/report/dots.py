"""The dot plot of the arms: a column per task with its own axis, a dot and an interval per arm. Plain HTML draws it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from synvita.core.run_tasks import with_own
from synvita.core.vocabulary import BASELINE, Task, arm_title, main_figures
from synvita.report.table import at, figure, interval, percent, role, sign_of, usable
from synvita.report.table import difference as difference_of

STEP = 5  # percent: an axis begins and ends at a multiple


@dataclass(frozen=True)
class Mark:
    """A dot and its interval, as percent of the axis' width; `text`: the figure in words. None: nothing to draw."""

    at: float
    low: float
    high: float
    text: str
    sign: str


@dataclass(frozen=True)
class Scale:
    """From `low` to `high`, in percent (of differences: points)."""

    low: int
    high: int

    def place(self, value: float) -> float:
        """A fraction -> percent of the axis' width."""
        return round(100 * (100 * value - self.low) / (self.high - self.low), 2)


@dataclass(frozen=True)
class Axis(Scale):
    """`reference`: where the baseline's figure is, in percent of the width; None without one."""

    task: Task
    reference: float | None


@dataclass(frozen=True)
class DotRow:
    arm: str
    title: str
    role: str
    marks: list[Mark | None]


def axis_of(task: Task, arms: dict[str, Any]) -> Axis:
    entries = [entry for arm in arms.values() if usable(entry := at(arm, task.name), task)]
    lowest = min(entry["low"] for entry in entries if entry)
    highest = max(entry["high"] for entry in entries if entry)
    low = STEP * math.floor(round(100 * lowest / STEP, 6))  # 55 is 55, not 54.999
    high = max(low + STEP, STEP * math.ceil(round(100 * highest / STEP, 6)))
    reference = figure(arms.get(BASELINE, {}), task)
    return Axis(low, high, task, None if reference is None else Scale(low, high).place(reference))


def dot_plot(arms: dict[str, Any]) -> tuple[list[Axis], list[DotRow]]:
    """The tasks that any arm has a figure and an interval of, and the arms in the order of the results."""
    tasks = [t for t in with_own(main_figures(), arms) if any(usable(at(arm, t.name), t) for arm in arms.values())]
    axes = [axis_of(task, arms) for task in tasks]
    rows = [
        DotRow(name, arm_title(name), role(name, arm), [mark(arm, axis) for axis in axes]) for name, arm in arms.items()
    ]
    return axes, [row for row in rows if any(row.marks)]


def mark(arm: dict[str, Any], axis: Axis) -> Mark | None:
    entry = at(arm, axis.task.name)
    if entry is None or not usable(entry, axis.task):
        return None
    value = entry[axis.task.metric]
    text = f"{percent(value)} {interval(entry)}"
    low, high = axis.place(entry["low"]), axis.place(entry["high"])
    return Mark(axis.place(value), low, high, text, sign_of(difference_of(arm, axis.task) or {}))
