"""Checkpoint folders -> tensors by name: safetensors or pickled, whole or sharded; never from outside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synvita.core.pickled import not_whole, read_pickled
from synvita.core.reading import read_json
from synvita.videollm.protocol import Loading

LAYOUTS = (("model.safetensors", "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json"))
UNUSED = re.compile(r"rotary_emb\.inv_freq$|position_ids$")  # older libraries saved them; they are computed
SHARD = re.compile(r"\w[\w.-]*")  # a file beside the index: no slash, no leading dot

# ---- files


def weight_map(index: Path) -> dict[str, str]:
    """Tensor -> shard, from a `*.index.json`.

    Raises:
        ValueError: no such map in it; a shard that is not a file beside the index: an index may come from anybody.
    """
    names = read_json(index, ("weight_map",))["weight_map"]
    if not isinstance(names, dict) or not names:
        raise ValueError(f"{index}: weight_map is not {{tensor: file}}; fetch it again")
    for shard in names.values():
        if not isinstance(shard, str) or not SHARD.fullmatch(shard):
            raise ValueError(f"{index}: names {shard!r}, which is no file in its folder; such a checkpoint is not read")
        if not (index.parent / shard).is_file():
            raise ValueError(f"--model: {index} names {shard}, which is not there; fetch it again")
    return names


def weight_files(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """(the files with a checkpoint's weights, the index's map or {}); safetensors where both formats are there.

    Raises:
        ValueError: no weights; as `weight_map`.
    """
    for whole, index in LAYOUTS:
        if (folder / index).exists():
            names = weight_map(folder / index)
            return [folder / shard for shard in sorted(set(names.values()))], names
        if (folder / whole).exists():
            return [folder / whole], {}
    raise ValueError(f"--model: {folder}: no weights; expected one of {', '.join(n for both in LAYOUTS for n in both)}")


def holds_weights(folder: Path) -> bool:
    return any((folder / name).exists() for both in LAYOUTS for name in both)


def read_file(path: Path) -> dict[str, Tensor]:
    """One file's tensors, memory-mapped. Pickled files are read with `weights_only`: they cannot run code.

    Raises:
        ValueError: a broken file, or a pickled one that holds anything but tensors by name.
    """
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except MemoryError:
            raise
        except Exception as error:
            raise not_whole(path, "safetensors file", error) from None
    stored = read_pickled(path, "get safetensors")
    if not isinstance(stored, dict) or not all(isinstance(v, Tensor) for v in stored.values()):
        raise ValueError(f"{path}: does not hold tensors by name; get the model's own weights")
    return stored


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint folder.

    Raises:
        ValueError: as `weight_files` and `read_file`; a tensor that its shard lacks.
    """
    files, names = weight_files(folder)
    found: dict[str, Tensor] = {}
    for path in files:
        found |= read_file(path)
    lost = sorted(set(names) - set(found))
    if lost:
        raise ValueError(f"--model: {folder}: no shard has the tensor {lost[0]}, which the index names; fetch it again")
    return found


# ---- tensors -> modules


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
