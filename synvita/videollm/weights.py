"""Official checkpoint folders -> tensors by name: safetensors or pickled, whole or sharded."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synvita.videollm.protocol import Loading

LAYOUTS = (("model.safetensors", "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json"))


def read_file(path: Path) -> dict[str, Tensor]:
    """One file's tensors, memory-mapped. Pickled files are read with `weights_only`: they cannot run code.

    Raises:
        ValueError: a broken file, or a pickled one that holds anything but tensors.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path}: not a whole safetensors file ({error}); fetch it again") from None
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # a file of the old format cannot be mapped
            return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError) as error:
        raise ValueError(f"{path}: not a whole checkpoint ({str(error).splitlines()[0]}); fetch it again") from None
    except pickle.UnpicklingError:
        raise ValueError(f"{path}: holds more than tensors, and such a file is never run; get safetensors") from None


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


def check_names(wanted: dict[str, Tensor], tensors: dict[str, Tensor], where: str) -> None:
    """ValueError: names the first tensor that is missing, that nothing takes, or whose shape differs."""
    for name in wanted:
        if name not in tensors:
            raise ValueError(f"--model: {where}: lacks the tensor {name}")
        if tensors[name].shape != wanted[name].shape:
            got, want = tuple(tensors[name].shape), tuple(wanted[name].shape)
            raise ValueError(f"--model: {where}: {name} has the shape {got}, the config says {want}")
    extra = sorted(set(tensors) - set(wanted))
    if extra:
        raise ValueError(f"--model: {where}: holds {extra[0]}, which the model has no place for ({len(extra)} in all)")


def fit(module: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Put the tensors into the module (built on any device, also meta): all of them, nothing else, or ValueError."""
    check_names(module.state_dict(), tensors, where)
    module.load_state_dict(tensors, assign=True)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below a prefix, without it."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def load_llama(config: dict[str, Any], tensors: dict[str, Tensor], where: str, how: Loading) -> Any:
    """transformers' LLaMA with these weights (its own names), where and as `how` says.

    Raises:
        ValueError: the config is that of another language model; tensors as in `check_names`.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    kind = config.get("model_type", "llama")
    if kind != "llama":
        raise ValueError(f"--model: {where}: its language model is a {kind!r}; this family is built on 'llama'")
    text = LlamaConfig(**{k: v for k, v in config.items() if k not in ("model_type", "architectures")})
    with torch.device("meta"):
        check_names(LlamaForCausalLM(text).state_dict(), tensors, where)
    language = LlamaForCausalLM.from_pretrained(
        None, config=text, state_dict=tensors, attn_implementation="sdpa", **how.placement()
    )
    return language.eval().requires_grad_(False)
