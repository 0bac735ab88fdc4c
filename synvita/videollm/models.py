"""A model's name -> a `VideoLLM`: the family is read from the checkpoint, nobody has to know it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from synvita.core.backends import load_backend
from synvita.videollm.chat import FAMILIES
from synvita.videollm.checkpoints import find_checkpoint, model_type, readable
from synvita.videollm.last_layer import read_last_layer
from synvita.videollm.lora import load_lora
from synvita.videollm.memory import check_memory
from synvita.videollm.protocol import Loading, VideoLLM
from synvita.videollm.tree_attention import use_tree_attention
from synvita.videollm.weights import holds_weights

# config.json's model_type -> who loads it. Official Video-LLaVA folders say "llava", as LLaVA-1.5's do.
MODELS = {
    "mplug-owl": "synvita.videollm.families.mplug_owl:MplugOwlVideo",
    "video_llava": "synvita.videollm.families.video_llava:VideoLlava",
    "llava": "synvita.videollm.families.video_llava:VideoLlava",
    "llava_llama": "synvita.videollm.families.video_llava:VideoLlava",
} | dict.fromkeys(FAMILIES, "synvita.videollm.chat:ChatVideoLLM")


def load_model(
    name: str | Path, how: Loading | None = None, adapter: str | Path | None = None, knob: str = "--model"
) -> VideoLLM:
    """Load a video LLM and, if given, a LoRA adapter that was trained on it.

    Args:
        name: a shipped name, a folder, `owner/name` on the hub, or "module:Class" of your own (a `VideoLLM`).
        knob: what the name was given with, for errors.
    Raises:
        ValueError: a family that is not done, by name; what the family's loader raises. MemoryError: too large.
    """
    how = how or Loading()
    if ":" in str(name) and not Path(name).exists():
        model = load_backend({}, str(name), knob).from_pretrained(name, how)
    else:
        folder = find_checkpoint(name, knob)
        with readable(folder, knob):
            kind = model_type(folder)
            if kind not in MODELS:
                known = ", ".join(sorted(MODELS))
                raise ValueError(
                    f"{knob}: {name}: model_type {kind!r} is not done; known: {known}; or your own as 'module:Class'"
                )
            if holds_weights(folder):  # a projector's folder does not
                check_memory(folder, how, knob)
            model = load_backend(MODELS, kind, knob).from_pretrained(folder, how)
    use_tree_attention(model.language)
    read_last_layer(model.language)
    if adapter is not None:
        load_lora(model, Path(adapter))
    return cast(VideoLLM, model)
