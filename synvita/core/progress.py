"""Progress with an ETA for people, plain lines for logs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TICK = b"."


def tick_parent() -> None:
    """One unit of work is done: tell the process that reads our output (`ticks_of`)."""
    sys.stdout.buffer.write(TICK)
    sys.stdout.buffer.flush()


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar with an ETA on a terminal; elsewhere one line at the end. Call the result once per item."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total)
        try:
            yield lambda: bar.advance(task)
        except ValueError:
            bar.live.transient = bar.tasks[0].completed == 0  # nothing was done: the error's line says it all
            raise
