"""The three layouts in which a Video-LLaVA comes, each read into the same parts.

official: language model and projector in the checkpoint; the tower's weights and config in LanguageBind's own folder.
projector: the projector of the pre-training (`mm_projector.bin`), a vicuna (`base`) and the tower's folder.
hf: transformers' layout (the miniature's, too). Its class has no temporal attention, so its files have none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synvita.core.provenance import digest
from synvita.core.reading import read_json
from synvita.videollm.checkpoints import find_checkpoint, readable, revision_of
from synvita.videollm.claims import check_claims
from synvita.videollm.families.languagebind import VideoTower, load_tower
from synvita.videollm.protocol import Loading
from synvita.videollm.weights import UNUSED, fit, load_llama, part, read_file, read_weights

# Before and since transformers 4.52 the same tensors have other names in -hf files.
HF_NAMES = (
    (re.compile(r"^(model\.)?video_tower\.(vision_model\.)?"), "tower."),
    (re.compile(r"^(model\.)?image_tower\."), "image_tower."),
    (re.compile(r"^(model\.)?multi_modal_projector\.linear_1\."), "projector.0."),
    (re.compile(r"^(model\.)?multi_modal_projector\.linear_2\."), "projector.2."),
    (re.compile(r"^(language_model\.)?lm_head\."), "language.lm_head."),
    (re.compile(r"^language_model\.model\.|^model\.language_model\."), "language.model."),
)


@dataclass(frozen=True)
class Parts:
    """language: transformers' LLaMA. tower, projector: where frames go. layer: the hidden layer that is used."""

    language: Any
    tower: VideoTower
    projector: dict[str, Tensor]
    layer: int
    frames: int
    revision: str
    hf: bool
    config: dict[str, Any]


def read_parts(folder: Path, how: Loading) -> Parts:
    """Whichever layout the folder has.

    Raises:
        ValueError: none of the three; a part is missing; names as in `weights.check_names`.
    """
    config = read_json(folder / "config.json")
    if config.get("model_type") == "video_llava":
        why = f"{folder} is in transformers' layout, which holds all its parts and one prompt"
        how.refuse(why, "tower", "base", "training_prompt")
        return hf_parts(folder, config, how)
    if "mm_projector_type" not in config and "mm_video_tower" not in config:
        kind = config.get("model_type", "unknown")
        raise ValueError(f"--model: {folder}: is a {kind!r} checkpoint without a video tower, not a Video-LLaVA")
    if config.get("mm_projector_type", "mlp2x_gelu") != "mlp2x_gelu":
        got = config["mm_projector_type"]
        raise ValueError(f"--model: {folder}: mm_projector_type is {got!r}; Video-LLaVA's is 'mlp2x_gelu'")
    tower_folder = find_checkpoint(how.tower or tower_name(folder, config), "--tower")
    with readable(tower_folder, "--tower"):
        tower = load_tower(tower_folder)
    revisions = [revision_of(folder), revision_of(tower_folder)]
    if (folder / "mm_projector.bin").exists():
        if how.base is None:
            raise ValueError(f"--base: {folder} holds a projector only; give the vicuna that it was trained on")
        base = find_checkpoint(how.base, "--base")
        revisions.append(revision_of(base))
        projector = official(read_file(folder / "mm_projector.bin"))
        own = {k: v for k, v in config.items() if k.startswith("mm_")}
        with readable(base, "--base"):
            tensors, config = official(read_weights(base)), read_json(base / "config.json")
            check_claims(config, tensors, str(base))
        tensors, config, folder = tensors | projector, config | {"mm_vision_select_layer": -2} | own, base
    else:
        how.refuse(f"{folder} holds its language model", "base")
        tensors = official(read_weights(folder))
        check_claims(config, tensors, str(folder))
    language = load_llama(llama_config(config), part(tensors, "language."), str(folder), how)
    layer = config.get("mm_vision_select_layer", -2)
    check_layer("mm_vision_select_layer", layer, tower, folder)
    return Parts(language, tower, part(tensors, "projector."), layer, tower.frames, digest(revisions), False, config)


