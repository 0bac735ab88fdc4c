"""One forward pass of a LLaVA-like model over packed questions (`core.packing`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from synvita.core.packing import Pack


def hidden_states(model: Any, pack: Pack, visual: Tensor, placeholder: int) -> Tensor:
    """Last hidden states of every packed token.

    Args:
        model: a transformers LLaVA-like model: `.model.language_model`, `.lm_head`.
        pack: its placeholder tokens stand where visual tokens go, as many per row as `visual` has.
        visual: (B, V, width) projected visual tokens.
        placeholder: id of the placeholder token.
    Returns:
        (B, L, width).
    """
    language = model.model.language_model
    embedded = language.get_input_embeddings()(pack.ids)
    media = (pack.ids == placeholder).unsqueeze(-1)
    mask = pack.mask
    if language.config._attn_implementation == "eager":  # adds its mask to the scores
        mask = torch.zeros(mask.shape, dtype=embedded.dtype).masked_fill(~mask, torch.finfo(embedded.dtype).min)
    embedded = embedded.masked_scatter(media, visual.to(embedded.dtype))
    out = language(inputs_embeds=embedded, attention_mask=mask, position_ids=pack.positions, use_cache=False)
    return out.last_hidden_state
