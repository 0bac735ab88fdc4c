"""The metrics against naive loops, closed forms, and the figures of the authors' own scripts.

Data: `tests/data/videocon_*.npz` come from the score files that VideoCon publishes under the MIT licence
(its folder datasets/, commit 9a69520874644325f499cdaefd4eb2858048e350).
- videocon_ssv2_temporal_scores.npz: eval_ssv2_temporal_scores.csv in its own row order, column 3 as `score`, joined on
  (path, prompt) with eval_ssv2_temporal.csv's `match` as `label`; captions and paths numbered by first appearance.
- videocon_atp_hard_scores.npz: eval-nextqa-atphard.csv grouped by (path, question), in order of first appearance,
  joined on (path, prompt) with the first such row of atphard_scores.csv; `score` is (questions, 5) by option number.
  One (video, question) pair occurs twice (10 rows) and is left out, as the official script does: 1,844 stay.
The recorded figures are the official scripts' output on those files (calc_ssv2.py, eval_atphard.py, and sklearn's AUC
as in SynViTA's eval_videocon_human.py, with the SSv2 matches standing in for its unpublished labels).
"""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from synvita.evaluate import intervals, metrics

DATA = Path(__file__).parents[1] / "data"
FEW_VALUES = st.integers(-2, 2).map(lambda n: n / 4)  # ties are the point
ROWS = st.lists(st.tuples(st.integers(0, 1), FEW_VALUES), min_size=2, max_size=30)
BOTH_CLASSES = ROWS.filter(lambda rows: len({label for label, _ in rows}) == 2)
WITH_POSITIVE = ROWS.filter(lambda rows: any(label for label, _ in rows))
GROUPED = st.lists(st.tuples(st.integers(0, 1), FEW_VALUES, FEW_VALUES, st.integers(0, 5)), min_size=2, max_size=30)


def columns(rows):
    return tuple(list(column) for column in zip(*rows, strict=True))


@pytest.fixture(scope="module")
def ssv2():
    with np.load(DATA / "videocon_ssv2_temporal_scores.npz") as data:
        return dict(data)


@pytest.fixture(scope="module")
def atp_hard():
    with np.load(DATA / "videocon_atp_hard_scores.npz") as data:
        return dict(data)


def by_caption(ssv2, scores):
    return [(ssv2["label"][rows], scores[rows]) for rows in (ssv2["caption"] == c for c in np.unique(ssv2["caption"]))]


# ------------------------------------------------------------------------------ recorded figures


def test_the_published_files_have_the_recorded_shape(ssv2, atp_hard):
    assert len(ssv2["score"]) == 3888 and len(np.unique(ssv2["score"])) == 24
    assert [int(labels.sum()) for labels, _ in by_caption(ssv2, ssv2["score"])] == [12] * 18
    assert len(np.unique(ssv2["video"])) == 216
    assert atp_hard["score"].shape == (1844, 5)
    maxima = (atp_hard["score"] == atp_hard["score"].max(axis=1, keepdims=True)).sum(axis=1)
    assert int((maxima > 1).sum()) == 363


def test_retrieval_without_ties_gives_the_official_scripts_figures(ssv2):
    queries = by_caption(ssv2, ssv2["score"] + 1e-7 * np.arange(3888))
    assert 100 * metrics.mean_average_precision(queries) == pytest.approx(16.334221543525768, rel=1e-12)
    for k, recorded in [(1, 16.666666666666664), (5, 61.111111111111114), (10, 66.66666666666666)]:
        found = [metrics.recall_at_k(labels, scores, k) for labels, scores in queries]
        assert 100 * np.mean(found) == pytest.approx(recorded, rel=1e-12)


