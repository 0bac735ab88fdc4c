"""Official checkpoint folders -> tensors by name: safetensors or pickled, whole or sharded."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

LAYOUTS = (("model.safetensors", "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json"))


def read_file(path: Path) -> dict[str, Tensor]:
    """One file's tensors, memory-mapped. Pickled files are read with `weights_only`: they cannot run code."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # a file of the old format cannot be mapped
        return torch.load(path, map_location="cpu", weights_only=True)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint folder; safetensors are preferred where both formats are there.

    Raises:
        ValueError: no weights; a shard that the index names is missing; a tensor that its shard lacks.
    """
    for whole, index in LAYOUTS:
        if (folder / index).exists():
            names: dict[str, str] = json.loads((folder / index).read_text())["weight_map"]
            found: dict[str, Tensor] = {}
            for shard in sorted(set(names.values())):
                if not (folder / shard).exists():
                    raise ValueError(f"--model: {folder / index} names {shard}, which is not there; fetch it again")
                found |= read_file(folder / shard)
            lost = sorted(set(names) - set(found))
            if lost:
                raise ValueError(f"--model: {folder / index}: no shard has the tensor {lost[0]}")
            return found
        if (folder / whole).exists():
            return read_file(folder / whole)
    raise ValueError(f"--model: {folder}: no weights; expected one of {', '.join(n for both in LAYOUTS for n in both)}")


def fit(module: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Put the tensors into the module (built on any device, also meta), all of them and nothing else.

    Raises:
        ValueError: names the first tensor that is missing, that nothing takes, or whose shape differs.
    """
    wanted = module.state_dict()
    for name in wanted:
        if name not in tensors:
            raise ValueError(f"--model: {where}: lacks the tensor {name}")
        if tensors[name].shape != wanted[name].shape:
            got, want = tuple(tensors[name].shape), tuple(wanted[name].shape)
            raise ValueError(f"--model: {where}: {name} has the shape {got}, the config says {want}")
    extra = sorted(set(tensors) - set(wanted))
    if extra:
        raise ValueError(f"--model: {where}: holds {extra[0]}, which the model has no place for ({len(extra)} in all)")
    module.load_state_dict(tensors, assign=True)
