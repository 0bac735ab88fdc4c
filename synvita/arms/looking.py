"""A look at a few videos of each task, before hours of asking: figures that say what they are, and lie apart.

look/models/<model>/pairs/<arm>/<seed>/<task>.jsonl    the pairs of these videos
look/results.json                                      their figures; `look` says of how many videos and pairs

What was asked stays in the journals of the pair files, so that the whole evaluation goes on with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synvita.arms.left import Model, all_arms, asking
from synvita.core.run_folder import only_one, remove
from synvita.core.run_tasks import find_task_of
from synvita.core.stage import claim_folder
from synvita.core.store import write_records
from synvita.core.vocabulary import UNTRAINED
from synvita.evaluate.ask import AskPairs
from synvita.evaluate.pairs import SCORED, Rows, read_rows
from synvita.evaluate.results import collect
from synvita.executors.job import Job
from synvita.executors.part import Look
from synvita.how import How
from synvita.recipes import RunConfig

FOLDER = "look"
ALONE = ("entailment", "retrieval")  # kinds whose pairs count without the others of their query


@dataclass(frozen=True)
class View:
    """What of a task is looked at: these videos; where pairs count in groups (`cut`), whole groups only."""

    videos: set[str]
    cut: set[str]
    size: dict[str, int]

    @classmethod
    def of(cls, run: Path, stage: AskPairs, part: Look) -> View:
        job = Job(stage, run, part)
        rows = [row for item in job.items.values() for row in item.rows]
        kind = task.kind if (task := find_task_of(run, stage.task)) else ALONE[0]
        cut = set() if kind in ALONE else {row["query"] for row in rows if row["video"] not in job.own}
        size = {"videos": len(job.own), "of_videos": len(job.items)}
        view = cls(job.own, cut, size)
        size |= {"pairs": len(view.of_rows(rows)), "of_pairs": len(rows)}
        return view

    def of_rows(self, rows: Rows) -> Rows:
        return [row for row in rows if row["video"] in self.videos and row["query"] not in self.cut]


def look(
    run: Path, configs: Sequence[RunConfig], arms: Mapping[str, list[str]], how: How, tasks: Sequence[str] | None
) -> dict[str, Any]:
    """Ask `how.look` of each task, and measure it: `look/results.json`, in place of an earlier look's.

    Args:
        configs: of each base model. arms: its folder -> arms that are asked, or were read from tables.
        tasks: None: all that the run has.
    """
    part = how.look
    assert part is not None
    how = replace(how, workers=1) if how.executor == "local" else how  # here: processes would load the model each
    place, first = run / FOLDER, configs[0]
    with only_one(run, FOLDER):
        remove(place, run)
        told: dict[str, Any] = {}
        for config in configs:
            views = {stage.task: View.of(run, stage, part) for stage in stages_of(run, config, UNTRAINED, tasks)}
            told |= {task: view.size for task, view in views.items()}
            for arm in arms[config.train.home]:
                folder = place / config.train.home / "pairs" / arm / str(config.train.seed)
                for task, rows in rows_of_arm(run, config, arm, how, tasks).items():
                    write_records(folder / f"{task}.jsonl", views[task].of_rows(rows))
        some = {home: names for home, names in arms.items() if names}
        facts = {"limit": part.items, "tasks": told}
        return collect(run, some, first.train.seed, first.evaluate, tasks, look=(place, facts))


def stages_of(run: Path, config: RunConfig, arm: str, tasks: Sequence[str] | None) -> list[AskPairs]:
    return asking(run, config, arm, config.train.seed, tasks)


def rows_of_arm(run: Path, config: RunConfig, arm: str, how: How, tasks: Sequence[str] | None) -> dict[str, Rows]:
    """Task -> an arm's answers to (at least) the videos that are looked at."""
    if arm not in all_arms(config):
        folder = run / config.train.home / "pairs" / arm / str(config.train.seed)
        paths = [path for path in sorted(folder.glob("*.jsonl")) if tasks is None or path.stem in tasks]
        return {path.stem: read_rows(path, SCORED) for path in paths}
    claim_folder(run, Model.of(config.train))
    found = {}
    for stage in stages_of(run, config, arm, tasks):
        how.run(stage, run)
        job = Job(stage, run, how.look)
        found[stage.task] = [row for key in sorted(job.own) for row in job.known(key)]
    return found
