"""Does a checkpoint fit into the memory it is loaded to? Said before minutes of loading, not after."""

from __future__ import annotations

import gc
import math
import os
from pathlib import Path

import torch

from synvita.videollm.checkpoints import find_checkpoint
from synvita.videollm.claims import stored_shapes
from synvita.videollm.protocol import WHOLE, Loading

SPARE = 1.05  # weights, and a little for what runs over them
TABLES = ("embed_tokens", "shared.weight", "mm_projector", "ln_vision", "query_tokens")
IN_4BIT = 0.5625  # bytes per number: half, and a scale for every 64


def needed(folder: Path, how: Loading) -> int:
    """Bytes of a checkpoint's weights as they will be loaded: from shapes alone. Four bits: the language model's
    matrices, but no tables."""
    each, total = torch.finfo(how.dtype).bits / 8, 0.0
    for name, shape in stored_shapes(folder).items():
        packed = how.load_4bit and len(shape) == 2 and not any(part in name for part in (*WHOLE, *TABLES))
        total += math.prod(shape) * (IN_4BIT if packed else each)
    return int(total * SPARE)


def weights_at(checkpoint: str, how: Loading, knob: str) -> tuple[str, int] | None:
    """(device, bytes) of a checkpoint that is to be loaded; None: spread over several devices, or not to be counted: a
    checkpoint that is not here yet is fetched when it is loaded, never to be weighed."""
    if how.device_map is not None:
        return None
    try:
        return how.device, needed(find_checkpoint(checkpoint, knob, fetch=False), how)
    except ValueError:  # what is wrong with it is said when it is loaded
        return None


def free(device: str) -> int:
    """Bytes that are free on a device; for the CPU what this machine has left."""
    kind = torch.device(device)
    if kind.type == "cuda":
        gc.collect()  # the model before this one, and what torch keeps of it, is free for the next
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(kind)[0]
    if kind.type != "cpu":
        return 1 << 62  # nobody says
    for line in Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_memory(folder: Path, how: Loading, knob: str) -> None:
    """MemoryError: the weights do not fit; says how much they need, what is free, and the ways out."""
    if how.device_map is not None:
        return  # it spreads them over all that is there
    need, have = needed(folder, how), free(how.device)
    if need > have:
        ways = ["load_4bit true"] * (not how.load_4bit) + ["dtype bfloat16"] * (how.dtype == torch.float32)
        ways += ["device_map auto", "a smaller model"]
        kind = str(how.dtype).removeprefix("torch.")
        raise MemoryError(
            f"{knob}: {folder} needs {need / 1e9:.1f} GB in {'4 bits' if how.load_4bit else kind}, {how.device} has "
            f"{have / 1e9:.1f} GB free; give {', '.join(ways[:-1])} or {ways[-1]}"
        )
