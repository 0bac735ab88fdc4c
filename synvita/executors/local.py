"""Work on this machine: in this process, or in several, each with the stage set up once."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from synvita.core.process import watch_parent
from synvita.core.run_folder import again
from synvita.core.stage import SetAside, Stage
from synvita.executors.job import Job, Outcome, Shard, begin

Results = tuple[list[str], list[list[Any] | SetAside]]


def run(
    stage: Stage,
    run_folder: Path,
    workers: int = 1,
    shard: Shard | None = None,
    tick: Callable[..., None] | None = None,
) -> Outcome:
    """Do what is missing of a stage; the records are the same bytes whatever `workers` and `shard` are.

    `tick`: called once per item that is done, instead of a progress bar.

    Raises:
        ValueError: as `begin`; the stage cannot be set up; a worker process died.
    """
    with begin(stage, run_folder, shard, tick) as job:
        for keys, results in alone(job) if workers == 1 or len(job.todo) < 2 else together(job, workers):
            job.take(keys, results)
    return job.outcome


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
    """A few batches per worker are under way at a time, so that little waits in memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, begin_worker, (os.getpid(),)) as pool:
        try:
            batches = iter(job.todo)
            under_way: dict[Any, list[str]] = {}
            while True:
                while len(under_way) < 2 * workers and (keys := next(batches, None)) is not None:
                    under_way[pool.submit(work, job.stage, job.run, job.batch(keys))] = keys
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    yield under_way.pop(future), future.result()
        except BrokenProcessPool as error:
            text = f"a worker of {job.stage.folder} died (killed, or out of memory); what was made is kept"
            raise ValueError(f"{text}, once more: {again(job.stage.command, job.run)}") from error
        except BaseException:  # interrupted, or a batch failed: nobody waits for the others'
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def begin_worker(parent: int) -> None:
    """A worker ends with its parent, which alone answers to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_parent(parent)


def work(stage: Stage, run_folder: Path, batch: Sequence[Any]) -> list[list[Any] | SetAside]:
    """In a worker: the first batch sets the stage up, so that what goes wrong there is an error like any other."""
    if not ready:
        stage.setup()
        ready.append(stage)
    return ready[0].work(run_folder, batch)
