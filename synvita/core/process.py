"""Child processes that never outlive the one that started them, even if that is killed with -9."""

from __future__ import annotations

import os
import threading
import time


def leave_with(parent: int) -> None:
    """End this process, even inside a hanging library call, when its parent is gone: nobody else would."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def watch_parent(parent: int) -> None:
    """Run `leave_with` beside whatever this process does."""
    threading.Thread(target=leave_with, args=(parent,), daemon=True).start()
