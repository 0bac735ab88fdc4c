"""On a GPU, sums in one order: a kernel that adds with atomics gives other last bits each time it runs.

On a CPU the sums of one thread always have one order, and nothing is done here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

# How much memory cuBLAS may split its sums over: one of the two settings under which it always splits them alike.
WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextlib.contextmanager
def same_bits(wanted: bool) -> Iterator[None]:
    """Within it, only kernels that give the same bits for the same numbers, where there is a CUDA device.

    Not `warn_only`: with it, attention's backward pass would warn and take the other kernel all the same.

    Raises:
        ValueError: an operation has no such kernel; the way out is in its message.
    """
    if not wanted or not torch.cuda.is_available():
        yield
        return
    os.environ.setdefault(*WORKSPACE)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        reason = str(error).splitlines()[0]
        raise ValueError(f"--train.deterministic: {reason}; false trains without, with other last bits") from error
    finally:
        torch.use_deterministic_algorithms(before)
