"""Tiny random Qwen2.5-VL and Qwen3-VL checkpoints in their official layouts."""

import json
from pathlib import Path
from typing import Any

import torch

SPECIAL = [
    "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>",
    "<|video_pad|>",
]  # fmt: skip
# The parts of the released templates that one video question reaches.
SYSTEM = (
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}"
)
CHAT = (
    "{% for message in messages %}" + "SYSTEM<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny_tokenizer(kind: str) -> Any:
    """Bytes, and "Yes" and "No" as single tokens, in the class of the released tokenizers."""
    from tokenizers import AddedToken
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    words = [*sorted(ByteLevel.alphabet()), "Ye", "Yes", "No"]
    tokenizer = Qwen2Tokenizer(
        {word: i for i, word in enumerate(words)},
        [("Y", "e"), ("Ye", "s"), ("N", "o")],
        unk_token=None,
        eos_token="<|im_end|>",
    )
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.chat_template = CHAT.replace("SYSTEM", SYSTEM if kind == "qwen2_5_vl" else "")
    return tokenizer


def tiny_checkpoint(folder: Path, kind: str) -> Path:
    """A random model in the official layout: 8 x 8 pixels per visual token, 2 frames a second."""
    import transformers

    tokenizer = tiny_tokenizer(kind)
    number = {token: tokenizer.convert_tokens_to_ids(f"<|{token}|>") for token in ("image_pad", "video_pad")}
    text = {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": len(tokenizer), "max_position_embeddings": 2048,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
    }  # fmt: skip
    vision = {
        "depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 4, "out_hidden_size": 64,
    }  # fmt: skip
    shared = {"patch_size": 4, "temporal_patch_size": 2, "merge_size": 2}
    if kind == "qwen2_5_vl":
        vision |= {"window_size": 16, "fullatt_block_indexes": [1], "tokens_per_second": 2}
        Config, Model = transformers.Qwen2_5_VLConfig, transformers.Qwen2_5_VLForConditionalGeneration
        name, pixels = "preprocessor_config.json", {"min_pixels": 256, "max_pixels": 4096}
    else:
        vision |= {"num_position_embeddings": 36, "deepstack_visual_indexes": [0, 1]}
        text |= {"head_dim": 16}
        Config, Model = transformers.Qwen3VLConfig, transformers.Qwen3VLForConditionalGeneration
        name, pixels = "video_preprocessor_config.json", {"size": {"shortest_edge": 256, "longest_edge": 20000}}
    config = Config(
        text_config=text, vision_config=vision, image_token_id=number["image_pad"], video_token_id=number["video_pad"]
    )
    torch.manual_seed(0)
    model = Model(config)
    for p in model.parameters():  # fresh answers hardly differ
        p.data.mul_(6 if p.ndim > 1 else 1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / name).write_text(json.dumps(shared | pixels))
    return folder