def check_layer(knob: str, layer: Any, tower: VideoTower, folder: Path) -> None:
    """ValueError: the hidden layer that a config picks is none of the tower's, counted from its end."""
    most = len(tower.encoder.layers) + 1
    if isinstance(layer, bool) or not isinstance(layer, int) or not -most <= layer <= -1:
        raise ValueError(f"{folder}/config.json: {knob}: {layer!r} is not a whole number from -{most} to -1")


def tower_name(folder: Path, config: dict[str, Any]) -> str:
    name = config.get("mm_video_tower")
    if not name:
        raise ValueError(f"--tower: {folder}/config.json names no mm_video_tower; give LanguageBind's folder")
    beside = folder / str(name)
    return str(beside if beside.is_dir() else name)


def llama_config(config: dict[str, Any]) -> dict[str, Any]:
    """What of a flat Video-LLaVA or vicuna config belongs to LLaMA."""
    from transformers import LlamaConfig

    known = LlamaConfig().to_dict()
    return {k: v for k, v in config.items() if k in known or k in ("rope_theta", "rope_scaling")} | {
        "model_type": "llama"
    }


def official(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Official names -> language.*, projector.*; towers inside are left: the released loader takes the folder's.

    ("Unexpected" there and ignored; with other weights in both places the folder's win, FACTS-video-llava 4.)
    """
    found = {}
    for name, value in tensors.items():
        if UNUSED.search(name) or name.startswith(("model.video_tower.", "model.image_tower.")):
            continue
        if name.startswith("model.mm_projector."):
            found["projector." + name.removeprefix("model.mm_projector.")] = value
        else:
            found["language." + name] = value
    return found


def hf_parts(folder: Path, config: dict[str, Any], how: Loading) -> Parts:
    """transformers' layout; only if somebody says that the temporal attention may be missing."""
    from transformers import VideoLlavaConfig

    said = how.temporal_attention if how.temporal_attention is not None else config.get("temporal_attention")
    if said is not False:
        raise ValueError(
            f"--temporal-attention: {folder} is in transformers' layout, whose video tower has no temporal "
            "attention (the authors' has); say --temporal-attention false to use it all the same"
        )
    stored = read_weights(folder)
    check_claims(config, stored, str(folder))
    full: Any = VideoLlavaConfig.from_pretrained(folder)
    vision = full.vision_config.to_dict()
    tensors = {hf_name(k): v for k, v in stored.items() if not UNUSED.search(k)}
    tensors = {k: v for k, v in tensors.items() if not k.startswith("image_tower.")}  # stills are never shown
    per_frame = (vision["image_size"] // vision["patch_size"]) ** 2 + 1
    frames = full.video_seq_length // per_frame
    if frames < 1:
        raise ValueError(
            f"{folder}/config.json: video_seq_length {full.video_seq_length} is less than a frame's tokens"
        )
    with torch.device("meta"):
        tower = VideoTower(vision | {"num_frames": frames}, add_time_attn=False)
    fit(tower, part(tensors, "tower."), str(folder))
    language = load_llama(full.text_config.to_dict(), part(tensors, "language."), str(folder), how)
    known = ("tower.", "language.", "projector.")
    extra = next((k for k in tensors if not k.startswith(known)), None)
    if extra:
        raise ValueError(f"--model: {folder}: holds {extra}, which a Video-LLaVA has no place for")
    layer = full.vision_feature_layer
    check_layer("vision_feature_layer", layer, tower, folder)
    projector = part(tensors, "projector.")
    return Parts(
        language, tower.eval().requires_grad_(False), projector, layer, frames, revision_of(folder), True, config
    )


def hf_name(name: str) -> str:
    for pattern, ours in HF_NAMES:
        if pattern.match(name):
            return pattern.sub(ours, name)
    return name
