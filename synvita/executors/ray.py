"""Work on a cluster with Ray: the same records, from actors that each set the stage up once.

Only batches of items go there and records come back; the driver alone writes. Ray's own checkpoints are not used: the
records are the checkpoint, so a driver that is killed and started again goes on where it was.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synvita.core.stage import SetAside, Stage
from synvita.executors.job import Job, Outcome, begin
from synvita.executors.part import Look

CONNECT_SECONDS = 10
STORE_BYTES = 256 * 2**20  # records and captions only: little
RESTARTS = 3  # of an actor that died, before the run ends


def run(
    stage: Stage, run_folder: Path, workers: int = 1, address: str | None = None, part: Look | None = None
) -> Outcome:
    """Do what is missing of a stage, or of a part of it, with `workers` actors.

    Args:
        address: of a cluster that runs (`auto`: the one of this machine); None: one is started here, serves all stages
            of this process and ends with it.
    Raises:
        ValueError: as `begin`; Ray is not installed; nobody answers at the address; the stage cannot be set up.
    """
    library = load_ray()
    if address is not None:
        check_address(address)
    with begin(stage, run_folder, part) as job:
        if job.todo:
            connect(library, address, workers * stage.resources.cpus)
            for keys, results in results_of(library, job, workers):
                job.take(keys, results)
    return job.outcome


def load_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ValueError(f"--executor: ray cannot be loaded ({error}); pip install 'synvita[cluster]'") from None
    return ray


def check_address(address: str) -> None:
    """Whether anybody listens there: Ray itself would try for minutes.

    Raises:
        ValueError: not host:port (or auto, local); nobody listens.
    """
    if address in ("auto", "local"):
        return
    match = re.fullmatch(r"(?:ray://)?\[?([^/\]]+?)\]?:(\d{1,5})", address)
    if match is None:
        raise ValueError(f"--address: {address!r} is no address; give host:port as ray start prints it, or auto")
    try:
        socket.create_connection((match[1], int(match[2])), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"--address: {nobody(address, error)}") from None


def nobody(address: str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"no Ray cluster answers at {address!r} ({reason}); start one with: ray start --head"


def connect(library: Any, address: str | None, cpus: int) -> None:
    """Be connected, to the cluster at the address or to one of our own with at least so many CPUs."""
    if library.is_initialized():
        if address is not None or library.cluster_resources().get("CPU", 0) >= cpus:
            return
        library.shutdown()
    if address is None:
        quiet = {"log_to_driver": False, "include_dashboard": False, "object_store_memory": STORE_BYTES}
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # a generator or scorer of one's own
        try:
            library.init(num_cpus=cpus, logging_level=logging.ERROR, **quiet)
        finally:
            os.environ.pop("PYTHONPATH")
            os.environ |= {} if before is None else {"PYTHONPATH": before}
        return
    try:
        library.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ValueError(f"--address: {nobody(address, error)}") from None


class Worker:
    """An actor: the stage, set up with its first batch."""

    def __init__(self, stage: Stage, run_folder: Path):
        self.stage, self.run_folder, self.ready = stage, run_folder, False

    def here(self) -> list[list[Any] | SetAside]:
        return []

    def work(self, batch: list[Any]) -> list[list[Any] | SetAside]:
        if not self.ready:
            self.stage.setup()
            self.ready = True
        return self.stage.work(self.run_folder, batch)


def results_of(library: Any, job: Job, workers: int) -> Iterator[tuple[list[str], list[list[Any] | SetAside]]]:
    """Two batches per actor are under way at a time. A batch whose actor died goes to the one in its place.

    An actor gets work when it is there: a cluster may have fewer places than `workers`.
    """
    needs = job.stage.resources
    again_then = {"max_restarts": RESTARTS, "max_task_retries": RESTARTS}
    kind = library.remote(num_cpus=needs.cpus, num_gpus=needs.gpus, **again_then)(Worker)
    actors = [kind.remote(job.stage, job.run.resolve()) for _ in range(min(workers, len(job.todo)))]
    batches = iter(job.todo)
    under_way: dict[Any, tuple[list[str], Any]] = {actor.here.remote(): ([], actor) for actor in actors for _ in "ab"}
    left = len(job.todo)
    try:
        while left:
            (done,), _ = library.wait(list(under_way), num_returns=1)
            keys, actor = under_way.pop(done)
            results = answer(library, job, done)
            if (following := next(batches, None)) is not None:
                under_way[actor.work.remote(job.batch(following))] = following, actor
            if keys:
                left -= 1
                yield keys, results
    finally:
        for actor in actors:
            library.kill(actor)


def answer(library: Any, job: Job, reference: Any) -> list[list[Any] | SetAside]:
    """What an actor gave. The stage's own error is raised as it would be here; ValueError: its actors keep dying."""
    try:
        found: list[list[Any] | SetAside] = library.get(reference)
    except library.exceptions.RayTaskError as error:
        raise error.cause from None
    except library.exceptions.RayActorError as error:
        text = f"a worker of {job.stage.folder} died {RESTARTS + 1} times (killed, or out of memory)"
        way_out = f"what was made is kept, once more: {job.once_more}"
        raise ValueError(f"{text}; {way_out}") from error
    return found
