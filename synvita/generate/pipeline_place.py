"""Where a pipeline of diffusers works: its device, what is offloaded, and what goes wrong there, as one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


def check_device(device: str) -> None:
    """ValueError: no such device here."""
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:  # a build without it asserts
        reason = str(error).splitlines()[0][:160]
        raise ValueError(f"device: {device!r} cannot be used here ({reason}); known: cpu, cuda, cuda:1, mps") from None


def place(pipe: Any, device: str, offload: str) -> Any:
    if offload == "none":
        return pipe.to(device)
    method = pipe.enable_model_cpu_offload if offload == "model" else pipe.enable_sequential_cpu_offload
    method(device=device)
    return pipe


@contextlib.contextmanager
def one_line(setting: str, what: str) -> Iterator[None]:
    """What a library makes of junk is a line with the setting and the file."""
    try:
        yield
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        if "out of memory" in str(error) or "allocate memory" in str(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{setting}: {what} cannot be loaded ({reason})") from error


@contextlib.contextmanager
def memory(device: str) -> Iterator[None]:
    """Out of memory -> MemoryError with the settings that need less."""
    try:
        yield
    except RuntimeError as error:
        if "out of memory" not in str(error) and "allocate memory" not in str(error):
            raise
        raise MemoryError(
            f"out of memory on {device}; a smaller batch, offload model (or sequential), tiling true, or dtype "
            "bfloat16 need less"
        ) from error
