"""What ties leave open: the least and the most that a figure could be under any order of tied scores, and its mean.

A ranking script sorts tied rows by chance or by their place in the file, so one score file has many published numbers.
The figures of `metrics` do not depend on that order; these say how far a number that does may lie from another one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from synvita.evaluate.metrics import Labels, Scores, checked, ranked


class Spread(NamedTuple):
    """Over all orders of the ties: the mean, the least, the most. Equal numbers: ties decide nothing."""

    mean: float
    low: float
    high: float


def mean_of(spreads: Sequence[Spread]) -> Spread:
    """The spread of a mean over queries or groups, whose ties are independent."""
    mean, low, high = (math.fsum(column) / len(spreads) for column in zip(*spreads, strict=True))
    return Spread(mean, low, high)


def left_open(low: float, high: float, mean: float | None = None) -> dict[str, float]:
    """What `results.json` says of a figure's ties; nothing where they decide nothing. `mean`: over all orders."""
    if math.isclose(low, high, rel_tol=0, abs_tol=1e-12):
        return {}
    return {"tie_low": low, "tie_high": high} | ({} if mean is None else {"tie_mean": mean})


def precision_spread(labels: Labels, scores: Scores) -> Spread:
    """Average precision of a ranking, which ties leave open.

    The mean is exact: at place j of a group of m tied rows, p of them positive, behind n rows with h hits, a row is
    positive with probability p / m and then has (j - 1)(p - 1) / (m - 1) positives of its group before it, on average.

    Raises:
        ValueError: no positive, a score that is not finite; names the first bad index.
    """
    truth, values = checked(labels, scores)
    if not truth.any():
        raise ValueError(f"labels: no positive among {truth.size} rows; nothing can be found")
    rows = ranked(truth, values)
    sizes = np.diff([*rows.starts, truth.size])[::-1]  # tied groups, best first
    positives = np.add.reduceat(rows.positive, rows.starts)[::-1]
    sums = [0.0, 0.0, 0.0]
    before = hits = 0
    for size, right in zip(sizes.tolist(), positives.tolist(), strict=True):
        places = np.arange(1, size + 1)
        others = (places - 1) * (right - 1) / (size - 1) if size > 1 else 0.0
        sums[0] += float(np.sum(right / size * (hits + 1 + others) / (before + places)))
        found = hits + np.arange(1, right + 1)
        sums[1] += float(np.sum(found / (before + size - right + np.arange(1, right + 1))))
        sums[2] += float(np.sum(found / (before + np.arange(1, right + 1))))
        before, hits = before + size, hits + right
    return Spread(*(value / hits for value in sums))


def recall_bounds(labels: Labels, scores: Scores, k: int) -> tuple[float, float]:
    """(least, most) of "any positive among the k best rows", each 0.0 or 1.0; the mean is `metrics.recall_at_k`."""
    truth, values = checked(labels, scores)
    places = min(k, values.size)
    last_in = np.sort(values)[values.size - places]
    above, tied = values > last_in, values == last_in
    if truth[above].any():
        return 1.0, 1.0
    right = int(truth[tied].sum())
    wrong = int(tied.sum()) - right
    return float(places - int(above.sum()) > wrong), float(right > 0)


def auc_bounds(labels: Labels, scores: Scores) -> tuple[float, float]:
    """(least, most) of ROC-AUC: tied pairs of a positive and a negative all lost, or all won."""
    truth, values = checked(labels, scores)
    rows = ranked(truth, values)
    totals = np.diff([*rows.starts, truth.size])
    positives = np.add.reduceat(rows.positive, rows.starts)
    negatives = totals - positives
    beaten = np.cumsum(negatives) - negatives
    pairs = int(positives.sum()) * int(negatives.sum())
    if not pairs:
        raise ValueError(f"labels: one class only among {truth.size} rows; ROC-AUC needs both")
    lost = int((positives * beaten).sum())
    return lost / pairs, (lost + int((positives * negatives).sum())) / pairs


def option_credit(correct: int, options: Scores) -> tuple[Spread, float]:
    """Of one question: its spread, and the credit of the authors' rule, by which the first of equal maxima wins."""
    values = np.asarray(options, dtype=np.float64)
    best = values == values.max()
    right, tied = float(best[correct]), int(best.sum())
    spread = Spread(right / tied, right if tied == 1 else 0.0, right)
    return spread, float(int(values.argmax()) == correct)


def over_orders(scores: Sequence[float], value: Callable[[Sequence[float]], float]) -> Spread:
    """The spread of a figure of a few scores (at most 6) over all orders of those that are tied.

    `value` gets scores without ties: ranks, the worst 0.
    """
    count = len(scores)
    if count > 6:
        raise ValueError(f"{count} scores have too many orders; give at most 6")
    if len(set(scores)) == count:
        alone = value(scores)
        return Spread(alone, alone, alone)
    found = []
    for order in itertools.permutations(range(count)):
        places = sorted(range(count), key=lambda i: (scores[i], order[i]))
        found.append(value([float(places.index(i)) for i in range(count)]))
    return Spread(math.fsum(found) / len(found), min(found), max(found))


def over_sides(margins: Sequence[float], value: Callable[[Sequence[bool]], float]) -> Spread:
    """The spread of a figure of a few yes-or-no answers over the sides that margins of exactly 0 may fall on.

    `value` gets the answers, True where the margin is above 0.
    """
    sides = [(False, True) if margin == 0 else (margin > 0,) for margin in margins]
    found = [value(answers) for answers in itertools.product(*sides)]
    return Spread(math.fsum(found) / len(found), min(found), max(found))
