"""LoRA adapters in peft's format, on the language model's projections only; the base is stored with the adapter."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
ALL_LINEAR = (*ATTENTION, "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Lora:
    """r: rank. alpha: scale (alpha / r multiplies the update). dropout: on the adapter's input."""

    r: int = 16
    alpha: int = 16
    dropout: float = 0.05
    targets: tuple[str, ...] = ALL_LINEAR

    def __post_init__(self) -> None:
        if self.r < 1 or self.alpha < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"lora: r and alpha must be >= 1 and dropout in [0, 1), got {self}")


def add_lora(model: Any, lora: Lora) -> Any:
    """Wrap the language model of `model` (a `VideoLlava`) in place; returns the peft model that owns the adapter."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        bias="none",
    )
    wrapped = get_peft_model(model.model.model.language_model, config)
    model.model.model.language_model = wrapped
    return wrapped


def save_lora(wrapped: Any, folder: Path, base_revision: str) -> None:
    wrapped.save_pretrained(folder)
    (folder / "base.json").write_text(json.dumps({"base_revision": base_revision}) + "\n")


def load_lora(model: Any, folder: Path) -> None:
    """Put an adapter on the model it was trained on.

    Raises:
        ValueError: no adapter there, or it was trained on another base.
    """
    from peft import PeftModel

    if not (folder / "adapter_config.json").exists():
        raise ValueError(f"--adapter: {folder}: no adapter_config.json; give a folder in peft's format")
    base = folder / "base.json"
    if base.exists():
        trained_on = json.loads(base.read_text())["base_revision"]
        if trained_on != model.revision:
            raise ValueError(f"--adapter: {folder}: trained on base {trained_on}, this model is {model.revision}")
    language = PeftModel.from_pretrained(model.model.model.language_model, folder)
    model.model.model.language_model = language.merge_and_unload().eval().requires_grad_(False)