def test_retrieval_on_the_published_scores_is_tie_aware(ssv2):
    queries = by_caption(ssv2, ssv2["score"])
    assert 100 * metrics.mean_average_precision(queries) == pytest.approx(13.57, abs=0.005)
    rng = np.random.default_rng(0)
    backwards = [(labels[order], scores[order]) for labels, scores in queries for order in [rng.permutation(216)]]
    assert metrics.mean_average_precision(backwards) == pytest.approx(
        metrics.mean_average_precision(queries), rel=1e-12
    )


def test_roc_auc_on_the_published_scores_is_the_official_figure(ssv2):
    assert 100 * metrics.roc_auc(ssv2["label"], ssv2["score"]) == pytest.approx(60.3792211328976, rel=1e-12)


def test_atp_hard_accuracy_is_the_recorded_expectation_and_the_first_maximum_the_official_figure(atp_hard):
    answer, score = atp_hard["answer"], atp_hard["score"]
    assert 100 * metrics.accuracy(answer, score) == pytest.approx(41.2961, abs=5e-5)
    earlier_wins = score - 1e-9 * np.arange(5)  # the official argmax takes the first maximum
    assert 100 * metrics.accuracy(answer, earlier_wins) == pytest.approx(41.052060737527114, rel=1e-12)


# ---------------------------------------------------------------------- against naive definitions


@given(BOTH_CLASSES)
def test_roc_auc_counts_won_pairs_and_half_of_the_ties(rows):
    labels, scores = columns(rows)
    pairs = [
        (p > n) + (p == n) / 2
        for (a, p), (b, n) in itertools.product(zip(labels, scores, strict=True), repeat=2)
        if a and not b
    ]
    assert metrics.roc_auc(labels, scores) == sum(pairs) / len(pairs)
    assert metrics.roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@given(WITH_POSITIVE)
def test_average_precision_takes_tied_rows_as_one_threshold(rows):
    labels, scores = columns(rows)
    expected, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        kept = [label for label, score in rows if score >= threshold]
        expected += (sum(kept) - before) / sum(labels) * sum(kept) / len(kept)
        before = sum(kept)
    assert metrics.average_precision(labels, scores) == pytest.approx(expected, abs=1e-12)
    assert metrics.average_precision(labels, scores) == average_precision_score(labels, scores)


@given(st.lists(st.tuples(st.integers(0, 1), FEW_VALUES, st.integers(0, 3)), min_size=1, max_size=20))
def test_weighted_average_precision_repeats_rows_as_often_as_they_weigh(rows):
    labels, scores, times = columns(rows)
    ranked = metrics.ranked(np.array(labels) == 1, np.array(scores))
    found = metrics.weighted_average_precisions(ranked, np.array([times, [1] * len(rows)]))
    for value, weights in zip(found, (times, [1] * len(rows)), strict=True):
        truth, values = np.repeat(labels, weights), np.repeat(scores, weights)
        expected = average_precision_score(truth, values) if truth.any() else math.nan
        assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(st.lists(st.tuples(st.integers(0, 1), FEW_VALUES), min_size=1, max_size=6), st.integers(1, 8))
def test_recall_at_k_is_the_mean_over_all_orders_of_the_ties(rows, k):
    rows = [*rows, (1, 0.0)][:6] if any(label for label, _ in rows[:5]) else [*rows[:5], (1, 0.0)]
    found = [
        any(label for label, _ in sorted(order, key=lambda row: -row[1])[:k])  # sorted() keeps the order of ties
        for order in itertools.permutations(rows)
    ]
    assert metrics.recall_at_k(*columns(rows), k) == pytest.approx(sum(found) / len(found), abs=1e-12)


def test_recall_at_k_follows_the_hypergeometric_closed_form():
    assert metrics.recall_at_k([1] + [0] * 9, [0.5] * 10, 3) == pytest.approx(3 / 10)
    assert metrics.recall_at_k([1, 1, 0, 0], [0.5] * 4, 2) == pytest.approx(1 - 1 / 6)
    assert metrics.recall_at_k([0, 1, 0], [0.9, 0.5, 0.5], 2) == pytest.approx(1 / 2)
    assert metrics.recall_at_k([0, 1], [0.9, 0.5], 1) == 0.0
    assert metrics.recall_at_k([0, 1], [0.9, 0.5], 10) == 1.0


