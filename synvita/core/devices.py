"""Where weights go and in which precision, by the names that people type."""

from __future__ import annotations

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEVICES = ("cpu", "cuda", "mps", "xpu")


def check_device(device: str, knob: str) -> None:
    """Refuse a device that this machine does not have, before anything is loaded onto it.

    Raises:
        ValueError: an unknown name; a kind of device, or a number of one, that torch does not see here.
    """
    try:
        kind = torch.device(device) if isinstance(device, str) else None
    except RuntimeError:
        kind = None
    if kind is None or kind.type not in DEVICES:
        raise ValueError(f"{knob}: unknown {device!r}; known: {', '.join(DEVICES)}, with a number as in cuda:1")
    if kind.type == "cpu":
        return
    there = torch.backends.mps if kind.type == "mps" else torch.get_device_module(kind.type)
    if not there.is_available():
        seen = f"this machine's torch sees no {kind.type.upper()} device"
        raise ValueError(f"{knob}: {device} asked for, but {seen}; give {knob} cpu, or a torch that was built for it")
    last = 0 if kind.type == "mps" else there.device_count() - 1
    if kind.index is not None and kind.index > last:
        raise ValueError(f"{knob}: {device} asked for, but the last one here is {kind.type}:{last}; give that or less")


def dtype_of(name: str, knob: str = "--dtype") -> torch.dtype:
    if name not in DTYPES:
        raise ValueError(f"{knob}: unknown {name!r}; known: {', '.join(DTYPES)}")
    return DTYPES[name]


def usual_dtype(name: str | None, device: str, device_map: str | None, knob: str) -> torch.dtype:
    """The dtype of that name; None: bfloat16 on an accelerator, float32 on a CPU. ValueError: as `dtype_of`."""
    if name is None:
        return torch.float32 if device == "cpu" and device_map is None else torch.bfloat16
    return dtype_of(name, knob)
