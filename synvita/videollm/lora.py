"""LoRA adapters in peft's format, on the language model's projections only; the base is stored with the adapter."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synvita.core.reading import read_json
from synvita.videollm.checkpoints import readable
from synvita.videollm.weights import read_file

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
ALL_LINEAR = (*ATTENTION, "gate_proj", "up_proj", "down_proj")
NAME = re.compile(r"(?:^|\.)(layers\.\d+\.\w+\.(\w+))\.lora_([AB])(?:\.\w+)?\.weight$")
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "pytorch_model.bin")  # the last as VideoCon gives it out
SMALL = 2**18  # entries of a weight: 1 MB
VIDEOCON_ALPHA = 32  # VideoCon's file has no config: rank and targets are in the weights, the scale is its script's


@dataclass(frozen=True)
class Lora:
    """r: rank. alpha: scale (alpha / r multiplies the update). dropout: on the adapter's input."""

    r: int = 16
    alpha: int = 16
    dropout: float = 0.0
    targets: tuple[str, ...] = ALL_LINEAR

    def __post_init__(self) -> None:
        if not self.r >= 1 or not self.alpha >= 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"lora: r and alpha must be >= 1 and dropout in [0, 1), got {self}")


def add_lora(model: Any, lora: Lora) -> Any:
    """Wrap the language model of a `VideoLLM` in place; returns the peft model that owns the adapter."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        bias="none",
    )
    wrapped = get_peft_model(model.language, config)
    for layer in wrapped.modules():
        if hasattr(layer, "lora_A") and is_plain(layer, lora):
            layer.forward = lean_forward(layer)
    model.put_language(wrapped)
    return wrapped


def is_plain(layer: Any, lora: Lora) -> bool:
    """A linear layer in its adapter's dtype with one adapter, no dropout, and a scale of 1."""
    base = layer.base_layer
    return (
        type(base) is torch.nn.Linear
        and list(layer.lora_A) == ["default"]
        and not lora.dropout
        and lora.alpha == lora.r
        and base.weight.dtype == layer.lora_A["default"].weight.dtype
    )


def lean_forward(layer: Any) -> Callable[[Tensor], Tensor]:
    """peft's forward of such a layer with less memory moved: no product by 1, forward and backward, no new tensor for
    the sum; and of a small matrix in fp32 a single product (`Joined`)."""
    base, down, up = layer.base_layer, layer.lora_A["default"], layer.lora_B["default"]
    small = base.weight.dtype == torch.float32 and base.weight.numel() <= SMALL

    def forward(x: Tensor) -> Tensor:
        if layer.merged or layer.disable_adapters:  # somebody has asked peft for something else
            return type(layer).forward(layer, x)
        if small:
            joined: Tensor = Joined.apply(x, base.weight, base.bias, down.weight, up.weight)
            return joined
        return base(x).add_(up(down(x)))

    return forward


class Joined(torch.autograd.Function):
    """x (W + BA)^T + b: the update goes into the weight, which is smaller than the activations in a small model.

    Two narrow products less per layer and pass. A large model would need its weights a second time for it, and in 16
    bits the sum would round small updates away.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor) -> Tensor:
        joined = torch.addmm(weight, up, down)
        ctx.save_for_backward(x, joined, down, up)
        return torch.nn.functional.linear(x, joined, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor]:
        x, joined, down, up = ctx.saved_tensors
        of_x = grad @ joined if ctx.needs_input_grad[0] else None
        rows, x = grad.flatten(0, -2), x.flatten(0, -2)
        return of_x, None, None, (rows @ up).t() @ x, rows.t() @ (x @ down.t())


def save_lora(wrapped: Any, folder: Path, base_revision: str, tensors: dict[str, Tensor] | None = None) -> None:
    """peft's folder and the base's revision beside it. `tensors`: by parameter name, if not the model's own."""
    state = None if tensors is None else {name: value.cpu() for name, value in tensors.items()}
    # Embedding layers: else peft asks the hub for a config.
    wrapped.save_pretrained(folder, state_dict=state, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's form with nothing filled in; ours: publish/card.py
    config = read_json(folder / "adapter_config.json")
    config["target_modules"] = sorted(config["target_modules"])  # peft keeps a set: another order in every process
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "base.json").write_text(json.dumps({"base_revision": base_revision}) + "\n", encoding="utf-8")


