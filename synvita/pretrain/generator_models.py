"""The tiny text-to-video pipelines before they have learned anything."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from synvita.generate.pixel_codec import PixelCodec
from synvita.generate.videocrafter2_blocks import ResBlock, SpatialTransformer, TemporalTransformer
from synvita.generate.videocrafter2_pipeline import VideoCrafter2Pipeline
from synvita.generate.videocrafter2_scheduler import VideoCrafter2Scheduler
from synvita.generate.videocrafter2_unet import VideoCrafter2UNet
from synvita.world.render import FPS, FRAMES, SIDE
from synvita.world.tokenizer import make_tokenizer

WIDTH, WORDS = 128, 24  # of the text encoder; the longest caption of the world has 21 tokens with both ends


def caption_tokenizer() -> Any:
    """The miniature's tokenizer with an end, as CLIP's has."""
    from tokenizers import processors

    tokenizer = make_tokenizer("")
    ends = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("<s>", "</s>")]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=ends
    )
    tokenizer.model_max_length, tokenizer.padding_side = WORDS, "right"
    return tokenizer


def text_encoder(tokenizer: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=WORDS,
            hidden_act="gelu",
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def mini_videocrafter2() -> VideoCrafter2Pipeline:
    """VideoCrafter2's classes, small: 8 frames of 32 x 32 pixels, noisier and with velocities as targets, because few
    steps must do; group norms of 8 groups and an embedding that scales and shifts them, because channels are few."""
    tokenizer = caption_tokenizer()
    unet = VideoCrafter2UNet(
        in_channels=12,
        out_channels=12,
        model_channels=32,
        attention_resolutions=(4,),
        num_res_blocks=1,
        channel_mult=(1, 2, 3),
        num_head_channels=32,
        context_dim=WIDTH,
        addition_attention=False,
        use_scale_shift_norm=True,
        norm_num_groups=8,
    )
    start_quiet(unet)
    scheduler = VideoCrafter2Scheduler(beta_end=0.018, prediction_type="v_prediction", timestep_spacing="trailing")
    return VideoCrafter2Pipeline(
        PixelCodec(),
        text_encoder(tokenizer),
        tokenizer,
        unet,
        scheduler,
        num_frames=FRAMES,
        height=SIDE,
        width=SIDE,
        num_inference_steps=10,
        guidance_scale=3.0,
        eta=0.0,
        fps=FPS,
    )


@torch.no_grad()
def start_quiet(unet: VideoCrafter2UNet) -> None:
    """Zero what ends a residual branch, as the official class does, so that the network starts near the identity."""
    ends: list[nn.Module] = [unet.out[-1]]
    for layer in unet.modules():
        if isinstance(layer, ResBlock):
            ends += [layer.out_layers[-1], layer.temopral_conv.conv4[-1]]
        elif isinstance(layer, SpatialTransformer | TemporalTransformer):
            ends.append(layer.proj_out)
    for end in ends:
        for p in end.parameters():
            p.zero_()


BUILT = {"mini-videocrafter2": mini_videocrafter2}
