"""The arms' answers to single pairs: which files, which seed, and which two arms the page compares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from synvita.core.store import parse_lines
from synvita.report.finding import METHOD, ORACLE_ARM
from synvita.report.table import BASELINE

KEYS = ("video", "caption", "label", "query", "log_odds")
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Answers:
    """The arms that have answers with `seed`, in the order of the results; `first` and `second` are compared."""

    seed: str
    folders: dict[str, Path]
    first: str
    second: str

    @property
    def arms(self) -> list[str]:
        return list(self.folders)


def seed_of(run: Path) -> str:
    """The seed that the results are made from, as `config.yaml` says; 0 where it says nothing."""
    path = run / "config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    train = config.get("train") if isinstance(config, dict) else None
    return str(train.get("seed", 0)) if isinstance(train, dict) else "0"


def compared(arms: list[str]) -> tuple[str, str]:
    """real_only and synvita; where one is not there, the first or the last other arm (the oracle's only if alone).

    Args:
        arms: two or more names.
    """
    first = BASELINE if BASELINE in arms else next(arm for arm in arms if arm != METHOD)
    others = [arm for arm in arms if arm != first]
    fair = [arm for arm in others if arm != ORACLE_ARM] or others
    return first, METHOD if METHOD in fair else fair[-1]


def find_answers(run: Path, arms: Iterable[str]) -> Answers | None:
    """None where fewer than two arms were asked, so that there is nothing to compare."""
    seed = seed_of(run)
    asked = {path.name for path in (run / "pairs").glob("*") if (path / seed).is_dir()}
    folders = {arm: run / "pairs" / arm / seed for arm in arms if arm in asked}
    return Answers(seed, folders, *compared(list(folders))) if len(folders) > 1 else None


def read_task(answers: Answers, task: str) -> dict[str, Rows]:
    """Arm -> its rows of a task, of the arms that have it; empty unless both compared arms do.

    Raises:
        ValueError: a bad line or a row without one of the keys, as file:line.
    """
    found: dict[str, Rows] = {}
    for arm, folder in answers.folders.items():
        path = folder / f"{task}.jsonl"
        if not path.exists():
            continue
        found[arm] = []
        for number, row in parse_lines(path):
            missing = [key for key in KEYS if key not in row]
            if missing:
                raise ValueError(f"{path}:{number}: no key {missing[0]!r}; a pair has {', '.join(KEYS)}")
            found[arm].append(row)
    return found if {answers.first, answers.second} <= set(found) else {}
