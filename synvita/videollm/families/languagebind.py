"""The LanguageBind video tower of Video-LLaVA: a CLIP ViT whose layers first attend over time.

transformers' Video-LLaVA class leaves this part out; the authors' results were made with it. Written from the official
key names, shapes and recorded behaviour.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from synvita.core.reading import read_json
from synvita.videollm.claims import check_claims
from synvita.videollm.families.mplug_vision import quick_gelu
from synvita.videollm.weights import fit, read_weights

PREFIXES = ("model.video_tower.video_tower.", "vision_model.")  # in Video-LLaVA's and in LanguageBind's own files
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": functional.gelu, "quick_gelu": quick_gelu}


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, tokens, D) -> the same; every token sees every token of its row."""
        q, k, v = (
            p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, width: int, inner: int, activation: str):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class Layer(nn.Module):
    """Time attention (each token position over the frames), then attention within a frame, then the MLP."""

    def __init__(self, config: dict[str, Any], time: bool):
        super().__init__()
        width, heads, eps = config["hidden_size"], config["num_attention_heads"], config["layer_norm_eps"]
        if time:
            self.temporal_embedding = nn.Parameter(torch.zeros(1, config["num_frames"], width))
            self.temporal_layer_norm1 = nn.LayerNorm(width, eps=eps)
            self.temporal_attn = Attention(width, heads)
        self.time = time
        self.layer_norm1 = nn.LayerNorm(width, eps=eps)
        self.self_attn = Attention(width, heads)
        self.layer_norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, config["intermediate_size"], config["hidden_act"])

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B * T, N, D) -> the same."""
        if self.time:
            batch, tokens = len(x) // frames, x.shape[1]
            along = x.unflatten(0, (batch, frames)).transpose(1, 2).flatten(0, 1)  # (B * N, T, D)
            if frames > 1:  # added before the residual branches off, so it stays in the stream
                along = along + self.temporal_embedding[:, :frames]
            along = along + self.temporal_attn(self.temporal_layer_norm1(along))
            x = along.unflatten(0, (batch, tokens)).transpose(1, 2).flatten(0, 1)
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Embeddings(nn.Module):
    def __init__(self, config: dict[str, Any]):
        super().__init__()
        width, patch = config["hidden_size"], config["patch_size"]
        self.image_size = config["image_size"]
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.patch_embedding = nn.Conv2d(3, width, patch, patch, bias=False)
        self.position_embedding = nn.Embedding((config["image_size"] // patch) ** 2 + 1, width)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_embedding.expand(len(patches), 1, -1), patches], 1)
        return tokens + self.position_embedding.weight


class VideoTower(nn.Module):
    """(B, 3, T, H, W) -> (B, T, N, D): the input of the last layer (hidden layer -2), all tokens, CLS first.

    With hidden layer -2 the last layer and the norm behind it are never run; they are kept so that every released
    tensor has its place.

    Raises:
        ValueError: with time attention, T is not `num_frames`. (The released code silently mixes two videos then.)
    """

    encoder: Any  # a bare module that holds the released names

    def __init__(self, config: dict[str, Any], add_time_attn: bool):
        super().__init__()
        self.frames, self.time = config["num_frames"], add_time_attn
        self.embeddings = Embeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config["hidden_size"], eps=config["layer_norm_eps"])  # spelled as released
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(Layer(config, add_time_attn) for _ in range(config["num_hidden_layers"]))
        self.post_layernorm = nn.LayerNorm(config["hidden_size"], eps=config["layer_norm_eps"])

    def hidden_states(self, pixels: Tensor, layers: int) -> list[Tensor]:
        """After the first norm and after each of the first `layers` layers, (B, T, N, D) each."""
        batch, _, frames = pixels.shape[:3]
        if self.time and frames != self.frames:
            raise ValueError(f"this tower takes exactly {self.frames} frames (num_frames), got {frames}")
        x = self.pre_layrnorm(self.embeddings(pixels.transpose(1, 2).flatten(0, 1)))
        states = [x]
        for layer in self.encoder.layers[:layers]:
            states.append(layer(states[-1], frames))
        return [state.unflatten(0, (batch, frames)) for state in states]

    def forward(self, pixels: Tensor, layer: int = -2) -> Tensor:
        return self.hidden_states(pixels, len(self.encoder.layers) + 1 + layer)[-1]


def vision_config(path: Path) -> dict[str, Any]:
    """The vision part of a tower's config. ValueError: not JSON, or no object."""
    stored = read_json(path)
    vision = stored.get("vision_config", stored)
    if not isinstance(vision, dict):
        raise ValueError(f"{path}: vision_config is no object like {{...}}; take the released config.json")
    return vision


def tower_from_official(tensors: dict[str, Tensor], config_file: Path, add_time_attn: bool) -> VideoTower:
    """The tower from official tensors, by Video-LLaVA's or LanguageBind's names; other parts of the file are left.

    With time attention the number of frames is that of the weights' temporal embeddings.

    Raises:
        ValueError: a missing or unexpected tensor, by name; no or an unknown `hidden_act` (its default in the code is
            not what the weights were trained with); a `num_frames` that contradicts the weights.
    """
    vision = vision_config(config_file)
    if vision.get("hidden_act") not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ValueError(f"{config_file}: vision_config.hidden_act is {vision.get('hidden_act')!r}; known: {known}")
    prefix = next((p for p in PREFIXES if any(name.startswith(p) for name in tensors)), None)
    if prefix is None:
        raise ValueError(
            f"{config_file.parent}: not a LanguageBind tower: no tensor begins with {' or '.join(PREFIXES)}"
        )
    mine = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
    mine = {name: value for name, value in mine.items() if not name.endswith("position_ids")}
    check_claims(vision, mine, str(config_file.parent))
    config = {"layer_norm_eps": 1e-5, "num_frames": 1} | vision
    if add_time_attn:
        embedding = mine.get("encoder.layers.0.temporal_embedding")
        if embedding is None:
            raise ValueError(f"{config_file.parent}: lacks {prefix}encoder.layers.0.temporal_embedding")
        said, has = vision.get("num_frames"), embedding.shape[1]
        if said not in (None, has):
            raise ValueError(f"{config_file}: vision_config.num_frames is {said}, the weights have {has}")
        config["num_frames"] = has
    with torch.device("meta"):
        tower = VideoTower(config, add_time_attn)
    fit(tower, mine, str(config_file.parent))
    return tower.eval().requires_grad_(False)


def load_tower(folder: Path) -> VideoTower:
    """The tower from LanguageBind's own folder, as the released loader does it.

    Raises:
        ValueError: a setting that decides what the weights mean is not in its config: the code's defaults are not what
            they were trained with (FACTS-video-llava 2), so none is guessed.
    """
    path = folder / "config.json"
    vision = vision_config(path)
    for name in ("add_time_attn", "num_frames", "hidden_act"):
        if name not in vision:
            raise ValueError(f"--tower: {path}: vision_config has no {name}; take the released config.json")
    tensors = {k: v for k, v in read_weights(folder).items() if k.startswith(PREFIXES)}
    return tower_from_official(tensors, path, vision["add_time_attn"])
