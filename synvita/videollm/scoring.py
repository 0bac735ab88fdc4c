"""Ask a video LLM how well captions fit videos: one prefix per video, all its captions behind it, one prefill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from synvita.core.alignment import log_odds
from synvita.core.packing import Segment, pack
from synvita.core.question import Asked


def shared_length(asked: Sequence[Asked]) -> int:
    """How many leading tokens all the questions share, at most up to the first caption token."""
    stop = min(a.caption[0] for a in asked)
    first = asked[0].ids
    for a in asked[1:]:
        stop = next((i for i in range(stop) if a.ids[i] != first[i]), stop)
    return stop


def expand(ids: list[int], placeholder: int, visual: int) -> list[int]:
    """The one placeholder token -> as many as there are visual tokens."""
    at = ids.index(placeholder)
    return [*ids[:at], *[placeholder] * visual, *ids[at + 1 :]]


def question_segments(
    model: Any, asked: Sequence[Asked], visual: int, hidden: Sequence[Sequence[int]] | None = None
) -> list[Segment]:
    """[shared prefix, question 1, question 2, ...]; `hidden[i]`: positions in `asked[i].ids` nobody may look at."""
    stop = shared_length(asked)
    rows = [Segment(expand(asked[0].ids[:stop], model.placeholder, visual))]
    for i, a in enumerate(asked):
        rows.append(Segment(a.ids[stop:], 0, [j - stop for j in hidden[i]] if hidden else []))
    return rows


@torch.no_grad()
def score_packed(model: Any, visual: Tensor, questions: list[list[Asked]]) -> list[Tensor]:
    """Log-odds (fp32) of each video's questions. visual: (B, V, width)."""
    built = [question_segments(model, asked, visual.shape[1]) for asked in questions]
    packed = pack(built, pad=0)
    hidden = model.hidden(packed, visual)
    rows = [b for b, parts in enumerate(built) for _ in parts[1:]]
    ends = [packed.starts[b][s] + len(parts[s].ids) - 1 for b, parts in enumerate(built) for s in range(1, len(parts))]
    answers = model.questioner.answers
    odds = log_odds(model.logits(hidden[torch.tensor(rows), torch.tensor(ends)]), answers.yes, answers.no).cpu()
    return list(odds.split([len(asked) for asked in questions]))


def score_captions(
    model: Any, visual: Tensor, captions: list[list[str]], rows_at_once: int = 32, questions_at_once: int = 32
) -> list[Tensor]:
    """Log-odds of captions per video, whatever their number: long lists go in parts, short videos together.

    Args:
        visual: (B, V, width). captions: per video, the captions to ask.
    Returns:
        per video (N,) fp32 log-odds, in the order asked.
    """
    parts: list[tuple[int, list[Asked]]] = []
    for b, texts in enumerate(captions):
        asked = [model.questioner.ask(text) for text in texts]
        parts += [(b, asked[i : i + questions_at_once]) for i in range(0, len(asked), questions_at_once)]
    scores: list[list[Tensor]] = [[] for _ in captions]
    for i in range(0, len(parts), rows_at_once):
        some = parts[i : i + rows_at_once]
        got = score_packed(model, visual[[b for b, _ in some]], [asked for _, asked in some])
        for (b, _), odds in zip(some, got, strict=True):
            scores[b].append(odds)
    return [torch.cat(found) if found else torch.empty(0) for found in scores]
