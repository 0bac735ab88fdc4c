"""Child processes that never outlive the one that started them, even if that is killed with -9."""

from __future__ import annotations

import os
import threading
import time


def leave_with(parent: int) -> None:
    """End this process, even inside a hanging library call, when its parent is gone: nobody else would.

    A launcher may stand in between; then the ancestor is looked for by its number.
    """
    direct = os.getppid() == parent
    while os.getppid() == parent if direct else alive(parent):
        time.sleep(0.5)
    os._exit(1)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def watch_parent(parent: int) -> None:
    """Run `leave_with` beside whatever this process does."""
    threading.Thread(target=leave_with, args=(parent,), daemon=True).start()
