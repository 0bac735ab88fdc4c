"""Ranking and answer metrics that do not depend on the order of ties.

bf16 scores tie so often (24 distinct values in the 3,888 published SSv2-Temporal rows) that an
unstable sort alone moves the published mAP by several points. Everything here is a function of the
scores only: tied rows are one threshold, share a rank, or are averaged over all their orders.
Figures are fractions in [0, 1], not percent.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Labels = Sequence[int] | NDArray  # (N,), 0 or 1
Scores = Sequence[float] | NDArray  # (N,), finite; higher means "entails"


# ---------------------------------------------------------------------------------------- checks


def _finite(scores: Scores, name: str = "scores") -> NDArray[np.float64]:
    """(N,) float64; a missing or infinite score is refused by index instead of being ranked somewhere."""
    values = np.asarray(scores, dtype=np.float64)  # None becomes nan
    if values.ndim != 1:
        raise ValueError(f"{name}: shape {values.shape}; give one number per row, shape (N,)")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        index = int(bad[0])
        raise ValueError(
            f"{name}[{index}] is {scores[index]}, not a finite number ({bad.size} such of {values.size}); "
            "score that row, or leave it out and count it as missing"
        )
    return values


def checked(labels: Labels, scores: Scores, name: str = "scores") -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Labels as (N,) bool and scores as (N,) float64, of one length; names the first bad index."""
    values = _finite(scores, name)
    numbers = np.asarray(labels, dtype=np.float64)
    if numbers.shape != values.shape:
        raise ValueError(f"labels have shape {numbers.shape}, {name} {values.shape}; give one of each per row")
    bad = np.flatnonzero((numbers != 0) & (numbers != 1))
    if bad.size:
        index = int(bad[0])
        raise ValueError(f"labels[{index}] is {labels[index]}; a label is 1 (caption entailed) or 0 (not)")
    return numbers == 1, values


def _need_positive(labels: NDArray[np.bool_]) -> None:
    if not labels.any():
        raise ValueError(
            f"labels: no positive among {labels.size} rows; leave such a query out, nothing can be found for it"
        )


def need_rows(labels: NDArray[np.bool_]) -> None:
    if not labels.size:
        raise ValueError("labels: no rows given; an interval needs at least one row")


# --------------------------------------------------------------------------------------- ROC-AUC


class Ranked(NamedTuple):
    """Rows sorted by score once, so that any number of weightings can be evaluated without sorting again."""

    order: NDArray[np.intp]  # (N,) rows by ascending score
    starts: NDArray[np.intp]  # (U,) where each distinct score begins in `order`
    positive: NDArray[np.int64]  # (N,) 0 or 1, in `order`


