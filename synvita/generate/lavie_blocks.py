"""The layers of LaVie's denoising network, under the official names: those of Stable Diffusion 1, and in each
transformer block an attention over frames.

Activations are (B * T, C, H, W). Group norms of residual blocks see all frames of a clip together, those of
transformers each frame alone.
"""

from __future__ import annotations

import math

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional

from synvita.generate.videocrafter2_blocks import apart, together

ROTATED, THETA = 32, 10000.0  # channels of a head that turn with the frame number, and the slowest turn
BUCKETS, EXACT, FARTHEST = 32, 8, 32  # of relative positions: half of them for later frames


class JointGroupNorm(nn.GroupNorm):
    """Mean and variance over all frames of a clip."""

    def forward(self, x: Tensor, frames: int) -> Tensor:  # type: ignore[override]
        return apart(super().forward(together(x, frames)))


class ResBlock(nn.Module):
    """Two convolutions per frame with the time embedding added between them."""

    def __init__(self, channels: int, out: int, embedding: int, groups: int) -> None:
        super().__init__()
        self.norm1 = JointGroupNorm(groups, channels)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.time_emb_proj = nn.Linear(embedding, out)
        self.norm2 = JointGroupNorm(groups, out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor, frames: int) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x, frames)))
        h = h + self.time_emb_proj(functional.silu(embedding))[..., None, None]
        h = self.conv2(functional.silu(self.norm2(h, frames)))
        return self.conv_shortcut(x) + h


def frequencies(device: torch.device | None = None) -> Tensor:
    """(16,): how far a pair of channels turns from frame to frame, in radians."""
    return THETA ** (-torch.arange(0, ROTATED, 2, device=device) / ROTATED)


class Rotary(nn.Module):
    """Turns neighbouring channels by the frame number times a frequency each. Channels after the first 32 stay."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("freqs", frequencies())  # as in the released file; not used: half precision rounds it

    def forward(self, x: Tensor) -> Tensor:
        """(..., T, D) -> the same shape."""
        angles = torch.arange(x.shape[-2], device=x.device)[:, None] * frequencies(x.device)  # (T, 16)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        even, odd = x[..., :ROTATED].unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)
        return torch.cat([turned, x[..., ROTATED:]], -1)


def position_buckets(frames: int, device: torch.device | None = None) -> Tensor:
    """(T, T): for each query frame and key frame, which of 32 relative positions lies between them (T5's rule).

    Earlier frames and the same one use 0 to 15, later ones 16 to 31; distances below 8 have a bucket each, larger ones
    share them by their logarithm.
    """
    at = torch.arange(frames, device=device)
    ahead = at[None, :] - at[:, None]  # key - query
    half, distance = BUCKETS // 2, ahead.abs()
    scale = (half - EXACT) / math.log(FARTHEST / EXACT)
    far = EXACT + (torch.log(distance.clamp(min=EXACT) / EXACT) * scale).long()
    return half * (ahead > 0) + torch.where(distance < EXACT, distance, far.clamp(max=half - 1))


class RelativePosition(nn.Module):
    """What each head adds to the attention between two frames for their distance."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.relative_attention_bias = nn.Embedding(BUCKETS, heads)

    def forward(self, frames: int) -> Tensor:
        """(heads, T, T)."""
        weight = self.relative_attention_bias.weight
        return weight[position_buckets(frames, weight.device)].permute(2, 0, 1)


class TemporalAttention(Attention):
    """Attention over the frames at each pixel: rotary positions on queries and keys, a bias on the scores."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(query_dim=channels, heads=heads, dim_head=channels // heads)
        self.time_rel_pos_bias, self.rotary_emb = RelativePosition(heads), Rotary()

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        """(N, T, C) -> (N, T, C)."""
        q, k, v = (f(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2) for f in (self.to_q, self.to_k, self.to_v))
        bias = self.time_rel_pos_bias(tokens.shape[1]).to(q.dtype)
        seen = functional.scaled_dot_product_attention(self.rotary_emb(q), self.rotary_emb(k), v, bias)
        return self.to_out[0](seen.transpose(1, 2).flatten(2))


class TransformerBlock(BasicTransformerBlock):
    """Attention to the frame, to the text, over the frames, then the feed-forward."""

    def __init__(self, channels: int, heads: int, context: int) -> None:
        super().__init__(channels, heads, channels // heads, cross_attention_dim=context)
        self.norm_temp, self.attn_temp = nn.LayerNorm(channels), TemporalAttention(channels, heads)

    def forward(self, x: Tensor, text: Tensor, frames: int) -> Tensor:  # type: ignore[override]
        """x: (B * T, H * W, C). text: (B * T, L, context)."""
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), encoder_hidden_states=text)
        per_pixel = self.norm_temp(x).unflatten(0, (-1, frames)).transpose(1, 2)  # (B, H * W, T, C)
        over_time = self.attn_temp(per_pixel.flatten(0, 1)).view(per_pixel.shape)
        x = x + over_time.transpose(1, 2).flatten(0, 1)
        return x + self.ff(self.norm3(x))


class Transformer(nn.Module):
    def __init__(self, channels: int, heads: int, context: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels, heads, context)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, text: Tensor, frames: int) -> Tensor:
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        tokens = self.transformer_blocks[0](tokens, text, frames)
        return x + self.proj_out(tokens.transpose(1, 2).unflatten(2, x.shape[2:]))
