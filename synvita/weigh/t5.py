"""What the scorers on T5 share: encoder inputs of different lengths -> logits of an answer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@torch.no_grad()
def answer_logits(t5: Any, rows: list[Tensor], answer: Tensor, width: int, at_once: int) -> Tensor:
    """Logits at each token of one answer, teacher-forced, behind each row.

    Args:
        t5: a transformers T5 with its head. rows: encoder inputs (L, d_model); they are padded on the right, which T5
            does not see: its positions are relative, and the padding is masked. answer: (A,) token ids, the end
            included. width: how many rows of the vocabulary count. at_once: rows in one pass, those of like length
            together.
    Returns:
        (len(rows), A, width) fp32, in the order of `rows`.
    """
    first = getattr(t5.config, "decoder_start_token_id", None) or 0  # T5's padding token
    start = torch.tensor([first], device=answer.device)
    given = torch.cat([start, answer[:-1]])
    logits: list[Tensor | None] = [None] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for at in range(0, len(rows), at_once):
        chosen = order[at : at + at_once]
        embedded = pad_sequence([rows[i] for i in chosen], batch_first=True)
        lengths = torch.tensor([len(rows[i]) for i in chosen], device=embedded.device)
        mask = torch.arange(embedded.shape[1], device=embedded.device) < lengths[:, None]
        out = t5(
            inputs_embeds=embedded,
            attention_mask=mask.long(),
            decoder_input_ids=given.expand(len(chosen), -1),
            use_cache=False,
        ).logits
        for i, value in zip(chosen, out[..., :width].float(), strict=True):
            logits[i] = value
    return torch.stack([value for value in logits if value is not None])
