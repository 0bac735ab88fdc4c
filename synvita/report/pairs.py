"""The arms' answers to single pairs: which files, which seed, and which two arms the page compares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.reading import read_yaml
from synvita.core.tables import cell, read_table
from synvita.core.vocabulary import BASELINE, METHOD, ORACLE_ARM
from synvita.report.results_file import is_number

KEYS = ("video", "caption", "label", "query", "log_odds")
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Answers:
    """The arms that have answers with `seed`, in the order of the results; `first` and `second` are compared.

    Where a run has one arm only, both are that one.
    """

    seed: str
    folders: dict[str, Path]
    first: str
    second: str

    @property
    def alone(self) -> bool:
        return self.first == self.second

    @property
    def arms(self) -> list[str]:
        return list(self.folders)


def settings_of(run: Path) -> dict[str, Any]:
    """What the run's `config.yaml` says; nothing where there is none."""
    path = run / "config.yaml"
    return read_yaml(path) if path.exists() else {}


def seed_of(run: Path) -> str:
    """The seed that the results are made from, as `config.yaml` says; 0 where it says nothing."""
    train = settings_of(run).get("train")
    return str(train.get("seed", 0)) if isinstance(train, dict) else "0"


def compared(arms: list[str], favourite: str = METHOD) -> tuple[str, str]:
    """real_only and the favourite; where one is not there, the first or the last other arm; the oracle's only if alone.

    Args:
        arms: one or more names.
    """
    if len(arms) == 1:
        return arms[0], arms[0]
    first = BASELINE if BASELINE in arms else next(arm for arm in arms if arm != favourite)
    others = [arm for arm in arms if arm != first]
    fair = [arm for arm in others if arm != ORACLE_ARM] or others
    return first, favourite if favourite in fair else fair[-1]


def find_answers(
    run: Path, model: str | None, arms: Iterable[str], favourite: str = METHOD, place: Path | None = None
) -> Answers | None:
    """Of a base model's arms; `favourite` is compared with the baseline. None where nobody was asked.

    `place`: the folder of the pair files, if it is not the run's (a look's).
    """
    if model is None:
        return None
    seed, home = seed_of(run), (place or run) / "models" / model / "pairs"
    asked = {path.name for path in home.glob("*") if (path / seed).is_dir()}
    folders = {arm: home / arm / seed for arm in arms if arm in asked}
    return Answers(seed, folders, *compared(list(folders), favourite)) if folders else None


def check_pair(row: dict[str, Any]) -> None:
    """ValueError, without file and line: a key that is missing, or a value that cannot be shown."""
    missing = [key for key in KEYS if key not in row]
    if missing:
        raise ValueError(f"no key {missing[0]!r}; a pair has {', '.join(KEYS)}")
    for name in ("video", "caption", "query"):
        cell(row, name)
    if row["label"] not in (0, 1):
        raise ValueError(f"label: {row['label']!r} is not 1 (the caption fits the video) or 0 (it does not)")
    if row["log_odds"] is not None and not is_number(row["log_odds"]):
        raise ValueError(f"log_odds: {row['log_odds']!r} is not a finite number; a pair without a score has null")


def read_task(answers: Answers, task: str) -> dict[str, Rows]:
    """Arm -> its rows of a task, of the arms that have it; empty unless both compared arms do.

    Raises:
        ValueError: a bad line, or a row that is no pair, as file:line.
    """
    found: dict[str, Rows] = {}
    for arm, folder in answers.folders.items():
        path = folder / f"{task}.jsonl"
        if not path.exists():
            continue
        found[arm] = []
        for row in read_table(path)[1]:
            try:
                if row.problem:
                    raise ValueError(row.problem)
                check_pair(row.fields)
            except ValueError as error:
                raise ValueError(f"{row.where}: {error}") from None
            found[arm].append(row.fields)
    return found if {answers.first, answers.second} <= set(found) else {}
