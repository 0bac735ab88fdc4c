"""LaVie's denoising network (its base model), under the official names: an official file loads as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.downsampling import Downsample2D
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn import functional

from synvita.generate.lavie_blocks import JointGroupNorm, ResBlock, Transformer, frequencies
from synvita.generate.official import fit
from synvita.generate.videocrafter2_blocks import apart, together

# What LaVie is built with; Stable Diffusion's class can do more, this one cannot.
BUILT_WITH = {
    "act_fn": "silu",
    "center_input_sample": False,
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-5,
    "only_cross_attention": False,
    "use_linear_projection": False,
}


class Level(nn.Module):
    """Residual blocks of one resolution, each with a transformer after it or none with one."""

    def __init__(self, resnets: Sequence[ResBlock], attentions: Sequence[Transformer]) -> None:
        super().__init__()
        self.resnets, self.attentions = nn.ModuleList(resnets), nn.ModuleList(attentions)
        self.downsamplers, self.upsamplers = nn.ModuleList(), nn.ModuleList()

    def block(self, number: int, x: Tensor, embedding: Tensor, text: Tensor, frames: int) -> Tensor:
        x = self.resnets[number](x, embedding, frames)
        return self.attentions[number](x, text, frames) if self.attentions else x


class LavieUNet(ModelMixin, ConfigMixin):
    """Arguments are those of Stable Diffusion's configuration; defaults are LaVie's (909.12 M parameters).

    attention_head_dim: the number of heads, for all levels or of each, as Stable Diffusion 1 means it.
    down_block_types: which levels have transformers: those with "CrossAttn" in their name.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        out_channels: int = 4,
        down_block_types: tuple[str, ...] = (*("CrossAttnDownBlock3D",) * 3, "DownBlock3D"),
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        cross_attention_dim: int = 768,
        attention_head_dim: int | tuple[int, ...] = 8,
        norm_num_groups: int = 32,
    ) -> None:
        super().__init__()
        first, deepest, groups = block_out_channels[0], block_out_channels[-1], norm_num_groups
        levels, emb = len(block_out_channels), 4 * block_out_channels[0]
        heads = (attention_head_dim,) * levels if isinstance(attention_head_dim, int) else tuple(attention_head_dim)

        def level(number: int, sizes: Sequence[int]) -> Level:
            """`sizes`: channels that each residual block gets."""
            out = block_out_channels[number]
            attends = "CrossAttn" in down_block_types[number]
            return Level([ResBlock(c, out, emb, groups) for c in sizes], [transformer(number) for _ in sizes] * attends)

        def transformer(number: int) -> Transformer:
            return Transformer(block_out_channels[number], heads[number], cross_attention_dim, groups)

        self.time_proj = Timesteps(first, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(first, emb)
        self.conv_in = nn.Conv2d(in_channels, first, 3, padding=1)
        self.down_blocks: Any = nn.ModuleList()
        self.up_blocks: Any = nn.ModuleList()
        skips, channels = [first], first
        for number, out in enumerate(block_out_channels):
            down = level(number, [channels, *[out] * (layers_per_block - 1)])
            skips += [out] * layers_per_block
            if number < levels - 1:
                down.downsamplers.append(Downsample2D(out, use_conv=True, name="op"))
                skips.append(out)
            self.down_blocks.append(down)
            channels = out
        self.mid_block = Level([ResBlock(deepest, deepest, emb, groups) for _ in range(2)], [transformer(levels - 1)])
        for number in reversed(range(levels)):
            out = block_out_channels[number]
            below = [channels, *[out] * layers_per_block]
            up = level(number, [c + skips.pop() for c in below])
            if number:
                up.upsamplers.append(Upsample2D(out, use_conv=True))
            self.up_blocks.append(up)
            channels = out
        self.conv_norm_out = JointGroupNorm(groups, first)
        self.conv_out = nn.Conv2d(first, out_channels, 3, padding=1)

    @classmethod
    def from_official(cls, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> Self:
        """The network with official weights; every key is used and every weight is given, or this is an error.

        Args:
            state_dict: official names. Values are cast to float32.
            config: arguments of the official class, or Stable Diffusion 1.4's `unet/config.json`.
        Raises:
            ValueError: a setting that LaVie is not built with; keys, shapes or frequencies of another network.
        """
        for name, built in BUILT_WITH.items():
            if config.get(name, built) != built:
                raise ValueError(f"unet config: {name}: {config[name]!r}; LaVie is built with {built!r}")
        arguments = cls._get_init_keys(cls) & config.keys()
        with torch.device("meta"):
            unet = cls(**{k: tuple(config[k]) if isinstance(config[k], list) else config[k] for k in arguments})
        unet = fit(unet, state_dict, "LaVie")
        for key, value in unet.state_dict().items():
            if key.endswith("rotary_emb.freqs") and not torch.allclose(value, frequencies(), rtol=1e-3):
                raise ValueError(f"{key}: not the frequencies that LaVie turns frames with")
        return unet

    def forward(self, latents: Tensor, timesteps: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        """The predicted noise.

        Args:
            latents: (B, C, T, H, W).
            timesteps: (B,), or (1,) for all.
            encoder_hidden_states: (B, L, cross_attention_dim), the text.
        """
        clips, frames = latents.shape[0], latents.shape[2]
        sinusoids = self.time_proj(timesteps.reshape(-1)).to(self.conv_in.weight.dtype)
        embedding = self.time_embedding(sinusoids).expand(clips, -1).repeat_interleave(frames, 0)
        more = (embedding, encoder_hidden_states.repeat_interleave(frames, 0), frames)
        x = self.conv_in(apart(latents).contiguous(memory_format=torch.channels_last))
        skips = [x]
        for level in self.down_blocks:
            for number in range(len(level.resnets)):
                x = level.block(number, x, *more)
                skips.append(x)
            for downsample in level.downsamplers:
                x = downsample(x)
                skips.append(x)
        x = self.mid_block.block(0, x, *more)
        x = self.mid_block.resnets[1](x, embedding, frames)
        for level in self.up_blocks:
            for number in range(len(level.resnets)):
                x = level.block(number, torch.cat([x, skips.pop()], 1), *more)
            for upsample in level.upsamplers:
                x = upsample(x)
        return together(self.conv_out(functional.silu(self.conv_norm_out(x, frames))), frames)

    @property
    def size_multiple(self) -> int:
        """Latents that it can halve and double again are multiples of this many squares high and wide."""
        return 2 ** (len(self.config.block_out_channels) - 1)
