"""What a checkpoint's config claims against the tensors beside it, before anything is built: both may be anybody's.

A config of a million layers would be built for minutes, and a width of a million would take the memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from synvita.core.pickled import not_whole
from synvita.core.reading import read_json
from synvita.videollm.weights import UNUSED, read_file, weight_files

Shape = tuple[int, ...]
LAYERS = ("num_hidden_layers", "num_layers", "n_layers", "depth")
WIDTHS = (
    "hidden_size",
    "intermediate_size",
    "vocab_size",
    "embed_dim",
    "out_hidden_size",
    "encoder_hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "num_heads",
    "num_query_tokens",
)


def claims(config: dict[str, Any], path: str = "") -> Iterator[tuple[str, str, Any]]:
    """(dotted name, name, value) of every setting, also of the configs inside."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from claims(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", name, value


def check_claims(config: dict[str, Any], shapes: Mapping[str, Any], where: str) -> None:
    """Refuse a config whose sizes the tensors cannot have: a million layers would be built for minutes.

    No stack may have more layers than tensors that are numbered below one name, no width be over the longest side.

    Args:
        shapes: tensors or shapes by name.
    Raises:
        ValueError: the first such size, by its dotted name.
    """
    sides = [side for value in shapes.values() for side in getattr(value, "shape", value)]
    stacks: dict[str, set[str]] = {}
    for name in shapes:
        parts = name.split(".")
        for at, part in enumerate(parts):
            if part.isdecimal():
                stacks.setdefault(".".join(parts[:at]), set()).add(part)
    layers, widest = max(map(len, stacks.values()), default=0), max(sides, default=0)
    for path, name, value in claims(config):
        if value is None or name not in LAYERS + WIDTHS:
            continue
        most, have = (layers, "numbered layers") if name in LAYERS else (widest, "as their longest side")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{where}/config.json: {path}: {value!r} is not a whole number from 1 on")
        if value > most:
            raise ValueError(
                f"{where}/config.json: {path} says {value}, the weights have {most} {have}; "
                "take config.json and weights of the same checkpoint"
            )


def stored_shapes(folder: Path) -> dict[str, Shape]:
    """The shapes of a folder's tensors; from safetensors' headers, without reading the numbers."""
    from safetensors import safe_open

    shapes: dict[str, Shape] = {}
    for path in weight_files(folder)[0]:
        if path.suffix != ".safetensors":
            shapes |= {name: tuple(value.shape) for name, value in read_file(path).items()}
            continue
        try:
            with safe_open(path, "pt") as file:
                shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except Exception as error:
            raise not_whole(path, "safetensors file", error) from None
    return shapes


def load_whole(folder: Path, **how: Any) -> Any:
    """A model of transformers' own image-text-to-text class, after its config was compared with the tensors.

    Args:
        how: arguments of its `from_pretrained`.
    Raises:
        ValueError: as `check_claims`; a model larger than its weights; weights that are missing, of another shape, or
            that nothing takes: the first by name.
    """
    from transformers import AutoConfig
    from transformers import AutoModelForImageTextToText as Model

    shapes, stored = stored_shapes(folder), read_json(folder / "config.json")
    check_claims(stored, shapes, str(folder))
    config = AutoConfig.from_pretrained(folder)
    if "quantization_config" not in stored:  # packed weights are fewer numbers than the model has
        with torch.device("meta"):
            needs = sum(p.numel() for p in Model.from_config(config).parameters())
        has = sum(math.prod(shape) for shape in shapes.values())
        if needs > 1.5 * has:
            raise ValueError(
                f"{folder}/config.json: describes a model of {needs} numbers, the weights are {has}; "
                "take config.json and weights of the same checkpoint"
            )
    loaded: Any = Model.from_pretrained(folder, output_loading_info=True, attn_implementation="sdpa", **how)
    model, report = loaded
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        names = sorted(str(name) for name in report[what] if not UNUSED.search(str(name)))
        if names:
            raise ValueError(f"{folder}: {what.replace('_', ' ')}: {names[0]} and others")
    return model.eval().requires_grad_(False)
