"""Figures of minimal-pair sets: a group of pairs counts only where the model is right about all that it asks.

Every group has a value and a spread over its ties; `authors` is the rule of the set's own script, by which a tie is
wrong. A figure is the mean over groups. Fractions in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from synvita.evaluate.ties import Spread, over_orders, over_sides

Grid = Sequence[Sequence[float]]  # 2 x 2: caption by video; caption i is right for video i
YES = (True, False, False, True)  # what a grid of yes-or-no answers is to be


class Credit(NamedTuple):
    """What a group earns for one figure."""

    spread: Spread
    authors: float


def counterfactual(scores: Grid) -> dict[str, Credit]:
    """Vinoground's three scores of one group of two captions and two videos (as Winoground's).

    text: for each video its own caption scores higher; video: for each caption its own video does; group: both.

    Args:
        scores: 2 x 2, finite; [i][j] of caption i and video j.
    Raises:
        ValueError: another shape, or a score that is not finite.
    """
    flat = _grid(scores)
    ways = {"text": _text, "video": _video, "group": _both}
    return {name: Credit(over_orders(flat, way), way(flat)) for name, way in ways.items()}


def _text(s: Sequence[float]) -> float:
    return float(s[0] > s[2] and s[3] > s[1])


def _video(s: Sequence[float]) -> float:
    return float(s[0] > s[1] and s[3] > s[2])


def _both(s: Sequence[float]) -> float:
    return _text(s) * _video(s)


def yes_no(margins: Grid) -> dict[str, Credit]:
    """TimeBlind's four accuracies of one instance: two questions about two videos, answered yes or no.

    accuracy: share of the four answers; text: share of questions right for both videos (its Q_Acc); video: share of
    videos right for both questions (V_Acc); group: all four (I_Acc, the set's main figure).

    Args:
        margins: 2 x 2, finite; above 0 where the model says yes to question i about video j. Question i is to be
            answered yes for video i, no for the other.
    """
    flat = _grid(margins)
    decided = [margin != 0 and (margin > 0) == wanted for margin, wanted in zip(flat, YES, strict=True)]
    shares: dict[str, Callable[[Sequence[bool]], float]] = {
        "accuracy": lambda right: sum(right) / 4,
        "text": lambda right: ((right[0] and right[1]) + (right[2] and right[3])) / 2,
        "video": lambda right: ((right[0] and right[2]) + (right[1] and right[3])) / 2,
        "group": lambda right: float(all(right)),
    }
    return {
        name: Credit(over_sides(flat, lambda yes, share=share: share(_right(yes))), share(decided))  # type: ignore[misc]
        for name, share in shares.items()
    }


def _right(yes: Sequence[bool]) -> list[bool]:
    return [answer == wanted for answer, wanted in zip(yes, YES, strict=True)]


def strict_entailment(labels: Sequence[int], margins: Sequence[float]) -> dict[str, Credit]:
    """VELOCITI's two figures of one video with right and wrong captions, and VITATECS's one.

    strict: every right caption is entailed (margin above 0) and no wrong one is. accuracy: every right caption scores
    higher than every wrong one (VELOCITI calls that classic, for VITATECS it is the figure).

    Raises:
        ValueError: no right or no wrong caption; a margin that is not finite; over 6 captions.
    """
    truth, given = [label == 1 for label in labels], [float(margin) for margin in margins]
    if all(truth) or not any(truth):
        raise ValueError(f"{sum(truth)} of {len(truth)} captions are right; a group needs a right and a wrong one")
    _need_finite(given)

    def in_order(scores: Sequence[float]) -> float:
        right = [score for score, is_right in zip(scores, truth, strict=True) if is_right]
        return float(min(right) > max(score for score, is_right in zip(scores, truth, strict=True) if not is_right))

    strict = all(m != 0 and (m > 0) == is_right for m, is_right in zip(given, truth, strict=True))
    return {
        "strict": Credit(over_sides(given, lambda yes: float(list(yes) == truth)), float(strict)),
        "accuracy": Credit(over_orders(given, in_order), in_order(given)),
    }


def _grid(scores: Grid) -> list[float]:
    if [len(row) for row in scores] != [2, 2]:
        raise ValueError(f"scores {scores}: a group is two captions by two videos")
    flat = [float(score) for row in scores for score in row]
    _need_finite(flat)
    return flat


def _need_finite(values: Sequence[float]) -> None:
    if not all(map(math.isfinite, values)):
        raise ValueError(f"scores {values}: not finite; leave such a group out")
