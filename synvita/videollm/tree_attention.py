"""Attention over packed trees without a mask where none is needed: the prefix is plainly causal, the rest is not.

A mask over a whole pack would have a video's 2,000 visual tokens squared in it, most of it the plain triangle that
every kernel knows by heart. Here the prefix goes through the causal kernel, and only the questions behind it (a few
hundred rows) get a mask. The result is that of the whole mask; what is computed in vain are the questions' looks at
each other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

NAME = "synvita_tree"


def tree_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: (B, heads, L, d) queries, (B, kv heads, K, d) keys -> (B, L, heads, d).

    `attention_mask`: (B, 1, M, K) bool for the last M queries, M <= L; the L - M before them are causal. None: all.
    """
    length = query.shape[2]
    masked = 0 if attention_mask is None else attention_mask.shape[2]
    plain = length - masked
    shared: dict[str, Any] = {"scale": scaling, "dropout_p": dropout, "enable_gqa": key.shape[1] != query.shape[1]}
    parts = []
    if plain:
        front = query[:, :, :plain], key[:, :, :plain], value[:, :, :plain]
        parts.append(scaled_dot_product_attention(*front, is_causal=plain > 1, **shared))
    if masked:
        assert attention_mask is not None
        parts.append(scaled_dot_product_attention(query[:, :, plain:], key, value, attn_mask=attention_mask, **shared))
    out = parts[0] if len(parts) == 1 else torch.cat(parts, 2)
    return out.transpose(1, 2).contiguous(), None


def use_tree_attention(language: Any) -> None:
    """Let a transformers decoder attend with `tree_attention`; masks that it makes itself stay what they were."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, tree_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    language.config._attn_implementation = NAME
