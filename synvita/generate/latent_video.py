"""What pipelines of diffusers that sample latent videos have in common: text, guidance, sizes, pixels.

They have the components `vae`, `text_encoder`, `tokenizer`, `unet`, `scheduler`, and in their configuration what the
weights were made for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from synvita.generate.videocrafter2_blocks import apart, together

Predict = Callable[[Tensor, Tensor, Tensor], Tensor]


class Videos:
    """frames: (B, T, H, W, 3) uint8, or latents (B, C, T, h, w)."""

    def __init__(self, frames: Any) -> None:
        self.frames = frames


def vae_scale_factor(pipeline: Any) -> int:
    return 2 ** (len(pipeline.vae.config.block_out_channels) - 1)


def settled(pipeline: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a call: what is None comes from the pipeline's configuration.

    Raises:
        ValueError: a size or a number that the model cannot do; says the nearest that it can.
    """
    s = {name: pipeline.config[name] if value is None else value for name, value in given.items()}
    multiple = vae_scale_factor(pipeline) * pipeline.unet.size_multiple
    for name in ("height", "width"):
        nearest = max(round(s[name] / multiple), 1) * multiple
        if s[name] != nearest:
            raise ValueError(f"{name}: {s[name]}; this model makes multiples of {multiple}; the nearest is {nearest}")
    for name in ("num_frames", "num_inference_steps"):
        if s[name] < 1:
            raise ValueError(f"{name}: {s[name]}; at least 1 is needed")
    return s


def latent_shape(pipeline: Any, clips: int, s: Mapping[str, Any]) -> tuple[int, ...]:
    factor = vae_scale_factor(pipeline)
    return (clips, pipeline.unet.config.in_channels, s["num_frames"], s["height"] // factor, s["width"] // factor)


def encode_prompts(pipeline: Any, prompts: Sequence[str]) -> Tensor:
    """(B, L, width): every position counts, padding too, as upstream."""
    length = pipeline.tokenizer.model_max_length
    ids = pipeline.tokenizer(list(prompts), padding="max_length", truncation=True, max_length=length)["input_ids"]
    return pipeline.text_encoder(torch.tensor(ids, device=pipeline.device)).last_hidden_state


def guidance_context(pipeline: Any, prompts: Sequence[str], scale: float) -> Tensor:
    """The prompts' text, with guidance behind as many empty ones: what `guided` asks with."""
    text = encode_prompts(pipeline, prompts)
    if scale != 1:
        text = torch.cat([encode_prompts(pipeline, [""]).expand_as(text), text])
    return text.to(pipeline.unet.dtype)


def guided(predict: Predict, x: Tensor, time: Tensor, context: Tensor, scale: float, batched: bool = True) -> Tensor:
    """without + scale (with text - without); a scale of 1 asks with the text alone.

    predict: (latents, timesteps, context) -> noise. context: of `guidance_context`. batched: both in one call, else one
    after the other, which needs half the memory and may differ in the last digits.
    """
    if scale == 1:
        return predict(x, time[None], context).float()
    if batched:
        without, with_text = predict(torch.cat([x, x]), time[None], context).float().chunk(2)
    else:
        without, with_text = (predict(x, time[None], half).float() for half in context.chunk(2))
    return without + scale * (with_text - without)


def decoded(pipeline: Any, latents: Tensor) -> Tensor:
    """(B, C, T, h, w) -> pixels (B, T, H, W, 3), float32, about [-1, 1]; frame by frame, as the VAE was trained.

    A clip with numbers that are none (NaN) is black throughout, so that it is seen to be broken.
    """
    frames = apart(latents).to(pipeline.vae.dtype) / pipeline.vae.config.scaling_factor
    pixels = torch.cat([pipeline.vae.decode(some).sample.float() for some in frames.split(8)])
    clips = together(pixels, latents.shape[2]).permute(0, 2, 3, 4, 1)
    whole = clips.isfinite().flatten(1).all(1)
    return torch.where(whole[:, None, None, None, None], clips, -1.0)
