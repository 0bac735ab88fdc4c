"""Pickled files of tensors, read so that nothing in them runs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

INSTEAD = "get it from its authors, or as safetensors"


def read_pickled(path: Path, instead: str = INSTEAD) -> Any:
    """What `torch.save` wrote, memory-mapped where the file's format allows it, with `weights_only`.

    instead: what to do about a file that holds more than tensors and plain values.

    Raises:
        ValueError: such a file; a broken one. MemoryError: too large for this machine.
    """
    import torch

    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # a file of the old format cannot be mapped
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except pickle.UnpicklingError:
        raise ValueError(f"{path}: holds more than tensors, and such a file is never run; {instead}") from None
    except Exception as error:  # junk ends the unpickler in any way
        raise not_whole(path, "checkpoint", error) from None


def not_whole(path: Path, what: str, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return ValueError(f"{path}: not a whole {what} ({reason}); fetch it again")
