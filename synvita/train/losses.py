"""The losses of Eq. 2-7 as pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def answer_loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None, tokens: float | None = None) -> Tensor:
    """Cross-entropy of answer tokens (the word and its end), Eq. 2; with `weights` the synthetic part, Eq. 5.

    A clip of weight zero still counts among the tokens, as in the authors' code, so trusting little also means
    learning little from the batch.

    Args:
        logits: (N, vocab) at the positions that predict them. targets: (N,) token ids.
        weights: (N,) in [0, 1], the trust in each token's clip; None = 1.
        tokens: what the sum is divided by: of the whole batch, all answer tokens or (`separate`) those of this part;
            default N.
    Returns:
        scalar fp32 (fp64 if the logits are).
    """
    if not len(targets):
        return logits.sum() * 0
    logits = logits if logits.dtype == torch.float64 else logits.float()
    each = functional.cross_entropy(logits, targets, reduction="none")
    return (each if weights is None else each * weights.to(each)).sum() / (tokens or len(targets))


def consistency_loss(
    aligned_full: Tensor,
    aligned_shared: Tensor,
    other_full: Tensor,
    other_shared: Tensor,
    weights: Tensor,
    margin: float = 0.2,
) -> Tensor:
    """Eq. 6: what two captions share fits a video less well than the true caption and better than the false one.

    A triplet has two pairs: caption t^r (*aligned* video V^r, *other* V^s) and caption t^s (the other way round).

    Args:
        aligned_full, aligned_shared: (P,) alignments f of the video whose answer to the caption is Yes, with the whole
            caption and with its masked twin. other_full, other_shared: the same of its counterpart.
        weights: (P,) trust in the pair's synthetic clip. margin: m, in units of alignment.
    Returns:
        scalar: mean over pairs of w * (relu(m + aligned_shared - aligned_full) + relu(m + other_full - other_shared));
        0 without pairs.
    """
    if not len(weights):
        return aligned_full.sum() * 0
    closer = torch.relu(margin + aligned_shared - aligned_full)
    farther = torch.relu(margin + other_full - other_shared)
    return (weights.to(closer) * (closer + farther)).mean()


def total_loss(real: Tensor, synthetic: Tensor, consistency: Tensor, consistency_weight: float) -> Tensor:
    """Eq. 7: real + weighted synthetic + lambda * consistency."""
    return real + synthetic + consistency_weight * consistency
