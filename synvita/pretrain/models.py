"""The tiny models: transformers' own classes, small numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from synvita.core.pixels import CLIP_MEAN, CLIP_STD
from synvita.world.render import FRAMES
from synvita.world.tokenizer import make_tokenizer

WIDTH, PATCH, TOKENS = 128, 10, 3 * 3 + 1  # tokens per frame: 9 patches and CLS
SIDE = 3 * PATCH  # pixels that a tower sees
FIGURE_QUESTION = 'Does this figure show "{caption}"?'  # VQAScore's question (Sec. 4)


def llama(vocabulary: int, width: int, layers: int) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=1024,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )


def tower() -> Any:
    """One config for all models with CLIP: 3 layers, 3 x 3 patches of 10 pixels and CLS."""
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
    )


def eva() -> Any:
    """InstructBLIP's tower at the same size; the layer norms' eps are those that its scorer sets."""
    from transformers import InstructBlipVisionConfig

    return InstructBlipVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
        layer_norm_eps=1e-6,
    )


def tower_model(kind: str) -> Any:
    """A vision tower, `clip` or `eva`, not trained yet."""
    from transformers import CLIPVisionModel, InstructBlipVisionModel

    return CLIPVisionModel(tower()) if kind == "clip" else InstructBlipVisionModel(eva())


def give_tower(part: Any, tower: Path | None) -> None:
    """The weights that `synvita.pretrain.tower` left in a file (None: as they are), frozen."""
    if tower is not None:
        part.load_state_dict(torch.load(tower, weights_only=True))
    part.requires_grad_(False)


def tiny_video_llava() -> tuple[Any, Any]:
    """(model, tokenizer): 8 frames x (CLS + 9 patches) = 80 visual tokens, all of them shown to the language model."""
    from transformers import VideoLlavaConfig, VideoLlavaForConditionalGeneration

    from synvita.core.question import ENTAILMENT

    tokenizer = make_tokenizer(ENTAILMENT)
    config = VideoLlavaConfig(  # type: ignore[call-arg]  # temporal_attention is ours
        vision_config=tower(),
        text_config=llama(len(tokenizer), WIDTH, 4),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=TOKENS,
        video_seq_length=FRAMES * TOKENS,
        temporal_attention=False,  # said in the checkpoint, because the class has none (see families.video_llava)
    )
    return VideoLlavaForConditionalGeneration(config), tokenizer


def tiny_llava() -> tuple[Any, Any]:
    """(model, tokenizer): one frame, CLS + 9 patches."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    tokenizer = make_tokenizer(FIGURE_QUESTION)
    config = LlavaConfig(
        vision_config=tower(),
        text_config=llama(len(tokenizer), WIDTH, 4),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=TOKENS,
    )
    return LlavaForConditionalGeneration(config), tokenizer


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """An official-format folder in fp16: config, safetensors, tokenizer, chat template, preprocessor config."""
    if hasattr(model.model, "image_tower"):  # trained on videos only: the image tower gets the same weights
        model.model.image_tower.load_state_dict(model.model.video_tower.state_dict())
    model.to(torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    side = model.config.vision_config.image_size
    size = {"height": side, "width": side}
    preprocessor = {
        "preprocess": "video_llava",  # for the LLaVA scorer, which otherwise prepares images as VQAScore does
        "crop_size": size,
        "size": {"shortest_edge": side},
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
        "num_frames": FRAMES,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")