def ranked(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> Ranked:
    order = np.argsort(scores, kind="stable")
    ascending = scores[order]
    starts = np.flatnonzero(np.concatenate(([True], ascending[1:] != ascending[:-1])))
    return Ranked(order, starts, labels[order].astype(np.int64))


def weighted_aucs(ranked: Ranked, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """ROC-AUC under integer row weights: a row of weight 3 counts as three equal rows.

    Counts twice the won pairs (2 a win, 1 a tie) in integers, so two routes to one sample agree to the last bit.

    Args:
        ranked: the rows, sorted.
        weights: (D, N), >= 0, in the order of the unsorted rows.
    Returns:
        (D,) in [0, 1]; nan where one class weighs nothing.
    """
    rows = weights[:, ranked.order]
    totals = np.add.reduceat(rows, ranked.starts, axis=1)  # (D, U) per distinct score
    positives = np.add.reduceat(rows * ranked.positive, ranked.starts, axis=1)
    negatives = totals - positives
    twice_beaten = 2 * np.cumsum(negatives, axis=1) - negatives  # all negatives below, plus half of the tied
    wins = (positives * twice_beaten).sum(axis=1)
    pairs = 2 * positives.sum(axis=1) * negatives.sum(axis=1)
    return np.divide(wins, pairs, out=np.full(len(weights), math.nan), where=pairs > 0)


def roc_auc(labels: Labels, scores: Scores) -> float:
    """Probability that a random positive outranks a random negative; a tie counts half.

    Raises:
        ValueError: one class only, a missing or infinite score, a label other than 0 or 1; names the first bad index.
    """
    truth, values = checked(labels, scores)
    if truth.all() or not truth.any():
        raise ValueError(
            f"labels: {int(truth.sum())} positives among {truth.size} rows; ROC-AUC needs at least one of each class"
        )
    return float(weighted_aucs(ranked(truth, values), np.ones((1, truth.size), dtype=np.int64))[0])


# ------------------------------------------------------------------------------------- retrieval


def average_precision(labels: Labels, scores: Scores) -> float:
    """Precision averaged over the positives, where tied rows enter together, as one threshold.

    That is scikit-learn's definition. The authors' script breaks ties by an unstable sort instead: without ties the
    two agree, with ties theirs is a matter of chance (11.6 to 21.9 % mAP on VideoCon's published SSv2-Temporal file).

    Raises:
        ValueError: no positive, a missing or infinite score, a label other than 0 or 1; names the first bad index.
    """
    from sklearn.metrics import average_precision_score

    truth, values = checked(labels, scores)
    _need_positive(truth)
    return float(average_precision_score(truth, values))


def weighted_average_precisions(ranked: Ranked, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """`average_precision` under integer row weights, for all weightings at once: a row of weight 3 is three equal rows.

    Args:
        ranked: the rows, sorted.
        weights: (D, N), >= 0, in the order of the unsorted rows.
    Returns:
        (D,) in [0, 1]; nan where the positives weigh nothing.
    """
    rows = weights[:, ranked.order]
    taken = np.add.reduceat(rows, ranked.starts, axis=1)[:, ::-1].cumsum(axis=1)  # (D, U), highest score first
    entering = np.add.reduceat(rows * ranked.positive, ranked.starts, axis=1)[:, ::-1]
    hits = entering.cumsum(axis=1)
    precision = np.divide(hits, taken, out=np.zeros(hits.shape), where=taken > 0)
    return np.divide(
        (entering * precision).sum(axis=1), hits[:, -1], out=np.full(len(weights), math.nan), where=hits[:, -1] > 0
    )


def mean_average_precision(queries: Sequence[tuple[Labels, Scores]]) -> float:
    """`average_precision` averaged over the queries (captions), each weighing the same.

    Raises:
        ValueError: no query, or one without an average precision; names its index.
    """
    if not len(queries):
        raise ValueError("queries: none given; a mean needs at least one")
    values = []
    for index, (labels, scores) in enumerate(queries):
        try:
            values.append(average_precision(labels, scores))
        except ValueError as error:
            raise ValueError(f"queries[{index}]: {error}") from error
    return math.fsum(values) / len(values)


def recall_at_k(labels: Labels, scores: Scores, k: int) -> float:
    """1.0 if any positive is among the k best rows, 0.0 if none; between them where ties decide.

    With s places left for m tied rows, p of them positive, a random order leaves every positive out with
    probability C(m-p, s) / C(m, s) (hypergeometric); the value is the expectation, one minus that.
    A k beyond the number of rows takes them all.

    Raises:
        ValueError: k < 1, no positive, a missing or infinite score; names the first bad index.
    """
    if k < 1:
        raise ValueError(f"k is {k}; the top k needs k >= 1")
    truth, values = checked(labels, scores)
    _need_positive(truth)
    places = min(k, values.size)
    last_in = np.sort(values)[values.size - places]
    above, tied = values > last_in, values == last_in
    if truth[above].any():
        return 1.0
    left, m, p = places - int(above.sum()), int(tied.sum()), int(truth[tied].sum())
    return 1.0 - math.comb(m - p, left) / math.comb(m, left)


# ---------------------------------------------------------------------------- question answering


def accuracy(correct_option: Sequence[int], option_scores: Sequence[Sequence[float]]) -> float:
    """Share of questions whose right option scores highest; a tie of m maxima that includes it counts 1/m.

    The authors' script takes the first maximum, which rewards whichever option is listed first: on VideoCon's published
    ATP-Hard file 363 of 1,844 questions tie.

    Args:
        correct_option: Q indices, counted from 0.
        option_scores: Q rows, one score per option; rows may differ in length.
    Raises:
        ValueError: no question, lengths differ, a missing score, an index outside its options; names the first such.
    """
    if len(correct_option) != len(option_scores):
        raise ValueError(
            f"{len(correct_option)} correct options for {len(option_scores)} rows of scores; give one each"
        )
    if not len(correct_option):
        raise ValueError("option_scores: no question given; a mean needs at least one")
    credits = []
    for index, (correct, options) in enumerate(zip(correct_option, option_scores, strict=True)):
        values = _finite(options, f"option_scores[{index}]")
        if not 0 <= correct < values.size:
            raise ValueError(f"correct_option[{index}] is {correct}; that question has options 0 to {values.size - 1}")
        best = values == values.max()
        credits.append(float(best[correct]) / int(best.sum()))
    return math.fsum(credits) / len(credits)
