"""A batch of examples -> the loss of Eq. 7, with every video's questions packed behind one visual prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from synvita.core.alignment import alignment, log_odds
from synvita.core.packing import Segment, pack
from synvita.train.losses import answer_loss, consistency_loss, total_loss
from synvita.train.prepare import Prepared, Question
from synvita.videollm.packed import hidden_states, prefix_segment, together
from synvita.videollm.protocol import Media


@dataclass(frozen=True)
class Counts:
    """What the sums are divided by: the real and the synthetic answer loss, each by a number of answer tokens; and
    Eq. 6 by pairs."""

    real: float
    synthetic: float
    pairs: int


def count(batch: Sequence[Prepared], normaliser: str = "global") -> Counts:
    """Of a whole batch. Clips of weight zero count, too, as in the authors' code (unless `weighted`)."""
    real = synthetic = 0.0
    for example in batch:
        for q in example.questions:
            if q.synthetic:
                synthetic += len(q.answer) * (q.weight if normaliser == "weighted" else 1)
            else:
                real += len(q.answer)
    if normaliser != "separate":  # one N for both, as the authors' code has it
        real = synthetic = real + synthetic
    return Counts(real, synthetic, sum(len(example.pairs) for example in batch))


@dataclass(frozen=True)
class Row:
    """One video of one example: its questions (by number in the example), and those that have a twin."""

    example: int
    video: str
    questions: list[int]
    twins: list[int]


def rows_of(batch: Sequence[Prepared], consistency: bool) -> list[Row]:
    """What must be computed. A clip of weight zero adds nothing to any loss or gradient and is left out."""
    rows = []
    for e, example in enumerate(batch):
        paired = (
            {i for p in example.pairs if p.weight > 0 for i in (p.aligned, p.counterpart)} if consistency else set()
        )
        by_video: dict[str, list[int]] = {}
        for i, q in enumerate(example.questions):
            if q.weight > 0:
                by_video.setdefault(q.video, []).append(i)
        rows += [Row(e, video, some, [i for i in some if i in paired]) for video, some in by_video.items()]
    return rows


def common_start(questions: list[Question]) -> int:
    """How many leading tokens all these questions share, none of them hidden in a twin."""
    stop = min(min([len(q.ids) - 1, *(q.hidden or [])]) for q in questions)
    first = questions[0].ids
    for q in questions[1:]:
        stop = next((i for i in range(stop) if q.ids[i] != first[i]), stop)
    return stop


def row_segments(media: Media, questions: list[Question], twins: list[Question]) -> list[Segment]:
    """[prefix, question + answer ..., twin ...]; the end token of an answer is predicted, never read."""
    stop = common_start(questions)
    segments = [prefix_segment(media, questions[0].ids[:stop])]
    segments += [Segment([*q.ids[stop:], *q.answer[:-1]], 0) for q in questions]
    segments += [Segment(q.ids[stop:], 0, [i - stop for i in q.hidden or []]) for q in twins]
    return segments


