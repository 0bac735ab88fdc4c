"""The table of arms as text: which columns a run has, and what each cell says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from synvita.core import vocabulary
from synvita.core.run_tasks import with_own
from synvita.core.vocabulary import BASELINE, ORACLE_ARM, Task, arm_title

DASH = "–"
FEW = 50  # test pairs, questions or groups: below, a figure tells hardly anything


@dataclass(frozen=True)
class Cell:
    """One figure as text; `sign` is better, worse, or empty where the difference's interval covers 0. `gap`: it has no
    difference, and leaves the room that others of its column need for theirs."""

    value: str = DASH
    interval: str = ""
    difference: str = ""
    difference_interval: str = ""
    sign: str = ""
    gaps: str = ""
    ties: str = ""
    gap: bool = False


# ---- numbers as text


def percent(value: float | None) -> str:
    """A fraction as percent with one decimal; a dash for a figure that is not there."""
    return DASH if value is None or not math.isfinite(value) else f"{100 * value + 0.0:.1f}"


def signed(value: float | None) -> str:
    """A difference of fractions in points, with its sign (never -0.0)."""
    return DASH if value is None or not math.isfinite(value) else f"{round(100 * value, 1) + 0.0:+.1f}"


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """Any number with so many decimals; nothing that is shown as zero has a minus."""
    if value is None or not math.isfinite(value):
        return DASH
    rounded = round(value, digits) + 0.0
    return f"{rounded:+.{digits}f}" if sign and rounded else f"{rounded:.{digits}f}"


def interval(entry: dict[str, Any]) -> str:
    low, high = entry.get("low"), entry.get("high")
    return "" if low is None or high is None else f"[{percent(low)}, {percent(high)}]"


def signed_interval(entry: dict[str, Any]) -> str:
    low, high = entry.get("low"), entry.get("high")
    return "" if low is None or high is None else f"[{signed(low)}, {signed(high)}]"


def sign_of(entry: dict[str, Any]) -> str:
    """better / worse only where the interval of the difference leaves 0 out."""
    low, high = entry.get("low"), entry.get("high")
    if low is None or high is None:
        return ""
    return "better" if low > 0 else "worse" if high < 0 else ""


def at(results: dict[str, Any], path: str) -> dict[str, Any] | None:
    """The entry under a dotted path, or None."""
    found: Any = results
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


# ---- the table of arms


def figure(arm: dict[str, Any], task: Task) -> float | None:
    """None where the arm was not asked, or no figure could be made of its answers."""
    return (at(arm, task.name) or {}).get(task.metric)


def knows_truth(name: str, arm: dict[str, Any]) -> bool:
    """Its weights come from the truth: a ceiling and not a candidate."""
    return name == ORACLE_ARM or "world_truth" in arm.get("weights_from", "")


def difference(arm: dict[str, Any], task: Task) -> dict[str, Any] | None:
    """The arm's figure minus the baseline's, if there is one: {the task's metric, "low", "high"}."""
    versus = at(arm, f"minus_{BASELINE}.{task.name}")
    return versus if versus and versus.get(task.metric) is not None else None


def scored_pairs(entry: dict[str, Any]) -> int:
    """How many pairs a figure is of; 0 where nobody says."""
    number: int = entry.get("expected", 0) - entry.get("missing", 0)
    return number


def too_few(arm: dict[str, Any], task: Task) -> str:
    """ "49 test pairs", of questions and minimal pairs those: fewer than FEW, but not none; empty where nobody says."""
    entry = at(arm, task.name) or {}
    unit = next((unit for unit in ("questions", "groups") if unit in entry), "test pairs")
    number = entry.get(unit, scored_pairs(entry))
    return f"{number} {unit}" if 0 < number < FEW else ""


def sizes(tasks: Sequence[Task], arms: dict[str, Any]) -> str:
    """How many pairs each figure is of, of the arm that has the most: "Open 56, Questions 120"."""
    most = {task.title: max(scored_pairs(at(arm, task.name) or {}) for arm in arms.values()) for task in tasks}
    return ", ".join(f"{title} {number:,}" for title, number in most.items() if number)


def usable(entry: dict[str, Any] | None, task: Task) -> bool:
    """Whether there is a dot and an interval to draw."""
    return entry is not None and all(entry.get(key) is not None for key in (task.metric, "low", "high"))


def gaps(arm: dict[str, Any], task: Task) -> str:
    """What the figure, or its difference to the baseline, leaves out; empty where it is whole."""
    entry = at(arm, task.name) or {}
    parts = [f"{entry['missing']} of {entry['expected']} missing"] if entry.get("missing") else []
    for noun in ("queries", "questions", "groups"):
        dropped = entry.get(f"{noun}_dropped")
        parts += [f"{dropped} of {dropped + entry[noun]} {noun} dropped"] if dropped else []
    few = too_few(arm, task)
    parts += [f"only {few}"] if few else []
    size = entry.get("benchmark") or {}
    parts += (
        [f"{size['n']} of {size['of']} {size['unit']} in its files"] if size.get("n", 0) < size.get("of", 0) else []
    )
    versus = at(arm, f"minus_{BASELINE}.{task.name}") or {}
    left_out = versus.get("left_out")
    parts += [f"difference without {left_out} pairs that not both arms have scored"] if left_out else []
    return ", ".join(parts)


def ties(entry: dict[str, Any]) -> str:
    """What the order of tied scores leaves open of a figure; empty where that does not show."""
    low, high, mean = (percent(entry.get(key)) for key in ("tie_low", "tie_high", "tie_mean"))
    if low == high:
        return ""
    return f"{low} to {high} by the order of ties" + ("" if mean == DASH else f", {mean} on average")


def cell(arm: dict[str, Any], task: Task) -> Cell:
    entry = at(arm, task.name)
    if entry is None:
        return Cell()
    shown = Cell(percent(figure(arm, task)), interval(entry), gaps=gaps(arm, task), ties=ties(entry))
    versus = difference(arm, task)
    if versus is None:
        return shown
    return replace(
        shown, difference=signed(versus[task.metric]), difference_interval=signed_interval(versus), sign=sign_of(versus)
    )


def role(name: str, arm: dict[str, Any]) -> str:
    """What a row is for, where it is no candidate."""
    return "reference" if name == BASELINE else "ceiling" if knows_truth(name, arm) else ""


def arm_note(arm: dict[str, Any]) -> str:
    """How many clips an arm was trained with, where training wrote it down and something was left out."""
    parts = [f"{arm['triplets']:,} triplets"] if "triplets" in arm else []
    words = {"with_clip": "with a clip", "without_clip": "without a clip"}
    parts += [f"{arm[key]:,} {text}" for key, text in words.items() if isinstance(arm.get(key), int) and arm[key]]
    aside = arm.get("set_aside")
    parts += [f"{len(aside):,} set aside"] if isinstance(aside, list) and aside else []
    return ", ".join(parts)


def arm_table(arms: dict[str, Any]) -> tuple[list[Task], list[dict[str, Any]]]:
    """The columns that any arm has, and a row of cells for each arm."""
    every = with_own(vocabulary.every_figure(), arms)
    tasks = [task for task in every if any(at(arm, task.name) for arm in arms.values())]
    rows = [
        {
            "arm": name,
            "title": arm_title(name),
            "role": role(name, arm),
            "cells": [cell(arm, task) for task in tasks],
            "weights_from": arm.get("weights_from", DASH),
            "note": arm_note(arm),
        }
        for name, arm in arms.items()
    ]
    wide = [any(row["cells"][i].difference for row in rows) for i in range(len(tasks))]
    for row in rows:
        row["cells"] = [
            replace(one, gap=room and not one.difference) for one, room in zip(row["cells"], wide, strict=True)
        ]
    return tasks, rows
