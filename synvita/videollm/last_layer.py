"""The last layer where its output is read, and only there.

Nobody reads the last hidden state of a visual token: behind the last layer only the tokens count that an answer is
predicted from, a few per video. The others' keys and values are needed there, but not their queries, their attention
and their feed-forward part, forward or backward: in a model of four layers a fifth of the products, in one of 32 a
fortieth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from synvita.videollm import tree_attention

MARK = "synvita_reads"  # on a decoder whose last layer takes `read`


def columns(read: Sequence[Sequence[int]], last: int) -> Tensor:
    """(B, M): the columns of each row that are read; shorter lists are filled up with the last, computed in vain."""
    most = max(map(len, read))
    return torch.tensor([[*row, *[last] * (most - len(row))] for row in read], dtype=torch.long)


def picked(values: Tensor, at: Tensor) -> Tensor:
    """(B or 1, L, ...) and (B, M) columns -> (B, M, ...)."""
    rows = torch.arange(len(at), device=at.device)[:, None]
    return values.expand(len(at), *values.shape[1:])[rows, at]


def can_read(language: Any) -> bool:
    """Whether the decoder takes `read`; others compute their last layer everywhere."""
    return getattr(language, MARK, False)


def read_last_layer(language: Any) -> None:
    """Let a LLaMA (both of the paper's models) take `read` (B, M) in its forward, and give (B, M, width).

    Needs `tree_attention`. A layer whose forward somebody else has wrapped (accelerate's devices) is left alone.
    """
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaModel

    if type(language) is LlamaModel and language.config._attn_implementation == tree_attention.NAME:
        last: Any = language.layers[-1]
        if type(last) is LlamaDecoderLayer and "forward" not in vars(last):
            vars(last)["forward"] = forward_of(last)
            vars(language)[MARK] = True


def forward_of(layer: Any) -> Callable[..., Tensor]:
    """`LlamaDecoderLayer.forward` that knows `read`."""
    from transformers.models.llama.modeling_llama import rotate_half

    def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return (x * cos.unsqueeze(1)) + (rotate_half(x) * sin.unsqueeze(1))

    def forward(hidden_states: Tensor, *args: Any, read: Tensor | None = None, **kwargs: Any) -> Tensor:
        if read is None:
            return type(layer).forward(layer, hidden_states, *args, **kwargs)
        attention, (cos, sin), cache = layer.self_attn, kwargs["position_embeddings"], kwargs.get("past_key_values")
        normed = layer.input_layernorm(hidden_states)

        def heads(x: Tensor) -> Tensor:
            return x.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)

        key, value = rotated(heads(attention.k_proj(normed)), cos, sin), heads(attention.v_proj(normed))
        if cache is not None:
            key, value = cache.update(key, value, attention.layer_idx)
        if not read.shape[1]:  # a prefix: its keys and values are all that is wanted of it
            return hidden_states[:, :0]
        query = rotated(heads(attention.q_proj(picked(normed, read))), picked(cos, read), picked(sin, read))
        mask = kwargs["attention_mask"]  # of the last tokens, which are those that are read
        seen = picked(mask[:, 0], read - (hidden_states.shape[1] - mask.shape[2])).unsqueeze(1)
        grouped = key.shape[1] != query.shape[1]
        shared: dict[str, Any] = {"scale": attention.scaling, "enable_gqa": grouped}
        found = scaled_dot_product_attention(query, key, value, attn_mask=seen, **shared)
        out = picked(hidden_states, read) + attention.o_proj(found.transpose(1, 2).flatten(2))
        return out + layer.mlp(layer.post_attention_layernorm(out))

    return forward