def test_accuracy_shares_a_tie_among_its_maxima():
    assert metrics.accuracy([0], [[1.0, 0.0]]) == 1.0
    assert metrics.accuracy([1], [[1.0, 0.0]]) == 0.0
    assert metrics.accuracy([1, 2], [[1.0, 1.0], [0.2, 0.7, 0.7]]) == 0.5
    assert metrics.accuracy([0, 4], [[0.0, 1.0, 1.0], [0.3] * 5]) == pytest.approx(0.1)


# -------------------------------------------------------------------------------------- intervals


@settings(max_examples=30, deadline=None)
@given(GROUPED, st.integers(0, 3))
def test_the_fast_auc_interval_equals_the_naive_bootstrap_with_the_same_draws(rows, seed):
    labels, scores, other, groups = map(np.array, columns(rows))

    def difference(rows):
        return metrics.roc_auc(labels[rows], scores[rows]) - metrics.roc_auc(labels[rows], other[rows])

    naive = intervals.bootstrap(lambda rows: metrics.roc_auc(labels[rows], scores[rows]), groups, draws=25, seed=seed)
    fast = intervals.auc_interval(labels, scores, groups, draws=25, seed=seed)
    np.testing.assert_array_equal(fast, naive)  # to the last bit; nan equals nan
    paired = intervals.paired_auc_difference_interval(labels, scores, other, groups, draws=25, seed=seed)
    np.testing.assert_array_equal(paired, intervals.bootstrap(difference, groups, draws=25, seed=seed))


def test_bootstrap_is_a_loop_that_gathers_the_rows_of_drawn_groups():
    groups, values = ["b", "a", "b", "c", "a", "b"], np.array([1.0, 5.0, 2.0, 9.0, 4.0, 3.0])
    names, rng, means = ["b", "a", "c"], np.random.default_rng(7), []
    for _ in range(200):
        drawn = [names[i] for i in rng.integers(0, 3, size=3)]
        means.append(np.mean([v for name in drawn for g, v in zip(groups, values, strict=True) if g == name]))
    expected = np.quantile(means, [0.05, 0.95])
    interval = intervals.bootstrap(lambda rows: float(values[rows].mean()), groups, draws=200, seed=7, level=0.9)
    assert interval == pytest.approx(tuple(expected), abs=1e-12)


def test_chunks_do_not_change_the_interval(ssv2, monkeypatch):
    arguments = ssv2["label"], ssv2["score"], ssv2["video"].tolist()
    whole = intervals.auc_interval(*arguments, draws=50)
    monkeypatch.setattr(intervals, "CHUNK_CELLS", 7 * 3888)
    assert intervals.auc_interval(*arguments, draws=50) == whole
    assert whole[0] < metrics.roc_auc(ssv2["label"], ssv2["score"]) < whole[1]


def test_a_scorer_does_not_differ_from_itself_and_beats_its_reverse(ssv2):
    labels, scores, videos = ssv2["label"], ssv2["score"], ssv2["video"].tolist()
    assert intervals.paired_auc_difference_interval(labels, scores, scores, videos, draws=20) == (0.0, 0.0)
    assert intervals.paired_auc_difference_interval(labels, scores, -scores, videos, draws=100)[0] > 0


def test_whole_groups_give_a_wider_interval_than_rows():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20) % 2, 10)
    scores = np.repeat(labels[::10] + rng.normal(size=20), 10)  # ten copies of a row are no ten observations
    low, high = intervals.auc_interval(labels, scores, np.repeat(np.arange(20), 10).tolist())
    row_low, row_high = intervals.auc_interval(labels, scores, range(200))
    assert high - low > 2 * (row_high - row_low)


