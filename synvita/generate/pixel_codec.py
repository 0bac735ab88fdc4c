"""A fixed codec in the place of a pipeline's `vae`: squares of pixels become channels; nothing is lost or learned.

For videos so small that a learned autoencoder would cost more than the network that works on its latents.
"""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, IdentityDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor
from torch.nn import functional


class PixelCodec(ModelMixin, ConfigMixin):
    """`encode`, `decode` and `config` as of diffusers' `AutoencoderKL`.

    block_out_channels: each further entry halves height and width, with four times the channels, from 3 on.
    """

    @register_to_config
    def __init__(self, block_out_channels: tuple[int, ...] = (3, 12), scaling_factor: float = 1.0) -> None:
        super().__init__()
        self.side = 2 ** (len(block_out_channels) - 1)
        channels = 3 * self.side**2
        if block_out_channels[-1] != channels:
            raise ValueError(f"block_out_channels: {block_out_channels[-1]} is last; squares have {channels}")
        self.register_buffer("squares", torch.eye(channels).view(channels, 3, self.side, self.side))

    def encode(self, pixels: Tensor) -> AutoencoderKLOutput:
        """(N, 3, H, W) in [-1, 1] -> a distribution with one value, (N, 12, H / 2, W / 2) for squares of 2."""
        latents = functional.conv2d(pixels, self.squares, stride=self.side)
        return AutoencoderKLOutput(latent_dist=IdentityDistribution(latents))

    def decode(self, latents: Tensor) -> DecoderOutput:
        return DecoderOutput(sample=functional.conv_transpose2d(latents, self.squares, stride=self.side))
