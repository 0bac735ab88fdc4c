"""Examples -> token ids: what is asked, what is answered, and what the masked twins hide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synvita.train.examples import OPPOSITE, Example, Pair
from synvita.train.shared_semantics import keep_mask


@dataclass(frozen=True)
class Question:
    """ids: the prompt behind the video. answer: the answer's ids and its end token, all of which count in the loss.

    hidden: positions in `ids` that the masked twin (t') hides; None if there is no twin.
    """

    video: str
    ids: list[int]
    answer: list[int]
    hidden: list[int] | None
    synthetic: bool
    weight: float


@dataclass(frozen=True)
class Prepared:
    """An example, tokenised; questions and pairs as in `Example`."""

    id: str
    questions: tuple[Question, ...]
    pairs: tuple[Pair, ...]


def prepare(questioner: Any, example: Example, level: str = "token") -> Prepared:
    """Tokenise an example's questions once and find what each caption has that the other lacks."""
    paired = {i for pair in example.pairs for i in (pair.aligned, pair.counterpart)}
    questions = []
    for i, line in enumerate(example.lines):
        hidden = None
        if line.answer in OPPOSITE:
            asked = questioner.ask(line.caption)
            ids, answers = asked.ids, questioner.answers
            answer = [answers.yes if line.answer == "Yes" else answers.no, answers.end]
            if i in paired:
                start, stop = asked.caption
                other = questioner.ask(line.other)
                keep = keep_mask(ids[start:stop], other.ids[slice(*other.caption)], level)
                hidden = [start + j for j in range(stop - start) if not keep[j]]
        else:
            ids, answer = questioner.explain(line.caption), questioner.answer_ids(line.answer)
        questions.append(Question(line.video, ids, answer, hidden, line.synthetic, line.weight))
    return Prepared(example.id, tuple(questions), example.pairs)
