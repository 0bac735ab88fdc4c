"""Memory that is freed stays at hand: a training step asks for the same blocks again and again."""

from __future__ import annotations

import contextlib
import ctypes

TRIM, MMAP = -1, -3  # glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD (malloc.h)
BLOCK = 32 * 2**20  # bytes: larger ones (weights, whole videos) still go back to the system at once
KEPT = 2**30


def keep_freed_memory() -> None:
    """Let glibc keep up to 1 GiB of freed blocks in this process instead of giving each back to the system.

    Else every activation of some megabytes is new memory, whose pages the system first has to find and clear: a tenth
    of a step of the miniature. Changes no result; does nothing where there is no glibc.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        adjust = ctypes.CDLL(None).mallopt
        adjust(MMAP, BLOCK)
        adjust(TRIM, KEPT)
