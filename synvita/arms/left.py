"""Which arms there are, what is done for each, and how much of it is left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.run_tasks import tasks_of as known_tasks
from synvita.core.stage import check_stamp
from synvita.core.store import parse_lines
from synvita.core.vocabulary import UNTRAINED
from synvita.recipes import RunConfig
from synvita.train.arm_folder import adapter_digest, is_trained
from synvita.train.config import TrainConfig


@dataclass(frozen=True)
class Model:
    """As much of a stage as `claim_folder` needs: the settings that all arms of a base model share."""

    folder: str
    stamp: dict[str, Any]

    @classmethod
    def of(cls, train: TrainConfig) -> Model:
        return cls(train.home, train.stamp)


@dataclass(frozen=True)
class Do:
    """What is done for an arm: train it, ask it these tasks (None: all that the run has)."""

    train: bool = True
    ask: bool = True
    tasks: tuple[str, ...] | None = None

    @property
    def flags(self) -> list[str]:
        """The same for `synvita arm`."""
        what = [name for name, wanted in (("train", self.train), ("ask", self.ask)) if wanted]
        return ["--do", ",".join(what), *([] if self.tasks is None else ["--tasks", ",".join(self.tasks)])]


EVERYTHING = Do()


def all_arms(config: RunConfig) -> list[str]:
    return [UNTRAINED, *config.train.arms]


def to_train(run: Path, config: RunConfig, arm: str, seed: int) -> bool:
    return arm != UNTRAINED and not is_trained(run / config.train.home, arm, seed)


def asking(run: Path, config: RunConfig, arm: str, seed: int, only: Sequence[str] | None) -> list[Any]:
    """The stages that ask an arm the tasks (`only` these) that the run has."""
    from synvita.evaluate.ask import AskPairs
    from synvita.evaluate.tasks import tasks as tasks_of

    base, adapter = base_of(config.train), ""
    if arm != UNTRAINED and is_trained(run / config.train.home, arm, seed):
        adapter = adapter_digest(run, config.train.home, arm, seed)
    kinds = {task.name: task.kind for task in known_tasks(run)}
    return [AskPairs(task, arm, seed, base, config.evaluate, adapter, kinds[task]) for task in tasks_of(run, only)]


def base_of(train: TrainConfig) -> Any:
    from synvita.evaluate.ask import Base

    return Base(train.home, train.model, train.loading(), train.loading_stamp, train.cache_gb)


def left_to_ask(run: Path, stages: Sequence[Any]) -> int:
    """How many batches of videos. ValueError: answers are there that another adapter or model gave."""
    from synvita.executors.job import Job

    for stage in stages:
        check_stamp(run, stage)
    return sum(len(Job(stage, run, None).todo) for stage in stages)


def arm_work(run: Path, config: RunConfig, arm: str, seed: int, do: Do = EVERYTHING) -> int:
    """How often `do_arm` will tick: its training steps and its batches of questions."""
    work = left_to_ask(run, asking(run, config, arm, seed, do.tasks)) if do.ask else 0
    return work + (training_steps(run, config.train) if do.train and to_train(run, config, arm, seed) else 0)


def training_steps(run: Path, config: TrainConfig) -> int:
    """How many optimiser steps an arm takes, if all its videos can be read."""
    lines = [fields for _, fields in parse_lines(run / "triplets.jsonl") if fields.get("split") == "train"]
    examples = len(lines) * (2 if config.grouping == "item" else 1)
    if config.grouping == "item" and config.explanations:
        examples += sum(bool(fields.get("explanation")) for fields in lines)
    if (run / "items.jsonl").exists():
        items = [fields for _, fields in parse_lines(run / "items.jsonl")]
        examples += len(items) if config.grouping == "item" else len({fields.get("triplet") for fields in items})
    return config.epochs * math.ceil(examples * (1 - config.held_out) / config.batch)
