"""Work on this machine: in this process, or in several, each with the stage set up once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from synvita.core.process import watch_parent
from synvita.core.progress import progress
from synvita.core.run_folder import again
from synvita.core.stage import SetAside, Stage
from synvita.executors.job import Job, Outcome, Shard, begin

VISIBLE = "CUDA_VISIBLE_DEVICES"
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
        bars.append(stack.enter_context(progress(what, sum(j.own for j in jobs), sum(j.kept for j in jobs))))
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
    """A few batches per worker are under way at a time, so that little waits in memory."""
    context = multiprocessing.get_context("spawn")
    devices = context.Queue()
    for device in devices_of(job.stage, workers):
        devices.put(device)
    with ProcessPoolExecutor(workers, context, begin_worker, (os.getpid(), devices)) as pool:
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


def begin_worker(parent: int, devices: Any) -> None:
    """A worker ends with its parent, which alone answers to Ctrl-C; the GPU that it sees is its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_parent(parent)
    device = devices.get()
    if device is not None:
        os.environ[VISIBLE] = device


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
