"""Progress with an ETA for people, plain lines for logs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def tick_parent(text: str = "") -> None:
    """One unit of work is done: a line for the process that reads our output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def progress(what: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
    """A progress bar with an ETA on a terminal; elsewhere one line at the end. `done`: of an earlier call.

    Call the result once per item, if you like with a few words on how it goes, which stand behind the bar.
    """
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
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total, completed=done, said="")

        def tick(said: str = "") -> None:
            bar.advance(task)
            if said:
                bar.update(task, said=said)

        try:
            yield tick
            bar.update(task, said="")
        except ValueError:
            bar.live.transient = bar.tasks[0].completed == done  # nothing was done: the error's line says it all
            raise
