"""VideoCrafter2's denoising network (lvdm's `UNetModel`), under the official names: an official file loads as it is.

Every level works per frame (convolutions, attention to the text) and across frames (four temporal convolutions at the
end of each residual block, a transformer over frames whose two attentions are both self-attention).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import Timesteps
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from synvita.generate.official import fit
from synvita.generate.videocrafter2_blocks import (
    Downsample,
    ResBlock,
    SpatialTransformer,
    TemporalTransformer,
    Upsample,
    apart,
    mlp,
    together,
)

PREFIX = "model.diffusion_model."  # of the network's weights in a complete official checkpoint
# What VideoCrafter2 is built with; the official class can do more, this one cannot.
BUILT_WITH = {
    "use_linear": True,
    "transformer_depth": 1,
    "temporal_conv": True,
    "temporal_attention": True,
    "temporal_selfatt_only": True,
    "use_relative_position": False,
    "use_causal_attention": False,
    "fps_cond": True,
}
WITHOUT_EFFECT = ("use_checkpoint", "temporal_length")  # on what the network computes


class VideoCrafter2UNet(ModelMixin, ConfigMixin):
    """Arguments are those of the official configuration; defaults are VideoCrafter2's (1413.28 M parameters).

    norm_num_groups: 32 in the official class, where it is no argument. A network with so few channels that a group has
    one of them loses the time embedding in the group norm after it: give fewer groups then.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        out_channels: int = 4,
        model_channels: int = 320,
        attention_resolutions: tuple[int, ...] = (4, 2, 1),
        num_res_blocks: int = 2,
        channel_mult: tuple[int, ...] = (1, 2, 4, 4),
        num_head_channels: int = 64,
        context_dim: int = 1024,
        addition_attention: bool = True,
        use_scale_shift_norm: bool = False,
        norm_num_groups: int = 32,
    ) -> None:
        super().__init__()
        groups, emb = norm_num_groups, 4 * model_channels

        def block(channels: int, out: int) -> ResBlock:
            return ResBlock(channels, out, emb, groups, use_scale_shift_norm)

        def transformers(channels: int) -> list[nn.Module]:
            heads = channels // num_head_channels
            return [
                SpatialTransformer(channels, heads, num_head_channels, context_dim, groups),
                TemporalTransformer(channels, heads, num_head_channels, groups),
            ]

        self.sinusoids = Timesteps(model_channels, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embed, self.fps_embedding = mlp(model_channels, emb), mlp(model_channels, emb)
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(in_channels, model_channels, 3, padding=1)])])
        if addition_attention:
            first = TemporalTransformer(model_channels, 8, num_head_channels, groups, as_convolution=True)
            self.init_attn = nn.ModuleList([first])
        skips, channels, factor = [model_channels], model_channels, 1
        for level, multiple in enumerate(channel_mult):
            for _ in range(num_res_blocks):
                layers: list[nn.Module] = [block(channels, multiple * model_channels)]
                channels = multiple * model_channels
                layers += transformers(channels) if factor in attention_resolutions else []
                self.input_blocks.append(nn.ModuleList(layers))
                skips.append(channels)
            if level != len(channel_mult) - 1:
                self.input_blocks.append(nn.ModuleList([Downsample(channels)]))
                skips.append(channels)
                factor *= 2
        middle = [block(channels, channels), *transformers(channels), block(channels, channels)]
        self.middle_block = nn.ModuleList(middle)
        self.output_blocks = nn.ModuleList()
        for level, multiple in reversed(list(enumerate(channel_mult))):
            for index in range(num_res_blocks + 1):
                layers = [block(channels + skips.pop(), multiple * model_channels)]
                channels = multiple * model_channels
                layers += transformers(channels) if factor in attention_resolutions else []
                if level and index == num_res_blocks:
                    layers.append(Upsample(channels))
                    factor //= 2
                self.output_blocks.append(nn.ModuleList(layers))
        self.out = nn.Sequential(
            nn.GroupNorm(groups, channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1)
        )

    def forward(
        self, latents: Tensor, timesteps: Tensor, encoder_hidden_states: Tensor, fps: Tensor | int = 16
    ) -> Tensor:
        """The predicted noise (or velocity, as it was trained).

        Args:
            latents: (B, C, T, H, W).
            timesteps: (B,), or (1,) for all.
            encoder_hidden_states: (B, L, context_dim), the text.
            fps: (B,), (1,) or a number: the frame rate that the clip is asked to have.
        """
        clips, frames = latents.shape[0], latents.shape[2]
        rate = torch.as_tensor(fps, device=latents.device).reshape(-1)
        embedding = self.embedded(self.time_embed, timesteps) + self.embedded(self.fps_embedding, rate)
        embedding = embedding.expand(clips, -1).repeat_interleave(frames, 0)
        text = encoder_hidden_states.repeat_interleave(frames, 0)

        def run(layers: Any, x: Tensor) -> Tensor:
            for layer in layers:
                if isinstance(layer, ResBlock):
                    x = layer(x, embedding, frames)
                elif isinstance(layer, SpatialTransformer):
                    x = layer(x, text)
                else:
                    x = layer(x, frames) if isinstance(layer, TemporalTransformer) else layer(x)
            return x

        x, skips = apart(latents).contiguous(memory_format=torch.channels_last), []  # so `together` is a view
        for number, layers in enumerate(self.input_blocks):
            x = run(layers, x)
            if number == 0 and self.config.addition_attention:
                x = run(self.init_attn, x)
            skips.append(x)
        x = run(self.middle_block, x)
        for layers in self.output_blocks:
            x = run(layers, torch.cat([x, skips.pop()], 1))
        return together(self.out(x), frames)

    @property
    def size_multiple(self) -> int:
        """Latents that it can halve and double again are multiples of this many squares high and wide."""
        return 2 ** (len(self.config.channel_mult) - 1)

    def embedded(self, layers: nn.Sequential, values: Tensor) -> Tensor:
        return layers(self.sinusoids(values).to(layers[0].weight.dtype))


def load_unet(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> VideoCrafter2UNet:
    """The network with official weights; every key is used and every weight is given, or this is an error.

    Args:
        state_dict: official names, with or without `model.diffusion_model.` before them (then other keys are no
            part of the network and left out). Values are cast to float32.
        config: the official `unet_config.params`.
    Raises:
        ValueError: a setting that VideoCrafter2 is not built with; keys or shapes of another network.
    """
    for name, built in BUILT_WITH.items():
        if name in config and config[name] != built:
            raise ValueError(f"unet_config.{name}: {config[name]!r}; VideoCrafter2 is built with {built!r}")
    known = {k: v for k, v in config.items() if k not in BUILT_WITH and k not in WITHOUT_EFFECT}
    with torch.device("meta"):
        unet = VideoCrafter2UNet(**{k: tuple(v) if isinstance(v, list) else v for k, v in known.items()})
    if any(key.startswith(PREFIX) for key in state_dict):
        state_dict = {k[len(PREFIX) :]: v for k, v in state_dict.items() if k.startswith(PREFIX)}
    return fit(unet, state_dict, "VideoCrafter2")
