"""What ties leave open, against every order of them, and against the figures recorded on VideoCon's published files."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synvita.evaluate import metrics
from synvita.evaluate.ties import auc_bounds, option_credit, over_orders, over_sides, precision_spread, recall_bounds

DATA = Path(__file__).parents[1] / "data"
FEW = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=6)
WITH_POSITIVE = FEW.filter(lambda rows: any(label for label, _ in rows))


def orders(rows):
    """The labels of every order that sorts by score, best first."""
    found = []
    for order in itertools.permutations(rows):
        found.append([label for label, _ in sorted(order, key=lambda row: -row[1])])
    return found


def precision(labels):
    hits = [i for i, label in enumerate(labels) if label]
    return sum((n + 1) / (i + 1) for n, i in enumerate(hits)) / len(hits)


def columns(rows):
    return [label for label, _ in rows], [score for _, score in rows]


@settings(max_examples=60)
@given(WITH_POSITIVE)
def test_average_precision_spreads_as_over_all_orders(rows):
    every = [precision(labels) for labels in orders(rows)]
    assert precision_spread(*columns(rows)) == pytest.approx((np.mean(every), min(every), max(every)), abs=1e-12)


@settings(max_examples=60)
@given(WITH_POSITIVE, st.integers(1, 7))
def test_recall_is_bounded_by_its_orders(rows, k):
    every = [float(any(labels[:k])) for labels in orders(rows)]
    assert recall_bounds(*columns(rows), k) == (min(every), max(every))


@given(FEW.filter(lambda rows: len({label for label, _ in rows}) == 2))
def test_auc_is_bounded_by_ties_all_lost_and_all_won(rows):
    pairs = [(p, n) for (a, p), (b, n) in itertools.product(rows, rows) if a and not b]
    wanted = sum(p > n for p, n in pairs) / len(pairs), sum(p >= n for p, n in pairs) / len(pairs)
    assert auc_bounds(*columns(rows)) == pytest.approx(wanted, abs=1e-12)


@given(st.lists(st.integers(0, 2), min_size=2, max_size=5), st.integers(0, 4))
def test_an_option_earns_its_share_of_the_equal_maxima_and_the_first_of_them_wins_for_the_authors(scores, place):
    correct = place % len(scores)
    best = [i for i, score in enumerate(scores) if score == max(scores)]
    spread, authors = option_credit(correct, scores)
    assert authors == float(best[0] == correct)
    assert spread == (correct in best and 1 / len(best), best == [correct], correct in best)
    assert spread.mean == metrics.accuracy([correct], [scores])


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=4))
def test_orders_of_a_few_scores_are_all_equally_likely(scores):
    noise = [np.array(scores) + np.array(order) / 10 for order in itertools.permutations(range(len(scores)))]
    every = [float(np.argmax(values)) for values in noise]
    found = over_orders(scores, lambda ranks: float(np.argmax(ranks)))
    assert found == pytest.approx((np.mean(every), min(every), max(every)))


def test_an_answer_that_says_neither_falls_on_both_sides():
    assert over_sides([1.0, -1.0, 0.0], lambda yes: float(sum(yes))) == (1.5, 1.0, 2.0)
    assert over_sides([0.0, 0.0], lambda yes: float(all(yes))) == (0.25, 0.0, 1.0)


def test_more_scores_than_can_be_ordered_are_refused():
    with pytest.raises(ValueError, match="7 scores have too many orders"):
        over_orders([0.0] * 7, lambda ranks: 0.0)


def test_the_published_files_spread_as_recorded():
    """Bounds as recorded beside the official scripts' figures; their mean over draws of orders has sd 0.48 points."""
    with np.load(DATA / "videocon_ssv2_temporal_scores.npz") as ssv2:
        caption, labels, scores = ssv2["caption"], ssv2["label"], ssv2["score"]
    spreads = [precision_spread(labels[caption == c], scores[caption == c]) for c in np.unique(caption)]
    mean, low, high = 100 * np.mean(spreads, axis=0)
    assert low == pytest.approx(11.6464, abs=5e-5) and high == pytest.approx(21.8669, abs=5e-5)
    assert mean == pytest.approx(15.58, abs=0.02)
    with np.load(DATA / "videocon_atp_hard_scores.npz") as atp:
        credits = [option_credit(int(a), s) for a, s in zip(atp["answer"], atp["score"], strict=True)]
    assert 100 * np.mean([authors for _, authors in credits]) == pytest.approx(41.052060737527114, rel=1e-12)
    mean, low, high = 100 * np.mean([spread for spread, _ in credits], axis=0)
    assert (low, high, mean) == pytest.approx((35.4664, 47.9393, 41.2961), abs=5e-5)