def read_lora(folder: Path) -> tuple[Lora, dict[str, Tensor]]:
    """An adapter's settings and its tensors by short names (`layers.0.self_attn.q_proj.lora_A`).

    Takes peft's folders, whatever part of a model they were wrapped around, and VideoCon's `pytorch_model.bin`.

    Raises:
        ValueError: no adapter; tensors that are no LoRA on a decoder layer or of another rank than the config says, by
            name; A without B; as `read_config`.
    """
    path = next((folder / name for name in WEIGHTS if (folder / name).exists()), None)
    if path is None:
        raise ValueError(f"--adapter: {folder}: no adapter; expected one of {', '.join(WEIGHTS)}")
    tensors, targets = {}, set()
    with readable(folder, "--adapter"):
        stored = read_file(path)
    for name, value in stored.items():
        found = NAME.search(name)
        if found is None and path.name == WEIGHTS[-1] and "lora_" not in name:
            continue  # a trainer's whole checkpoint: the frozen base's weights stand beside the adapter's
        if found is None:
            raise ValueError(f"--adapter: {path}: {name} is no LoRA weight of a decoder layer")
        tensors[f"{found[1]}.lora_{found[3]}"] = value
        targets.add(found[2])
    lonely = [name for name in tensors if name[:-1] + ("B" if name[-1] == "A" else "A") not in tensors]
    if lonely or not tensors:
        raise ValueError(f"--adapter: {path}: {lonely[0] if lonely else 'the file'} has no partner")
    for name, value in tensors.items():
        if value.ndim != 2:
            raise ValueError(f"--adapter: {path}: {name} has {value.ndim} dimensions, a LoRA weight has 2")
    ranks = {rank_of(name, value): name for name, value in tensors.items()}
    config = folder / "adapter_config.json"
    if config.exists():
        r, alpha = read_config(config)
    elif (folder / "base.json").exists() or len(ranks) > 1:
        raise ValueError(f"--adapter: {folder}: no adapter_config.json; its scale (lora_alpha) is not known")
    else:
        r, alpha = next(iter(ranks)), VIDEOCON_ALPHA
    other = next((rank for rank in ranks if rank != r), None)
    if other is not None:
        raise ValueError(f"--adapter: {path}: {ranks[other]} has rank {other}, {config.name} says r: {r}")
    return Lora(r, alpha, 0.0, tuple(sorted(targets))), tensors


def rank_of(name: str, value: Tensor) -> int:
    return value.shape[0] if name.endswith("A") else value.shape[1]


def read_config(path: Path) -> tuple[int, int]:
    """(r, lora_alpha) of peft's `adapter_config.json`.

    Raises:
        ValueError: not JSON, no object, without them or not whole numbers from 1 on; more than plain LoRA.
    """
    with readable(path.parent, "--adapter"):
        stored = read_json(path, ("r", "lora_alpha"))
    for name in ("r", "lora_alpha"):
        value = stored[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"--adapter: {path}: {name}: {value!r} is not a whole number from 1 on")
    odd = next((k for k in ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern") if stored.get(k)), None)
    if odd or stored.get("bias", "none") != "none":
        raise ValueError(f"--adapter: {path}: {odd or 'bias'} is set; plain LoRA only")
    return stored["r"], stored["lora_alpha"]


def load_lora(model: Any, folder: Path) -> None:
    """Put an adapter on the model it was trained on. In fp32 it is merged into the weights, else it stays beside them.

    (Merged into 16 or 4 bits, small updates would be rounded away.)

    Raises:
        ValueError: trained on another base; its layers or shapes are not the model's, by name; as `read_lora`.
    """
    base = folder / "base.json"
    if base.exists():
        with readable(folder, "--adapter"):
            trained_on = read_json(base, ("base_revision",))["base_revision"]
        if trained_on != model.revision:
            raise ValueError(f"--adapter: {folder}: trained on base {trained_on}, this model is {model.revision}")
    lora, tensors = read_lora(folder)
    modules = dict(model.language.named_modules())
    for name, value in tensors.items():
        linear = modules.get(name[: name.index(".lora_")])
        if linear is None:
            raise ValueError(f"--adapter: {folder}: {name}: the model has no such layer; trained on another base?")
        want = linear.in_features if name.endswith("A") else linear.out_features
        got = value.shape[1] if name.endswith("A") else value.shape[0]
        if got != want:
            raise ValueError(f"--adapter: {folder}: {name} is for width {got}, the model has {want}; another base?")
    wrapped = add_lora(model, lora)
    own = {name: p for name, p in wrapped.base_model.model.named_parameters() if ".lora_" in name}
    with torch.no_grad():
        for name, p in own.items():
            short = name.replace(".default.weight", "")
            if short in tensors:
                p.copy_(tensors[short].to(p.device, p.dtype))
            elif short.endswith("B"):
                p.zero_()  # a layer that the adapter leaves alone
    if next(model.language.parameters()).dtype == torch.float32 and not getattr(model.language, "is_quantized", False):
        model.put_language(wrapped.merge_and_unload())
    model.language.eval().requires_grad_(False)
