"""The tasks of a run folder: those of the vocabulary, and benchmarks of one's own.

A benchmark of one's own is no line of the vocabulary, because each run has others: its name is that of its pair file,
and its figure stands in `benchmarks/<name>.json`. So whoever has a run folder takes the tasks from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from synvita.core import vocabulary
from synvita.core.reading import read_json
from synvita.core.vocabulary import Task

# The figures that one's own table may have -> the kind of task that they make of it.
OWN_KINDS = {
    "auc": "entailment",
    "map": "retrieval",
    "accuracy": "questions",
    "strict": "strict",
    "group": "counterfactual",
}
OWN = "own_metric"  # key of an entry of results.json, and of a benchmark's stamp: whose it is, and its figure


def own_task(name: str, metric: str) -> Task:
    return Task(name, OWN_KINDS[metric], metric, name, name)


def own_tasks(run: Path) -> list[Task]:
    """Benchmarks of one's own that a run has.

    ValueError: a stamp with a figure that nobody knows, by file.
    """
    known = {task.name for task in vocabulary.tasks()}
    tasks = []
    for path in sorted((run / "benchmarks").glob("*.json")):
        metric = None if path.stem in known else read_json(path).get(OWN)
        if metric is None:
            continue
        if metric not in OWN_KINDS:
            raise ValueError(f"{path}: {OWN}: {metric!r} is no figure; known: {', '.join(OWN_KINDS)}")
        tasks.append(own_task(path.stem, metric))
    return tasks


def tasks_of(run: Path, kind: str | None = None) -> list[Task]:
    """What the arms of a run may be asked, in the order of the columns; one's own come last."""
    return [*vocabulary.tasks(kind), *(task for task in own_tasks(run) if kind in (None, task.kind))]


def find_task_of(run: Path, name: str) -> Task | None:
    return vocabulary.find_task(name) or next((task for task in own_tasks(run) if task.name == name), None)


def with_own(known: Iterable[Task], arms: Mapping[str, Any]) -> list[Task]:
    """`known` columns, then those of one's own benchmarks that any arm of results has figures of."""
    own = {
        name: entry[OWN]
        for figures in arms.values()
        for name, entry in figures.items()
        if isinstance(entry, dict) and entry.get(OWN) in OWN_KINDS
    }
    return [*known, *(own_task(name, metric) for name, metric in sorted(own.items()))]
