"""Figures of minimal-pair sets: a group of pairs counts only where the model is right about all that it asks.

Every group has a value and a spread over its ties; `authors` is the rule of the set's own script, by which a tie is
wrong. A figure is the mean over groups. Fractions in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synvita.evaluate.ties import Spread, over_orders, over_sides

Grid = Sequence[Sequence[float]] | NDArray  # (2, 2): caption by video; caption i is right for video i


class Credit(NamedTuple):
    """What a group earns for one figure."""

    spread: Spread
    authors: float


def counterfactual(scores: Grid) -> dict[str, Credit]:
    """Vinoground's three scores of one group of two captions and two videos (as Winoground's).

    text: for each video its own caption scores higher; video: for each caption its own video does; group: both.

    Args:
        scores: (2, 2), finite; [i][j] of caption i and video j.
    Raises:
        ValueError: another shape, or a score that is not finite.
    """
    flat = _grid(scores)
    ways = {"text": _text, "video": _video, "group": lambda s: _text(s) * _video(s)}
    return {name: Credit(over_orders(flat.tolist(), way), way(flat)) for name, way in ways.items()}


def _text(s: NDArray[np.float64]) -> float:
    return float(s[0] > s[2] and s[3] > s[1])


def _video(s: NDArray[np.float64]) -> float:
    return float(s[0] > s[1] and s[3] > s[2])


def yes_no(margins: Grid) -> dict[str, Credit]:
    """TimeBlind's four accuracies of one instance: two questions about two videos, answered yes or no.

    accuracy: share of the four answers; text: share of questions right for both videos (its Q_Acc); video: share of
    videos right for both questions (V_Acc); group: all four (I_Acc, the set's main figure).

    Args:
        margins: (2, 2), finite; above 0 where the model says yes to question i about video j. Question i is to be
            answered yes for video i, no for the other.
    """
    flat = _grid(margins)
    right = np.array([True, False, False, True])
    shares = {
        "accuracy": lambda r: float(r.mean()),
        "text": lambda r: (float(r[0] and r[1]) + float(r[2] and r[3])) / 2,
        "video": lambda r: (float(r[0] and r[2]) + float(r[1] and r[3])) / 2,
        "group": lambda r: float(r.all()),
    }
    strict = (flat != 0) & ((flat > 0) == right)  # an answer that says neither is wrong
    return {
        name: Credit(over_sides(flat.tolist(), lambda yes, share=share: share(yes == right)), share(strict))  # type: ignore[misc]
        for name, share in shares.items()
    }


def strict_entailment(labels: Sequence[int], margins: Sequence[float]) -> dict[str, Credit]:
    """VELOCITI's two figures of one video with right and wrong captions, and VITATECS's one.

    strict: every right caption is entailed (margin above 0) and no wrong one is. accuracy: every right caption scores
    higher than every wrong one (VELOCITI calls that classic, for VITATECS it is the figure).

    Raises:
        ValueError: no right or no wrong caption; a margin that is not finite; over 6 captions.
    """
    truth = np.asarray(labels) == 1
    given = np.asarray(margins, dtype=np.float64)
    if truth.all() or not truth.any():
        raise ValueError(
            f"{int(truth.sum())} of {truth.size} captions are right; a group needs a right and a wrong one"
        )
    if not np.isfinite(given).all():
        raise ValueError(f"scores {given.tolist()}: not finite; leave such a group out")
    strict = float(((given > 0) == truth).all() and (given != 0).all())
    ranked = lambda s: float(s[truth].min() > s[~truth].max())  # noqa: E731
    return {
        "strict": Credit(over_sides(given.tolist(), lambda yes: float((yes == truth).all())), strict),
        "accuracy": Credit(over_orders(given.tolist(), ranked), ranked(given)),
    }


def _grid(scores: Grid) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (2, 2):
        raise ValueError(f"scores have shape {values.shape}; a group is two captions by two videos")
    if not np.isfinite(values).all():
        raise ValueError(f"scores {values.tolist()}: not finite; leave such a group out")
    return values.ravel()
