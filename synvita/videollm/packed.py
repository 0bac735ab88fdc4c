"""Forward passes of a language model over packed questions (`core.packing`), with a cached prefix or without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from synvita.core.packing import Pack, Segment
from synvita.videollm import tree_attention
from synvita.videollm.last_layer import can_read, columns, picked
from synvita.videollm.protocol import Media


def prefix_segment(media: Media, more: list[int]) -> Segment:
    """The root of a pack: the prompt up to the video, and the tokens behind it that all questions share."""
    places = media.positions
    if places is not None and more:
        behind = torch.arange(len(more)) + places.max() + 1
        places = torch.cat([places, behind.expand(3, -1)], 1)
    return Segment([*media.ids, *more], places=places)


def embed(language: Any, ids: Tensor, placeholder: int, visual: Tensor | None) -> tuple[Tensor, Tensor]:
    """((B, L, width) embeddings with the visual tokens in place, (B, L) where those are)."""
    table = language.get_input_embeddings()
    ids = ids.to(table.weight.device)
    media = ids == placeholder
    embedded = table(ids.masked_fill(media, 0))  # a placeholder may be no token at all (-200)
    if visual is not None:
        embedded = embedded.masked_scatter(media.unsqueeze(-1), visual.to(embedded.device, embedded.dtype))
    return embedded, media


def hidden_states(
    language: Any,
    pack: Pack,
    placeholder: int,
    visual: Tensor | None = None,
    deep: Tensor | None = None,
    cache: Any = None,
    causal: bool = False,
    read: Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """Last hidden states of the packed tokens: all of them, or those that are read.

    Args:
        language: a transformers decoder without head (`VideoLLM.language`).
        visual: (N, width), the visual tokens of all rows in order. deep: (K, N, width), see `Media`.
        cache: a transformers cache; it is read and grows by these tokens.
        causal: the pack is one segment per row, none padded: the mask is the plain causal one and need not be built.
        read: per row, the columns that are wanted; none of them in a row's root, which no question ends in. The last
            layer is computed there only, if the decoder can (`last_layer`).
    Returns:
        (B, L, width); with `read` (B, M, width), M being the longest row's number.
    """
    embedded, media = embed(language, pack.ids, placeholder, visual)
    mask = None
    if not causal:
        tree = language.config._attn_implementation == tree_attention.NAME
        mask = (pack.mask if tree else pack.whole_mask).to(embedded.device)
    if mask is not None and language.config._attn_implementation == "eager":  # adds its mask to the scores
        lowest = torch.finfo(embedded.dtype).min
        mask = torch.zeros(mask.shape, dtype=embedded.dtype, device=mask.device).masked_fill(~mask, lowest)
    extra = {} if deep is None else {"visual_pos_masks": media, "deepstack_visual_embeds": list(deep.to(embedded))}
    at = None if read is None else columns(read, pack.ids.shape[1] - 1).to(embedded.device)
    within = at is not None and can_read(language)
    if within:
        extra["read"] = at
    out = language(
        inputs_embeds=embedded,
        attention_mask=mask,
        position_ids=pack.positions.to(embedded.device),
        past_key_values=cache,
        use_cache=cache is not None,
        **extra,
    )
    return out.last_hidden_state if at is None or within else picked(out.last_hidden_state, at)


def together(media: list[Media]) -> tuple[Tensor, Tensor | None]:
    """Visual tokens of several rows, one behind the other, as `hidden_states` takes them."""
    deep = None if media[0].deep is None else torch.cat([m.deep for m in media if m.deep is not None], 1)
    return torch.cat([m.visual for m in media]), deep


def plain_logits(model: Any, ids: Tensor, keys: Tensor, visual: Tensor) -> Tensor:
    """Logits of plain sequences, as the released classes' forward gives them.

    Args:
        ids: (B, L), `model.placeholder` where visual tokens go. keys: (B, L), 0 = no token looks at this one
            (positions stay 0..L-1, gaps are not closed). visual: (N, width), of all rows in order.
    Returns:
        (B, L, vocab) fp32.
    """
    batch, length = ids.shape
    seen = torch.ones(length, length, dtype=torch.bool).tril() & (keys.bool() | (ids == model.placeholder))[:, None]
    positions = torch.arange(length).expand(batch, -1)
    pack = Pack(ids, positions, seen[:, None], [], [])
    return model.logits(hidden_states(model.language, pack, model.placeholder, visual))