def test_skipped_draws_are_tolerated_up_to_half():
    def fails_on_some(bad):
        calls = itertools.count()

        def statistic(rows):
            if next(calls) < bad:
                raise ValueError("one class")
            return 1.0

        return statistic

    assert intervals.bootstrap(fails_on_some(50), "abc", draws=100) == (1.0, 1.0)
    assert all(math.isnan(x) for x in intervals.bootstrap(fails_on_some(51), "abc", draws=100))
    assert all(math.isnan(x) for x in intervals.auc_interval([1, 1], [0.1, 0.2], "ab", draws=10))


# ----------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("hole", [math.nan, None, math.inf])
@pytest.mark.parametrize(
    "metric", [metrics.roc_auc, metrics.average_precision, lambda x, y: metrics.recall_at_k(x, y, 1)]
)
def test_a_missing_score_is_named_by_its_index(metric, hole):
    with pytest.raises(ValueError, match=rf"scores\[2\] is {hole}, not a finite number \(2 such of 4\)"):
        metric([0, 1, 0, 1], [0.1, 0.2, hole, hole])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.roc_auc([1, 1], [0.1, 0.2]), "2 positives among 2 rows; ROC-AUC needs"),
        (lambda: metrics.roc_auc([], []), "0 positives among 0 rows"),
        (lambda: metrics.roc_auc([1, 2], [0.1, 0.2]), r"labels\[1\] is 2; a label is 1"),
        (lambda: metrics.roc_auc([1, 0, 1], [0.1, 0.2]), r"labels have shape \(3,\), scores \(2,\)"),
        (lambda: metrics.roc_auc([[1, 0]], [[0.1, 0.2]]), r"scores: shape \(1, 2\)"),
        (lambda: metrics.average_precision([0, 0], [0.1, 0.2]), "no positive among 2 rows"),
        (lambda: metrics.mean_average_precision([]), "queries: none given"),
        (lambda: metrics.mean_average_precision([([1], [0.5]), ([0], [0.5])]), r"queries\[1\]: labels: no positive"),
        (lambda: metrics.recall_at_k([0, 0], [0.1, 0.2], 1), "no positive among 2 rows"),
        (lambda: metrics.recall_at_k([1], [0.1], 0), "k is 0"),
        (lambda: metrics.accuracy([], []), "no question given"),
        (lambda: metrics.accuracy([0], []), "1 correct options for 0 rows"),
        (lambda: metrics.accuracy([0, 2], [[0.1, 0.2], [0.1, 0.2]]), r"correct_option\[1\] is 2; .* options 0 to 1"),
        (lambda: metrics.accuracy([0, 0], [[0.1], [0.1, None]]), r"option_scores\[1\]\[1\] is None"),
        (lambda: intervals.bootstrap(len, []), "groups: none given"),
        (lambda: intervals.bootstrap(len, "ab", draws=0), "draws is 0"),
        (lambda: intervals.bootstrap(len, "ab", level=95), "level is 95"),
        (lambda: intervals.bootstrap(len, "ab", level=1), "level is 1; give a share"),
        (lambda: intervals.bootstrap(len, "ab", level=0), "level is 0; give a share"),
        (lambda: intervals.auc_interval([1, 0], [0.1, 0.2], "ab", draws=0), "draws is 0"),
        (lambda: intervals.auc_interval([1, 0], [0.1, 0.2], "abc"), "3 groups for 2 rows"),
        (lambda: intervals.auc_interval([], [], []), "no rows given"),
        (
            lambda: intervals.paired_auc_difference_interval([1, 0], [0.1, 0.2], [0.1, None], "ab"),
            r"scores_b\[1\] is None",
        ),
    ],
)
def test_a_wrong_input_is_refused_with_what_where_and_a_way_out(call, message):
    with pytest.raises(ValueError, match=message):
        call()
