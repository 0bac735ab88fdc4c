"""The VAE and the text encoder of official latent video models, from their own names into diffusers' and
transformers' classes. Their sizes are read off the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from synvita.generate.official import fit

SCALE = 0.18215  # of Stable Diffusion's latents; no file holds it
HEAD = 64  # channels per head of OpenCLIP's text towers
# Latent diffusion's names -> diffusers'; the decoder's levels are counted from the other end.
VAE_NAMES = (
    (r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets."),
    (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
    (r"\.up\.(\d+)\.block\.", r".up_blocks.\1.resnets."),
    (r"\.up\.(\d+)\.upsample\.", r".up_blocks.\1.upsamplers.0."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"coder\.norm_out\.", "coder.conv_norm_out."),
)
# OpenCLIP's names within a block -> transformers'.
TEXT_NAMES = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
TEXT_UNUSED = ("text_projection", "logit_scale", "attn_mask")  # for comparing texts with images


def numbers(weights: Mapping[str, Tensor], pattern: str) -> list[int]:
    """0, 1, ... as far as a pattern with one number in it finds keys."""
    return sorted({int(match[1]) for match in (re.match(pattern, key) for key in weights) if match})


def ldm_vae(weights: Mapping[str, Tensor]) -> Any:
    """diffusers' `AutoencoderKL` with the weights of latent diffusion's.

    Raises:
        ValueError: not such weights; names the first key that is missing or too many.
    """
    from diffusers import AutoencoderKL

    levels = numbers(weights, r"encoder\.down\.(\d+)\.block\.0\.conv1\.weight")
    if not levels or "post_quant_conv.weight" not in weights or "encoder.conv_in.weight" not in weights:
        raise ValueError("no weights of a VAE: it lacks encoder.down.*, encoder.conv_in or post_quant_conv")
    with torch.device("meta"):
        vae = AutoencoderKL(
            in_channels=weights["encoder.conv_in.weight"].shape[1],
            out_channels=weights["encoder.conv_in.weight"].shape[1],
            down_block_types=("DownEncoderBlock2D",) * len(levels),
            up_block_types=("UpDecoderBlock2D",) * len(levels),
            block_out_channels=tuple(weights[f"encoder.down.{i}.block.0.conv1.weight"].shape[0] for i in levels),
            layers_per_block=len(numbers(weights, r"encoder\.down\.0\.block\.(\d+)\.")),
            latent_channels=weights["post_quant_conv.weight"].shape[1],
            scaling_factor=SCALE,
        )
    return fit(vae, {vae_name(key, len(levels)): flat(key, value) for key, value in weights.items()}, "VAE")


def vae_name(key: str, levels: int) -> str:
    key = re.sub(r"\.up\.(\d+)\.", lambda match: f".up.{levels - 1 - int(match[1])}.", key)
    for pattern, ours in VAE_NAMES:
        key = re.sub(pattern, ours, key)
    return key


def flat(key: str, value: Tensor) -> Tensor:
    """Attention's projections are stored as convolutions of size 1."""
    return value[..., 0, 0] if ".attn_1." in key and value.ndim == 4 else value


def open_clip_text(weights: Mapping[str, Tensor]) -> Any:
    """transformers' `CLIPTextModel` whose last hidden state is OpenCLIP's penultimate layer after the final norm: the
    last block is left out, as the video model does.

    Raises:
        ValueError: not such weights; names the first key that is missing or too many.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    blocks = numbers(weights, r"transformer\.resblocks\.(\d+)\.mlp\.c_fc\.weight")
    table, places = weights.get("token_embedding.weight"), weights.get("positional_embedding")
    if len(blocks) < 2 or table is None or places is None:
        lacks = "blocks, token_embedding or positional_embedding"
        raise ValueError(f"no weights of OpenCLIP's text tower: it lacks {lacks}")
    words, width = table.shape
    if width % HEAD:
        raise ValueError(f"token_embedding.weight: width {width}; OpenCLIP's text towers have multiples of {HEAD}")
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=weights["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        num_hidden_layers=len(blocks) - 1,
        num_attention_heads=width // HEAD,
        max_position_embeddings=places.shape[0],
        hidden_act="gelu",
        pad_token_id=0,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
    )
    skipped = f"transformer.resblocks.{blocks[-1]}."
    used = {k: v for k, v in weights.items() if not k.startswith(skipped) and k not in TEXT_UNUSED}
    renamed = {name: value for key, whole in used.items() for name, value in text_tensors(key, whole)}
    return fit(CLIPTextModel(config), renamed, "OpenCLIP text")


def text_tensors(key: str, value: Tensor) -> list[tuple[str, Tensor]]:
    """What becomes of a tensor: one, or three of a joint projection."""
    outside = {
        "token_embedding.weight": "embeddings.token_embedding.weight",
        "positional_embedding": "embeddings.position_embedding.weight",
        "ln_final.weight": "final_layer_norm.weight",
        "ln_final.bias": "final_layer_norm.bias",
    }
    block = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)[._](weight|bias)", key)
    if not block:
        return [(outside.get(key, key), value)]
    number, layer, kind = block.groups()
    where = f"encoder.layers.{number}."
    if layer == "attn.in_proj":
        thirds = zip("qkv", value.chunk(3), strict=True)
        return [(f"{where}self_attn.{name}_proj.{kind}", third.clone()) for name, third in thirds]
    return [(f"{where}{TEXT_NAMES.get(layer, layer)}.{kind}", value)]
