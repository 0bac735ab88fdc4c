"""Answer logits -> scores. Pure, and always in fp32: bf16 scores tie so often that rankings become a matter of luck."""

from __future__ import annotations

import torch
from torch import Tensor

from synvita.core.vocabulary import QUANTITIES


def log_odds(logits: Tensor, yes: int, no: int) -> Tensor:
    """(..., vocab) logits at the answer position -> (...) log-odds of Yes against No, fp32 (fp64 stays)."""
    chosen = logits[..., [yes, no]]
    chosen = chosen if chosen.dtype == torch.float64 else chosen.float()
    return chosen[..., 0] - chosen[..., 1]


def alignment(odds: Tensor) -> Tensor:
    """f(V, t) of Eq. 1: P(Yes) / (P(Yes) + P(No)) = sigmoid of the log-odds; in [0, 1], never NaN by underflow."""
    return torch.sigmoid(odds)


def p_yes(logits: Tensor, yes: int) -> Tensor:
    """P("Yes") as the first token of an answer, over the whole vocabulary: what t2v_metrics gives for chat models.

    (..., vocab) logits at the answer position -> (...) fp32 in [0, 1].
    """
    return torch.log_softmax(logits.float(), -1)[..., yes].exp()


def quantity(name: str, logits: Tensor, yes: int, no: int, end: int) -> Tensor:
    """One of `QUANTITIES`, three answers to one question whose numbers must not be mixed.

    Args:
        logits: (..., 2, vocab) at the positions that predict the answer and its end, the answer being "Yes".
    Returns:
        (...) fp32 in [0, 1].
    Raises:
        ValueError: nobody knows this quantity.
    """
    check_quantity(name)
    if name == "vqa_score":
        return vqa_score(logits, torch.tensor([yes, end], device=logits.device))
    if name == "p_yes":
        return p_yes(logits[..., 0, :], yes)
    return alignment(log_odds(logits[..., 0, :], yes, no))


def check_quantity(name: str, knob: str = "quantity") -> None:
    """ValueError: nobody knows this quantity."""
    if name not in QUANTITIES:
        raise ValueError(f"{knob}: unknown {name!r}; known: {', '.join(QUANTITIES)}")


def vqa_score(logits: Tensor, answer: Tensor) -> Tensor:
    """f-bar of one scorer: exp(-mean cross-entropy of the answer including its end token); not the same as `alignment`.

    Args:
        logits: (..., A, vocab) at the positions that predict the answer's tokens. answer: (A,) token ids.
    Returns:
        (...) fp32 in [0, 1].
    """
    predicted = torch.log_softmax(logits.float(), -1)
    picked = predicted.gather(-1, answer.expand(predicted.shape[:-1]).unsqueeze(-1)).squeeze(-1)
    return picked.mean(-1).exp()
