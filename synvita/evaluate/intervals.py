"""Bootstrap intervals over whole groups (videos), as in `metrics` without any dependence on the order of ties."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from synvita.evaluate.metrics import (
    Labels,
    Ranked,
    Scores,
    checked,
    need_rows,
    ranked,
    weighted_aucs,
    weighted_average_precisions,
)

Interval = tuple[float, float]  # low, high; both nan where the data allow no interval
CHUNK_CELLS = 1 << 20  # (draws x rows) held at once by the fast bootstrap: 8 MiB per int64 array


def group_codes(groups: Sequence[Hashable]) -> tuple[NDArray[np.intp], int]:
    """Rows' group numbers in order of first appearance, and how many groups there are."""
    if not len(groups):
        raise ValueError("groups: none given; give one group (the row's video) per row")
    numbers: dict[Hashable, int] = {}
    codes = [numbers.setdefault(group, len(numbers)) for group in groups]
    return np.array(codes, dtype=np.intp), len(numbers)


def group_draws(count: int, draws: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """`draws` samples of `count` groups out of `count`, with replacement: the one source of draws for all intervals."""
    if draws < 1:
        raise ValueError(f"draws is {draws}; a bootstrap needs at least one (1000 is usual)")
    generator = np.random.default_rng(seed)
    return (generator.integers(0, count, size=count) for _ in range(draws))


def percentiles(values: NDArray[np.float64], draws: int, level: float) -> Interval:
    """The middle `level` of the values; nan if over half of the draws gave none, as the rest is a biased remainder."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; give a share between 0 and 1, such as 0.95")
    if 2 * values.size < draws:
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bounds(interval: Interval) -> dict[str, float | None]:
    """{"low", "high"} as JSON has them: an interval that the data do not allow is null, not NaN."""
    low, high = (value if math.isfinite(value) else None for value in interval)
    return {"low": low, "high": high}


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float],
    groups: Sequence[Hashable],
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of any statistic, resampling whole groups.

    Rows of one video share its content and its scorer's mood; resampling rows would pretend that they are independent
    and give an interval far too narrow. With a single group there is no spread to see: the interval has width 0.

    Args:
        statistic: takes row indices (with repeats) and returns a number; a ValueError (one class left) skips the draw.
        groups: (N,) the video of each row.
        draws: resamples.
        seed: the same seed and groups give the same draws, in `auc_interval` too.
        level: share of draws inside the interval.
    Returns:
        (low, high), or (nan, nan) if more than half of the draws were skipped.
    """
    codes, count = group_codes(groups)
    members = [np.flatnonzero(codes == code) for code in range(count)]
    values = []
    for drawn in group_draws(count, draws, seed):
        try:
            values.append(statistic(np.concatenate([members[code] for code in drawn])))
        except ValueError:
            continue
    return percentiles(np.array(values, dtype=np.float64), draws, level)


def drawn_weights(groups: Sequence[Hashable], draws: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """(D, N) how often each row is in each draw, as often as its group was drawn; some draws at a time."""
    codes, count = group_codes(groups)
    samples = group_draws(count, draws, seed)
    chunk = max(1, CHUNK_CELLS // codes.size)
    for first in range(0, draws, chunk):
        taken = [next(samples) for _ in range(min(chunk, draws - first))]
        yield np.stack([np.bincount(drawn, minlength=count) for drawn in taken])[:, codes]


def drawn_aucs(rankings: Sequence[Ranked], groups: Sequence[Hashable], draws: int, seed: int) -> NDArray[np.float64]:
    """(draws, len(rankings)) AUCs, the same draws for every ranking; nan where a class was not drawn."""
    rows = rankings[0].order.size
    if len(groups) != rows:
        raise ValueError(f"{len(groups)} groups for {rows} rows; give one group (the row's video) per row")
    parts = [
        np.stack([weighted_aucs(ranked, weights) for ranked in rankings], axis=1)
        for weights in drawn_weights(groups, draws, seed)
    ]
    return np.concatenate(parts)


def drawn_maps(
    queries: Sequence[tuple[Labels, Scores, Sequence[Hashable]]], draws: int, seed: int
) -> NDArray[np.float64]:
    """(draws,) mAP, videos drawn for all queries together; nan where no query has a right video.

    A query whose right videos were not drawn is left out of a draw.

    Args:
        queries: labels, scores and videos of each.
    """
    rankings = [ranked(*checked(labels, scores)) for labels, scores, _ in queries]
    ends = np.cumsum([len(videos) for _, _, videos in queries])[:-1]
    groups = [video for _, _, videos in queries for video in videos]
    parts = []
    for weights in drawn_weights(groups, draws, seed):
        own = np.split(weights, ends, axis=1)
        each = [weighted_average_precisions(one, some) for one, some in zip(rankings, own, strict=True)]
        precisions = np.stack(each, axis=1)  # (D, queries)
        counted = (~np.isnan(precisions)).sum(axis=1)
        total = np.nansum(precisions, axis=1)
        parts.append(np.divide(total, counted, out=np.full(len(total), math.nan), where=counted > 0))
    return np.concatenate(parts)


def drawn_means(values: Scores, groups: Sequence[Hashable], draws: int, seed: int) -> NDArray[np.float64]:
    """(draws,) means of N numbers, whole groups drawn."""
    numbers = np.asarray(values, dtype=np.float64)
    return np.concatenate([(w @ numbers) / w.sum(axis=1) for w in drawn_weights(groups, draws, seed)])


def auc_interval(
    labels: Labels,
    scores: Scores,
    groups: Sequence[Hashable],
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """`bootstrap` of `roc_auc`, same draws and same numbers, sorting the rows once instead of once per draw.

    Raises:
        ValueError: as `roc_auc`, except that a missing class gives (nan, nan); groups of another length.
    """
    truth, values = checked(labels, scores)
    need_rows(truth)
    aucs = drawn_aucs([ranked(truth, values)], groups, draws, seed)[:, 0]
    return percentiles(aucs[~np.isnan(aucs)], draws, level)


def paired_auc_difference_interval(
    labels: Labels,
    scores_a: Scores,
    scores_b: Scores,
    groups: Sequence[Hashable],
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Interval of AUC(a) - AUC(b) on the same rows, both scored on the same draws.

    Two models find the same videos hard. Overlapping separate intervals can hide a clear difference; pairing removes
    what the models share. An interval that leaves out 0 says which is better.

    Raises:
        ValueError: as `auc_interval`.
    """
    truth, first = checked(labels, scores_a, "scores_a")
    _, second = checked(labels, scores_b, "scores_b")
    need_rows(truth)
    aucs = drawn_aucs([ranked(truth, first), ranked(truth, second)], groups, draws, seed)
    differences = aucs[:, 0] - aucs[:, 1]
    return percentiles(differences[~np.isnan(differences)], draws, level)
