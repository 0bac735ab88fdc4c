"""A batch of examples -> the loss of Eq. 7, with every video's questions packed behind one visual prefix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from synvita.core.alignment import alignment, log_odds
from synvita.core.packing import Segment, pack
from synvita.core.question import Asked
from synvita.train.examples import Example
from synvita.train.losses import answer_loss, consistency_loss, total_loss
from synvita.train.shared_semantics import keep_mask
from synvita.videollm.packed import hidden_states, prefix_segment, together
from synvita.videollm.protocol import Media
from synvita.videollm.scoring import shared_length


@dataclass(frozen=True)
class Questions:
    """Both captions of a triplet, tokenised, and the positions that their masked twins hide."""

    asked: tuple[Asked, Asked]
    hidden: tuple[list[int], list[int]]


def prepare(questioner: Any, example: Example, level: str) -> Questions:
    """Tokenise t^r and t^s once and find what each has that the other lacks."""
    source, target = questioner.ask(example.caption), questioner.ask(example.negative_caption)
    hidden = []
    for mine, other in ((source, target), (target, source)):
        start, stop = mine.caption
        keep = keep_mask(mine.ids[start:stop], other.ids[slice(*other.caption)], level)
        hidden.append([start + i for i in range(stop - start) if not keep[i]])
    return Questions((source, target), (hidden[0], hidden[1]))


def row_segments(model: Any, questions: Questions, media: Media, real: bool, twins: bool) -> list[Segment]:
    """[prefix, t^r + answer, t^s + answer, twin of t^r, twin of t^s]; V^r answers Yes to t^r, V^s to t^s."""
    answers, asked = model.questioner.answers, questions.asked
    stop = shared_length(asked)
    truth = (answers.yes, answers.no) if real else (answers.no, answers.yes)
    rows = [prefix_segment(media, asked[0].ids[:stop])]
    rows += [Segment([*a.ids[stop:], word], 0) for a, word in zip(asked, truth, strict=True)]
    if twins:
        for a, hidden in zip(asked, questions.hidden, strict=True):
            rows.append(Segment(a.ids[stop:], 0, [i - stop for i in hidden]))
    return rows


def objective(
    model: Any,
    batch: list[tuple[Example, Questions]],
    media: list[Media],
    consistency_weight: float = 0.0,
    margin: float = 0.2,
) -> dict[str, Tensor]:
    """Eq. 7 on a batch.

    Args:
        batch: examples with their questions; those with a clip first or mixed, any order.
        media: the real videos of the batch in order, then its synthetic ones in order.
    Returns:
        {"loss", "real", "synthetic", "consistency"}: scalars.
    """
    pairs = [i for i, (example, _) in enumerate(batch) if example.synthetic_video is not None]
    twins = consistency_weight > 0 and bool(pairs)
    questions = [q for _, q in batch] + [batch[i][1] for i in pairs]
    built = [
        row_segments(model, q, m, r < len(batch), twins) for r, (q, m) in enumerate(zip(questions, media, strict=True))
    ]
    packed = pack(built)
    hidden = hidden_states(model.language, packed, model.placeholder, *together(media))
    answers = model.questioner.answers
    rows, columns, targets = [], [], []
    for r, parts in enumerate(built):
        for s in (1, 2):
            last = packed.starts[r][s] + len(parts[s].ids) - 1
            rows += [r, r]
            columns += [last - 1, last]
            targets += [parts[s].ids[-1], answers.end]
    wanted = (
        [(r, packed.starts[r][s] + len(built[r][s].ids) - 1) for r in range(len(built)) for s in (3, 4)]
        if twins
        else []
    )
    at_rows = torch.tensor(rows + [r for r, _ in wanted])
    at_columns = torch.tensor(columns + [c for _, c in wanted])
    logits = model.logits(hidden[at_rows, at_columns])
    n, split = len(targets), 4 * len(batch)
    target = torch.tensor(targets)
    weight = torch.tensor([batch[i][0].weight for i in pairs])
    real = answer_loss(logits[:split], target[:split], None, n)
    synthetic = answer_loss(logits[split:n], target[split:], weight.repeat_interleave(4), n)
    consistency = logits.sum() * 0
    if twins:
        odds = log_odds(logits, answers.yes, answers.no)
        full = alignment(odds[0:n:2]).view(-1, 2)  # (rows, captions)
        shared = alignment(odds[n:]).view(-1, 2)
        r, s = torch.tensor(pairs), torch.arange(len(pairs)) + len(batch)
        aligned = torch.cat([full[r, 0], full[s, 1]]), torch.cat([shared[r, 0], shared[s, 1]])
        other = torch.cat([full[s, 0], full[r, 1]]), torch.cat([shared[s, 0], shared[r, 1]])
        consistency = consistency_loss(*aligned, *other, weight.repeat(2), margin)
    loss = total_loss(real, synthetic, consistency, consistency_weight)
    return {"loss": loss, "real": real, "synthetic": synthetic, "consistency": consistency}
