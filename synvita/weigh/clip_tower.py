"""The CLIP vision tower of LLaVA-1.5 and CLIP-FlanT5, inside their checkpoint or in a folder of its own."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synvita.core.reading import read_json
from synvita.videollm.checkpoints import find_checkpoint
from synvita.videollm.claims import check_claims
from synvita.videollm.protocol import Loading
from synvita.videollm.weights import UNUSED, check_names, fit, read_weights

INSIDE = "vision_tower.vision_tower."  # behind `model.` in LLaVA-1.5's files


def load_tower(inside: dict[str, Tensor], config: dict[str, Any], folder: Path, how: Loading, knob: str) -> Any:
    """A frozen `CLIPVisionModel`.

    Args:
        inside: the checkpoint's own tensors of the tower, if it has any. config: the checkpoint's, whose
            `mm_vision_tower` names the tower's folder otherwise, unless `how.tower` does.
    Raises:
        ValueError: no tower in the checkpoint and none given; tensors as in `weights.check_names`.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModel

    where, settings = str(folder), config.get("vision_config")
    if not inside or how.tower:
        source = tower_folder(config, folder, how, knob)
        where, inside = str(source), read_weights(source)
        stored = read_json(source / "config.json")
        settings = stored.get("vision_config", stored)
        check_claims(settings, inside, where)
    tensors = {k.removeprefix("vision_model."): v for k, v in inside.items() if not k.startswith(("text_", "logit_"))}
    tensors = {k: v for k, v in tensors.items() if not UNUSED.search(k) and not k.startswith("visual_projection")}
    kept = {k: v for k, v in (settings or by_shapes(tensors, where)).items() if k not in ("model_type", "dtype")}
    made = CLIPVisionConfig(**kept)
    with torch.device("meta"):
        check_names(CLIPVisionModel(made).state_dict(), tensors, where)
    tower: Any = CLIPVisionModel.from_pretrained(
        None, config=made, state_dict=tensors, attn_implementation="sdpa", dtype=how.dtype
    )
    return tower.to(how.vision_device()).eval().requires_grad_(False)


def tower_folder(config: dict[str, Any], folder: Path, how: Loading, knob: str) -> Path:
    name = how.tower or config.get("mm_vision_tower")
    if not name:
        raise ValueError(f"{folder}: holds no vision tower and names none; give {knob} its folder")
    beside = folder / str(name)
    try:
        return beside if beside.is_dir() and not how.tower else find_checkpoint(str(name), knob)
    except ValueError as error:
        raise ValueError(f"{error}; {folder} holds no vision tower: give {knob} the folder of {name}") from None


def by_shapes(tensors: dict[str, Tensor], where: str) -> dict[str, Any]:
    """The settings of a tower whose checkpoint has no config of it: what its tensors do not say is CLIP ViT-L's."""
    try:
        patches, places = tensors["embeddings.patch_embedding.weight"], tensors["embeddings.position_embedding.weight"]
        inner = tensors["encoder.layers.0.mlp.fc1.weight"].shape[0]
    except KeyError as error:
        raise ValueError(f"{where}: its vision tower lacks the tensor {error}") from None
    layers = {name.split(".")[2] for name in tensors if name.startswith("encoder.layers.")}
    width, patch = patches.shape[0], patches.shape[-1]
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": len(layers),
        "num_attention_heads": max(1, width // 64),
        "image_size": round((places.shape[0] - 1) ** 0.5) * patch,
        "patch_size": patch,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    }


def load_projector(tensors: dict[str, Tensor], where: str, how: Loading) -> nn.Module:
    """Linear, exact GELU, Linear (`mlp2x_gelu`). ValueError: tensors as in `weights.check_names`."""
    try:
        (inner, width), outer = tensors["0.weight"].shape, tensors["2.weight"].shape[0]
    except (KeyError, ValueError):
        raise ValueError(f"{where}: no .0.weight and .2.weight of two layers; fetch it again") from None
    with torch.device("meta"):
        made = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, outer))
    fit(made, tensors, where)
    return made.to(how.vision_device(), how.dtype).eval().requires_grad_(False)


@dataclass(frozen=True)
class TowerLayer:
    """One hidden layer of a tower: (T, 3, S, S) -> (T, patches, width). Equal: the same layer of the same tower."""

    tower: Any
    layer: int
    drop_class: bool

    def __call__(self, pixels: Tensor) -> Tensor:
        seen = self.tower(pixels.to(self.tower.device, self.tower.dtype), output_hidden_states=True)
        hidden = seen.hidden_states[self.layer]
        return hidden[:, 1:] if self.drop_class else hidden


in_use: weakref.WeakSet[Any] = weakref.WeakSet()


def one_of_equals(tower: Any) -> Any:
    """A tower that a scorer of this process has and that gives the same, or this one. So the scorers LLaVA-1.5 and
    CLIP-FlanT5 hold one CLIP between them, and a frame goes through it once (`ImageScorer.looked`). For scorers only:
    whoever loads a model to do other things with it, has it alone."""
    for other in in_use:
        if same(other, tower):
            return other
    in_use.add(tower)
    return tower


def same(one: Any, other: Any) -> bool:
    """Whether two towers give the same: shapes are the tensors', these settings are not."""
    settings = ("num_attention_heads", "hidden_act", "layer_norm_eps", "image_size", "patch_size")
    if any(getattr(one.config, name) != getattr(other.config, name) for name in settings):
        return False
    if (one.dtype, one.device) != (other.dtype, other.device):
        return False
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in mine.items())
