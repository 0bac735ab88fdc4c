"""Calls in processes beside this one: results as they come, and no process outlives the one that started it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from synvita.core.allocator import keep_freed_memory
from synvita.core.process import watch_parent

K = TypeVar("K")
VISIBLE = "CUDA_VISIBLE_DEVICES"
THREADS = "OMP_NUM_THREADS"


def in_processes(
    call: Callable[..., Any],
    work: Iterable[tuple[K, tuple[Any, ...]]],
    workers: int,
    died: str = "a worker died (killed, or out of memory)",
    devices: Sequence[str | None] = (),
) -> Iterator[tuple[K, Any]]:
    """`call(*arguments)` of each (name, arguments) in one of `workers` processes -> (name, result), as they end.

    A few calls per worker are under way at a time, so that little waits in memory. Each worker has its share of the
    cores as threads: more of them wait for each other.

    Args:
        devices: a GPU per worker, as `CUDA_VISIBLE_DEVICES` names it; None: it sees what this process sees.
    Raises:
        ValueError: `died`; whatever a call raises.
    """
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    for i in range(workers):
        queue.put(devices[i] if devices else None)
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(workers, context, begin_worker, (os.getpid(), queue, threads)) as pool:
        try:
            left = iter(work)
            under_way: dict[Any, K] = {}
            while True:
                while len(under_way) < 2 * workers and (next_one := next(left, None)) is not None:
                    with deaf():
                        future = pool.submit(call, *next_one[1])
                    under_way[future] = next_one[0]
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    yield under_way.pop(future), future.result()
        except BrokenProcessPool as error:
            raise ValueError(died) from error
        except BaseException:  # interrupted, or a call failed: nobody waits for the others'
            for child in multiprocessing.active_children():
                child.terminate()
            raise


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """Ctrl-C waits. A process that is started meanwhile never hears it: it inherits that, and would end in a traceback
    if it were told before it has begun (`begin_worker`)."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker(parent: int, devices: Any, threads: int) -> None:
    """A worker ends with its parent, which alone answers to Ctrl-C; the GPU that it sees is its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_parent(parent)
    keep_freed_memory()
    os.environ.setdefault(THREADS, str(threads))
    device = devices.get()
    if device is not None:
        os.environ[VISIBLE] = device
