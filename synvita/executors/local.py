"""Work on this machine: in this process, or in several, each with the stages set up once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from synvita.core.pool import VISIBLE, in_processes
from synvita.core.progress import progress
from synvita.core.stage import SetAside, Stage, batches_of
from synvita.executors.job import Job, Outcome, begin
from synvita.executors.part import Look, Shard

Results = list[list[Any] | SetAside]
Batch = tuple[int, list[str]]  # which stage's, and its items' keys


def run(
    stage: Stage,
    run_folder: Path,
    workers: int = 1,
    part: Shard | Look | None = None,
    tick: Callable[..., None] | None = None,
) -> Outcome:
    """As `side_by_side`, of one stage."""
    return side_by_side([stage], run_folder, workers, part, tick)[0]


def side_by_side(
    stages: Sequence[Stage],
    run_folder: Path,
    workers: int = 1,
    part: Shard | Look | None = None,
    tick: Callable[..., None] | None = None,
) -> list[Outcome]:
    """Do what is missing of stages of the same items: a worker has all of them, and does a batch of each in turn, so
    that what one has read serves the next (`share` of a stage). The records are the same bytes whatever `workers` and
    `part` are, and those of one stage after the other.

    `tick`: called once per item that is done, instead of a progress bar.

    Raises:
        ValueError: as `begin`; a stage cannot be set up; a worker process died. What each has made by then is kept.
    """
    bars: list[Callable[..., None]] = [] if tick is None else [tick]
    with contextlib.ExitStack() as stack:
        # Entered backwards, so that they are left (and write) in their own order.
        jobs = [stack.enter_context(begin(stage, run_folder, part, lambda *_: bars[0]())) for stage in stages[::-1]]
        jobs.reverse()
        if tick is None:
            what = stages[0].what if len(stages) == 1 else f"{stages[0].command}: {len(stages)} side by side"
            bars.append(stack.enter_context(progress(what, sum(len(j.own) for j in jobs), sum(j.kept for j in jobs))))
        busy = [job for job in jobs if job.todo]
        work = stretches(busy)
        for (number, keys), results in (
            here(busy, work) if workers == 1 or len(work) < 2 else beside(busy, work, workers)
        ):
            busy[number].take(keys, results)
    return [job.outcome for job in jobs]


def stretches(jobs: Sequence[Job]) -> list[list[Batch]]:
    """What is to do, in parts of as many items as the largest batch has: what is read of them serves all stages."""
    size = max((job.stage.batch for job in jobs), default=1)
    parts: dict[int, list[Batch]] = {}
    for number, job in enumerate(jobs):
        first = {keys[0]: at * job.stage.batch for at, keys in enumerate(batches_of(job.stage, job.items))}
        for keys in job.todo:
            parts.setdefault(first[keys[0]] // size, []).append((number, keys))
    return [sorted(part, key=lambda batch: (batch[1], batch[0])) for _, part in sorted(parts.items())]


def here(jobs: Sequence[Job], work: Sequence[Sequence[Batch]]) -> Iterator[tuple[Batch, Results]]:
    stages = [job.stage for job in jobs]
    try:
        set_up(stages)
        for number, keys in (batch for part in work for batch in part):
            yield (number, keys), results_of(stages, number, jobs[number].run, jobs[number].batch(keys))
    finally:
        for stage in stages:
            stage.close()


def set_up(stages: Sequence[Stage]) -> None:
    for stage in stages:
        with named(stage, stages):
            stage.setup()
    share = getattr(stages[0], "share", None) if len(stages) > 1 else None
    if share is not None:
        share(stages)


def results_of(stages: Sequence[Stage], number: int, run_folder: Path, items: Sequence[Any]) -> Results:
    with named(stages[number], stages):
        return stages[number].work(run_folder, items)


@contextlib.contextmanager
def named(stage: Stage, stages: Sequence[Stage]) -> Iterator[None]:
    """What goes wrong with one of several stages says with which."""
    try:
        yield
    except Exception as error:
        if len(stages) > 1:
            error.add_note(f"({stage.folder})")
        raise


# ---- several processes

ready: list[Stage] = []  # in a worker: the stages, set up


def beside(jobs: Sequence[Job], work: Sequence[Sequence[Batch]], workers: int) -> Iterator[tuple[Batch, Results]]:
    stages = [job.stage for job in jobs]
    names = ", ".join(stage.folder for stage in stages)
    died = f"a worker of {names} died (killed, or out of memory); what was made is kept"
    text = f"{died}, once more: {jobs[0].once_more}"
    calls = ((part, (stages, jobs[0].run, [(n, jobs[n].batch(keys)) for n, keys in part])) for part in work)
    for part, found in in_processes(in_worker, calls, workers, text, devices_of(stages, workers)):
        yield from zip(part, found, strict=True)


def devices_of(stages: Sequence[Stage], workers: int) -> list[str | None]:
    """A GPU for each worker, in turn if there are fewer; None: it sees what this process sees."""
    known = gpus() if any(stage.resources.gpus for stage in stages) else []
    return [known[i % len(known)] if known else None for i in range(workers)]


def gpus() -> list[str]:
    """As `CUDA_VISIBLE_DEVICES` names them."""
    given = os.environ.get(VISIBLE)
    if given is not None:
        return [name for name in given.split(",") if name]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def in_worker(stages: Sequence[Stage], run_folder: Path, part: Sequence[tuple[int, list[Any]]]) -> list[Results]:
    """The first part sets the stages up, so that what goes wrong there is an error like any other."""
    if not ready:
        set_up(stages)
        ready.extend(stages)
    return [results_of(ready, number, run_folder, items) for number, items in part]
