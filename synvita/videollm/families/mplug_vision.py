"""mPLUG-Owl-video's eyes: a ViT whose layers look along time, and an abstractor that sums a video up in 64 tokens.

Written from the official key names, shapes and recorded behaviour. What looks odd is kept because the released weights
were trained with it; each place says so.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


class TemporalAdapter(nn.Module):
    """A bottleneck that mixes each patch with the same patch of the frames before and after it."""

    def __init__(self, width: int):
        super().__init__()
        half = width // 2
        self.ln = nn.LayerNorm(width, eps=1e-5)  # not the config's eps
        self.down_proj = nn.Conv3d(width, half, 1)
        self.conv = nn.Conv3d(half, half, (3, 1, 1), padding=(1, 0, 0), groups=half)
        self.up_proj = nn.Conv3d(half, width, 1)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B * T, 1 + P, D) -> what is added to it.

        For CLS that is CLS itself, so CLS doubles at every layer: odd, but the weights were trained with it.
        """
        patches = self.ln(x[:, 1:]).unflatten(0, (-1, frames))  # (B, T, P, D)
        volume = patches.permute(0, 3, 1, 2).unsqueeze(-1)  # (B, D, T, P, 1)
        volume = self.up_proj(quick_gelu(self.conv(self.down_proj(volume))))
        return torch.cat([x[:, :1], volume.squeeze(-1).permute(0, 2, 3, 1).flatten(0, 1)], 1)


class VisionAttention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.dense = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        # The one projection's output is laid out (head, 3, head_dim), not (3, head, head_dim).
        mixed = self.query_key_value(x).unflatten(-1, (self.heads, 3, -1)).permute(3, 0, 2, 1, 4)
        seen = functional.scaled_dot_product_attention(*mixed)
        return self.dense(seen.transpose(1, 2).flatten(2))


class VisionMlp(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(quick_gelu(self.fc1(x)))


class VisionLayer(nn.Module):
    def __init__(self, config: dict[str, Any]):
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.temporal = TemporalAdapter(width)
        self.input_layernorm = nn.LayerNorm(width, eps=eps)
        self.self_attn = VisionAttention(width, config["num_attention_heads"])
        self.post_attention_layernorm = nn.LayerNorm(width, eps=eps)
        self.mlp = VisionMlp(width, config["intermediate_size"])

    def forward(self, x: Tensor, frames: int) -> Tensor:
        if frames > 1:
            x = x + self.temporal(x, frames)
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class VisionEmbeddings(nn.Module):
    def __init__(self, config: dict[str, Any]):
        super().__init__()
        width, patch = config["hidden_size"], config["patch_size"]
        positions = 1 + (config["image_size"] // patch) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embedding = nn.Parameter(torch.zeros(1, positions, width))
        self.patch_embed = nn.Conv2d(3, width, patch, patch, bias=False)
        self.pre_layernorm = nn.LayerNorm(width, eps=config["layer_norm_eps"])

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embed(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], 1)
        return self.pre_layernorm(tokens + self.position_embedding)


class VisionModel(nn.Module):
    """(B, 3, T, H, W) video or (B, 3, H, W) images -> (B, T, 1 + P, D)."""

    encoder: Any  # a bare module that holds the released names

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.embeddings = VisionEmbeddings(config)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(VisionLayer(config) for _ in range(config["num_hidden_layers"]))
        self.post_layernorm = nn.LayerNorm(config["hidden_size"], eps=config["layer_norm_eps"])

    def hidden_states(self, pixels: Tensor) -> list[Tensor]:
        """After the embeddings and after every layer, before the last norm: (B * T, 1 + P, D) each."""
        frames = 1
        if pixels.ndim == 5:
            frames = pixels.shape[2]
            if frames == 1:
                raise ValueError("mPLUG-Owl takes videos of at least 2 frames; give a still as (B, 3, H, W)")
            pixels = pixels.transpose(1, 2).flatten(0, 1)
        states = [self.embeddings(pixels)]
        for layer in self.encoder.layers:
            states.append(layer(states[-1], frames))
        return states

    def forward(self, pixels: Tensor) -> Tensor:
        last = self.post_layernorm(self.hidden_states(pixels)[-1])
        return last.unflatten(0, (pixels.shape[0], -1))


class AbstractorMlp(nn.Module):
    """SwiGLU with a norm inside; its width is two thirds of the config's, rounded up to a multiple of 256."""

    def __init__(self, width: int, intermediate: int, eps: float):
        super().__init__()
        inner = (2 * intermediate // 3 + 255) // 256 * 256
        self.w1 = nn.Linear(width, inner)
        self.w2 = nn.Linear(inner, width)
        self.w3 = nn.Linear(width, inner)
        self.ffn_ln = nn.LayerNorm(inner, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(self.ffn_ln(functional.silu(self.w1(x)) * self.w3(x)))


class CrossAttention(nn.Module):
    """Queries look at [normalised queries; normalised frames]; key names as released."""

    attention: Any  # bare modules that hold the released names
    output: Any

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        width, seen = config["hidden_size"], config["encoder_hidden_size"]
        self.heads = config["num_attention_heads"]
        self.attention = nn.Module()
        self.attention.query = nn.Linear(width, width)
        self.attention.key = nn.Linear(seen, width)
        self.attention.value = nn.Linear(seen, width)
        self.output = nn.Module()
        self.output.out_proj = nn.Linear(width, width)
        self.output.norm2 = nn.LayerNorm(width)
        self.output.mlp = AbstractorMlp(width, config["intermediate_size"], config["layer_norm_eps"])
        self.norm1 = nn.LayerNorm(width)
        self.normk = nn.LayerNorm(seen)

    def forward(self, queries: Tensor, frames: Tensor) -> Tensor:
        queries = self.norm1(queries)  # the residual below starts here, behind the norm: kept as trained
        seen = torch.cat([queries, self.normk(frames)], 1)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.attention.query(queries), self.attention.key(seen), self.attention.value(seen))
        )
        found = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        queries = queries + self.output.out_proj(found)
        return queries + self.output.mlp(self.output.norm2(queries))


class Abstractor(nn.Module):
    """All frames' tokens -> as many language-model tokens as there are queries, and one learned end vector.

    It runs without dropout, in training too: it is frozen. The authors leave its dropout of 0.1 on while training.
    """

    encoder: Any  # a bare module that holds the released names

    def __init__(self, config: dict[str, Any], language_width: int):
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList()
        for _ in range(config["num_hidden_layers"]):
            layer: Any = nn.Module()
            layer.crossattention = CrossAttention(config)
            self.encoder.layers.append(layer)
        self.visual_fc = nn.Linear(config["hidden_size"], language_width)
        self.temporal_visual_fc = nn.Linear(config["hidden_size"], language_width)
        self.vit_eos = nn.Parameter(torch.zeros(1, 1, language_width))

    def forward(self, frames: Tensor, queries: Tensor, temporal_queries: Tensor) -> Tensor:
        """(B, T, N, D) -> (B, Q + 1, width); with one frame the temporal queries stay out."""
        batch, number = len(frames), queries.shape[1]
        both = torch.cat([queries, temporal_queries], 1) if frames.shape[1] > 1 else queries
        both = both.expand(batch, -1, -1)
        for layer in self.encoder.layers:
            both = layer.crossattention(both, frames.flatten(1, 2))
        out = self.visual_fc(both[:, :number])
        if frames.shape[1] > 1:
            out = out + self.temporal_visual_fc(both[:, number:])
        return torch.cat([out, self.vit_eos.expand(batch, -1, -1)], 1)
