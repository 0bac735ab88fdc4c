"""The layers of VideoCrafter2's denoising network (lvdm), under the official names.

Activations are (B * T, C, H, W); `together` views them as (B, C, T, H, W). Which group norms see the frames together
decides the result: those of residual blocks and spatial transformers are per frame, those of temporal convolutions and
temporal transformers joint over all frames.
"""

from __future__ import annotations

from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn
from torch.nn import functional


def together(x: Tensor, frames: int) -> Tensor:
    """(B * T, C, H, W) -> (B, C, T, H, W)."""
    return x.unflatten(0, (-1, frames)).transpose(1, 2)


def apart(x: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B * T, C, H, W)."""
    return x.transpose(1, 2).flatten(0, 1)


class TimeConv(nn.Conv3d):
    """A convolution over time alone, run as a planar one over (time, pixels): on CPUs without a kernel for thin volumes
    this is 3 times faster."""

    def forward(self, x: Tensor) -> Tensor:
        flat = functional.conv2d(x.flatten(3), self.weight.squeeze(4), self.bias, padding=(1, 0))
        return flat.unflatten(3, x.shape[3:])


class TemporalConvolutions(nn.Module):
    """Four convolutions over time with a shortcut around all of them; norms joint over frames."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()

        def stage(dropout: bool) -> nn.Sequential:  # the first stage has no dropout, so its convolution is number 2
            between: list[nn.Module] = [nn.Dropout(0.0)] if dropout else []
            convolution = TimeConv(channels, channels, (3, 1, 1), padding=(1, 0, 0))
            return nn.Sequential(nn.GroupNorm(groups, channels), nn.SiLU(), *between, convolution)

        self.conv1, self.conv2, self.conv3, self.conv4 = stage(False), stage(True), stage(True), stage(True)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        clip = together(x, frames)
        return x + apart(self.conv4(self.conv3(self.conv2(self.conv1(clip)))))


class ResBlock(nn.Module):
    """Two convolutions per frame with the time embedding between them, then the temporal convolutions.

    `scale_shift`: the embedding scales and shifts the second norm instead of being added before it (an option of the
    official class; VideoCrafter2 adds).
    """

    def __init__(self, channels: int, out: int, embedding: int, groups: int, scale_shift: bool) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.in_layers = nn.Sequential(
            nn.GroupNorm(groups, channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * out if scale_shift else out))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, out), nn.SiLU(), nn.Dropout(0.0), nn.Conv2d(out, out, 3, padding=1)
        )
        self.skip_connection = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()
        self.temopral_conv = TemporalConvolutions(out, groups)  # spelt as in the released weights

    def forward(self, x: Tensor, embedding: Tensor, frames: int) -> Tensor:
        h = self.in_layers(x)
        embedded = self.emb_layers(embedding)[..., None, None]
        if self.scale_shift:
            scale, shift = embedded.chunk(2, 1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + embedded)
        return self.temopral_conv(self.skip_connection(x) + h, frames)


class SpatialTransformer(nn.Module):
    """Within a frame: self-attention over its pixels, attention to the text, feed-forward."""

    def __init__(self, channels: int, heads: int, width: int, context: int, groups: int) -> None:
        super().__init__()
        inner = heads * width
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, inner)
        self.transformer_blocks = nn.ModuleList(
            [BasicTransformerBlock(inner, heads, width, cross_attention_dim=context)]
        )
        self.proj_out = nn.Linear(inner, channels)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        tokens = self.proj_in(self.norm(x).flatten(2).transpose(1, 2))
        tokens = self.transformer_blocks[0](tokens, encoder_hidden_states=text)
        return x + self.proj_out(tokens).transpose(1, 2).unflatten(2, x.shape[2:])


class TemporalTransformer(nn.Module):
    """At each pixel: two self-attentions over the frames and a feed-forward. It does not know the frames' order.

    `as_convolution`: the projections are stored as convolutions of size 1, as the first one's are.
    """

    def __init__(self, channels: int, heads: int, width: int, groups: int, as_convolution: bool = False) -> None:
        super().__init__()
        inner = heads * width
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Conv1d(channels, inner, 1) if as_convolution else nn.Linear(channels, inner)
        self.transformer_blocks = nn.ModuleList(
            [BasicTransformerBlock(inner, heads, width, double_self_attention=True)]
        )
        self.proj_out = nn.Conv1d(inner, channels, 1) if as_convolution else nn.Linear(inner, channels)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        clip = self.norm(together(x, frames)).permute(0, 3, 4, 2, 1)  # (B, H, W, T, C)
        tokens = projected(self.proj_in, clip.flatten(0, 2))
        tokens = projected(self.proj_out, self.transformer_blocks[0](tokens))
        return x + apart(tokens.view(clip.shape).permute(0, 4, 3, 1, 2))


def projected(layer: nn.Module, tokens: Tensor) -> Tensor:
    """(..., C) -> (..., C'), whichever way the weights are stored."""
    weight = layer.weight.squeeze(2) if isinstance(layer, nn.Conv1d) else layer.weight
    return functional.linear(tokens, weight, layer.bias)  # type: ignore[arg-type]


class Downsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))


def mlp(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, width), nn.SiLU(), nn.Linear(width, width))
