"""Work on this machine: in this process, or in several, each with the stage set up once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from synvita.core.pool import VISIBLE, in_processes
from synvita.core.progress import progress
from synvita.core.stage import SetAside, Stage
from synvita.executors.job import Job, Outcome, begin
from synvita.executors.part import Look, Shard

Results = tuple[list[str], list[list[Any] | SetAside]]


def run(
    stage: Stage,
    run_folder: Path,
    workers: int = 1,
    part: Shard | Look | None = None,
    tick: Callable[..., None] | None = None,
) -> Outcome:
    """Do what is missing of a stage; the records are the same bytes whatever `workers` and `part` are.

    `tick`: called once per item that is done, instead of a progress bar.

    Raises:
        ValueError: as `begin`; the stage cannot be set up; a worker process died.
    """
    with begin(stage, run_folder, part, tick) as job:
        for keys, results in alone(job) if workers == 1 or len(job.todo) < 2 else together(job, workers):
            job.take(keys, results)
    return job.outcome


def side_by_side(
    stages: Sequence[Stage], run_folder: Path, shard: Shard | None, share: Callable[[Sequence[Any]], None]
) -> list[Outcome]:
    """Stages of the same items in this process, a batch of each in turn, so that what one has read serves the next.

    The records are those of one after the other. `share`: called with those that have something to do, once each is set
    up.

    Raises:
        ValueError: as `run`; what each has made by then is kept.
    """
    bars: list[Callable[..., None]] = []
    with contextlib.ExitStack() as stack:
        # Entered backwards, so that they are left (and write) in their own order.
        jobs = [stack.enter_context(begin(stage, run_folder, shard, lambda *_: bars[0]())) for stage in stages[::-1]]
        jobs.reverse()
        what = f"{stages[0].command}: {len(jobs)} side by side"
        bars.append(stack.enter_context(progress(what, sum(len(j.own) for j in jobs), sum(j.kept for j in jobs))))
        busy = [job for job in jobs if job.todo]
        for job in busy:
            stack.callback(job.stage.close)
            job.stage.setup()
        if busy:
            share([job.stage for job in busy])
        for keys, number in sorted((keys, number) for number, job in enumerate(busy) for keys in job.todo):
            job = busy[number]
            job.take(keys, job.stage.work(job.run, job.batch(keys)))
    return [job.outcome for job in jobs]


def alone(job: Job) -> Iterator[Results]:
    try:
        if job.todo:
            job.stage.setup()
        for keys in job.todo:
            yield keys, job.stage.work(job.run, job.batch(keys))
    finally:
        job.stage.close()


# ---- several processes

ready: list[Stage] = []  # in a worker: the stage, set up


def together(job: Job, workers: int) -> Iterator[Results]:
    died = f"a worker of {job.stage.folder} died (killed, or out of memory); what was made is kept"
    text = f"{died}, once more: {job.once_more}"
    work_of = ((keys, (job.stage, job.run, job.batch(keys))) for keys in job.todo)
    return in_processes(work, work_of, workers, text, devices_of(job.stage, workers))


def devices_of(stage: Stage, workers: int) -> list[str | None]:
    """A GPU for each worker, in turn if there are fewer; None: it sees what this process sees."""
    known = gpus() if stage.resources.gpus else []
    return [known[i % len(known)] if known else None for i in range(workers)]


def gpus() -> list[str]:
    """As `CUDA_VISIBLE_DEVICES` names them."""
    given = os.environ.get(VISIBLE)
    if given is not None:
        return [name for name in given.split(",") if name]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def work(stage: Stage, run_folder: Path, batch: Sequence[Any]) -> list[list[Any] | SetAside]:
    """In a worker: the first batch sets the stage up, so that what goes wrong there is an error like any other."""
    if not ready:
        stage.setup()
        ready.append(stage)
    return ready[0].work(run_folder, batch)
