"""The tiny models: transformers' own classes, small numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from synvita.core.pixels import CLIP_MEAN, CLIP_STD
from synvita.world.render import FRAMES, SIDE
from synvita.world.tokenizer import make_tokenizer

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


def tower(width: int, layers: int, patch: int) -> Any:
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=patch,
    )


def tiny_video_llava() -> tuple[Any, Any]:
    """(model, tokenizer): 8 frames x (CLS + 4 patches) = 40 visual tokens, all of them shown to the language model."""
    from transformers import VideoLlavaConfig, VideoLlavaForConditionalGeneration

    from synvita.core.question import ENTAILMENT

    tokenizer = make_tokenizer(ENTAILMENT)
    config = VideoLlavaConfig(
        vision_config=tower(128, 2, 16),
        text_config=llama(len(tokenizer), 128, 4),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=(SIDE // 16) ** 2 + 1,
        video_seq_length=FRAMES * ((SIDE // 16) ** 2 + 1),
        temporal_attention=False,  # said in the checkpoint, because the class has none (see videollm.video_llava)
    )
    return VideoLlavaForConditionalGeneration(config), tokenizer


def tiny_llava() -> tuple[Any, Any]:
    """(model, tokenizer): one frame, CLS + 16 patches."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    tokenizer = make_tokenizer(FIGURE_QUESTION)
    config = LlavaConfig(
        vision_config=tower(128, 3, 8),
        text_config=llama(len(tokenizer), 128, 4),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=(SIDE // 8) ** 2 + 1,
    )
    return LlavaForConditionalGeneration(config), tokenizer


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """An official-format folder in fp16: config, safetensors, tokenizer, chat template, preprocessor config."""
    if hasattr(model.model, "image_tower"):  # trained on videos only: the image tower gets the same weights
        model.model.image_tower.load_state_dict(model.model.video_tower.state_dict())
    model.to(torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    preprocessor = {
        "crop_size": size,
        "size": {"shortest_edge": SIDE},
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
        "num_frames": FRAMES,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")