def objective(
    model: Any,
    batch: Sequence[Prepared],
    media: Mapping[str, Media],
    consistency_weight: float = 0.0,
    margin: float = 0.2,
    counts: Counts | None = None,
) -> dict[str, Tensor]:
    """Eq. 7 on a batch.

    Args:
        media: of every video of the batch. counts: of the whole optimiser batch, if this is a part of it; parts then
            add up to the whole batch's loss and gradient.
    Returns:
        {"loss", "real", "synthetic", "consistency"}: scalars.
    """
    counts = counts or count(batch)
    rows = rows_of(batch, consistency_weight > 0)
    picked = [[batch[row.example].questions[i] for i in row.questions] for row in rows]
    twins = [[batch[row.example].questions[i] for i in row.twins] for row in rows]
    shown = [media[row.video] for row in rows]
    built = [row_segments(m, q, t) for m, q, t in zip(shown, picked, twins, strict=True)]
    packed = pack(built)
    wanted = Wanted()
    for r, row in enumerate(rows):
        ends = [start + len(segment.ids) for start, segment in zip(packed.starts[r], built[r], strict=True)]
        for end, i in zip(ends[1:], row.questions, strict=False):
            q = batch[row.example].questions[i]
            wanted.answer((row.example, i), r, end - len(q.answer), q)
        for end, i in zip(ends[1 + len(row.questions) :], row.twins, strict=True):
            wanted.twin((row.example, i), r, end - 1)
    read: list[list[int]] = [[] for _ in rows]
    places = []
    for r, column in wanted.answers_at + wanted.twins_at:
        places.append(len(read[r]))
        read[r].append(column)
    hidden = hidden_states(model.language, packed, model.placeholder, *together(shown), read=read)
    logits = model.logits(hidden[[r for r, _ in wanted.answers_at + wanted.twins_at], places])
    losses = answers(logits[: len(wanted.targets)], wanted, counts)
    consistency = pairs(model, logits, batch, wanted, margin, counts) if consistency_weight else logits.sum() * 0
    loss = total_loss(*losses, consistency, consistency_weight)
    return {"loss": loss, "real": losses[0], "synthetic": losses[1], "consistency": consistency}


class Wanted:
    """The positions whose logits are needed, and what they are compared with."""

    def __init__(self) -> None:
        self.answers_at: list[tuple[int, int]] = []  # (row, column)
        self.targets: list[int] = []
        self.weights: list[float] = []
        self.synthetic: list[bool] = []
        self.twins_at: list[tuple[int, int]] = []
        self.first: dict[tuple[int, int], int] = {}  # (example, question) -> where its answer begins in `answers_at`
        self.twin_of: dict[tuple[int, int], int] = {}  # ... -> where its twin is in `twins_at`

    def answer(self, key: tuple[int, int], row: int, column: int, q: Question) -> None:
        self.first[key] = len(self.answers_at)
        self.answers_at += [(row, column + j) for j in range(len(q.answer))]
        self.targets += q.answer
        self.weights += [q.weight] * len(q.answer)
        self.synthetic += [q.synthetic] * len(q.answer)

    def twin(self, key: tuple[int, int], row: int, column: int) -> None:
        self.twin_of[key] = len(self.twins_at)
        self.twins_at.append((row, column))


def answers(logits: Tensor, wanted: Wanted, counts: Counts) -> tuple[Tensor, Tensor]:
    """Eq. 2 and Eq. 5: (real, synthetic)."""
    synthetic = torch.tensor(wanted.synthetic, device=logits.device)
    target = torch.tensor(wanted.targets, device=logits.device)
    weight = torch.tensor(wanted.weights, device=logits.device)
    real = answer_loss(logits[~synthetic], target[~synthetic], None, counts.real)
    return real, answer_loss(logits[synthetic], target[synthetic], weight[synthetic], counts.synthetic)


def pairs(
    model: Any, logits: Tensor, batch: Sequence[Prepared], wanted: Wanted, margin: float, counts: Counts
) -> Tensor:
    """Eq. 6: the mean over all pairs, of which those of weight zero were not computed."""
    odds = log_odds(logits, model.questioner.answers.yes, model.questioner.answers.no)
    chosen = [(e, p) for e, example in enumerate(batch) for p in example.pairs if p.weight > 0]
    columns = []
    for side in ("aligned", "counterpart"):
        keys = [(e, getattr(p, side)) for e, p in chosen]
        columns.append(alignment(odds[[wanted.first[key] for key in keys]]))
        columns.append(alignment(odds[[len(wanted.targets) + wanted.twin_of[key] for key in keys]]))
    weights = torch.tensor([p.weight for _, p in chosen], device=logits.device)
    aligned_full, aligned_shared, other_full, other_shared = columns
    loss = consistency_loss(aligned_full, aligned_shared, other_full, other_shared, weights, margin)
    return loss * (len(chosen) / max(1, counts.pairs))
