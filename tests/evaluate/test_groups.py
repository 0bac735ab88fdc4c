"""Figures of minimal pairs against loops that follow the sets' own definitions, and the entries made of them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synvita.evaluate import intervals
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.group_figures import credit_groups, group_figures, mean_interval, minimal_pairs
from synvita.evaluate.groups import counterfactual, strict_entailment, yes_no

FOUR = st.lists(st.integers(-2, 2), min_size=4, max_size=4)
CONFIG = EvaluateConfig(draws=50)


def winoground(c0i0, c0i1, c1i0, c1i1):
    text = c0i0 > c1i0 and c1i1 > c0i1
    image = c0i0 > c0i1 and c1i1 > c1i0
    return text, image, text and image


@settings(max_examples=80)
@given(FOUR)
def test_counterfactual_scores_follow_winogrounds_definitions_and_ties_every_order(scores):
    found = counterfactual([scores[:2], scores[2:]])
    every = []
    for noise in itertools.permutations(range(4)):
        every.append(winoground(*(s + n / 10 for s, n in zip(scores, noise, strict=True))))
    for place, name in enumerate(("text", "video", "group")):
        own = [float(one[place]) for one in every]
        assert found[name].spread == pytest.approx((np.mean(own), min(own), max(own)))
        assert found[name].authors == winoground(*scores)[place]


def test_four_equal_scores_are_right_in_a_sixth_of_all_orders():
    found = counterfactual([[1.0, 1.0], [1.0, 1.0]])
    assert found["group"].spread == pytest.approx((1 / 6, 0, 1)) and found["group"].authors == 0
    assert found["text"].spread == pytest.approx((1 / 4, 0, 1))


@settings(max_examples=80)
@given(FOUR)
def test_yes_no_accuracies_count_questions_videos_and_instances(margins):
    wanted = (1, 0, 0, 1)
    right = [m != 0 and (m > 0) == bool(w) for m, w in zip(margins, wanted, strict=True)]
    q0v0, q0v1, q1v0, q1v1 = right
    found = yes_no([margins[:2], margins[2:]])
    assert found["accuracy"].authors == sum(right) / 4
    assert found["text"].authors == ((q0v0 and q0v1) + (q1v0 and q1v1)) / 2
    assert found["video"].authors == ((q0v0 and q1v0) + (q0v1 and q1v1)) / 2
    assert found["group"].authors == all(right)
    undecided = margins.count(0)
    others = all(r for r, m in zip(right, margins, strict=True) if m != 0)
    assert found["group"].spread == (others * 0.5**undecided, float(others and not undecided), float(others))


@settings(max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-1, 1)), min_size=2, max_size=4))
def test_strict_entailment_asks_both_sides_and_accuracy_only_the_order(rows):
    labels, margins = [label for label, _ in rows], [margin for _, margin in rows]
    if len(set(labels)) < 2:
        with pytest.raises(ValueError, match="a group needs a right and a wrong one"):
            strict_entailment(labels, margins)
        return
    found = strict_entailment(labels, margins)
    assert found["strict"].authors == all((m > 0) if label else (m < 0) for label, m in rows)
    pairs = [(m, n) for (a, m), (b, n) in itertools.product(rows, rows) if a and not b]
    assert found["accuracy"].authors == all(m > n for m, n in pairs)
    assert found["accuracy"].spread.high == all(m >= n for m, n in pairs)


@pytest.mark.parametrize("scores", [[[1.0, 2.0, 3.0, 4.0]], [[1.0, 2.0]], [[1.0, float("nan")], [0.0, 0.0]]])
def test_a_group_that_is_no_grid_of_numbers_is_refused(scores):
    with pytest.raises(ValueError, match=r"two captions by two videos|not finite"):
        counterfactual(scores)


def grid_rows(query, scores, missing=None):
    """Rows of one group, captions a and b, videos x and y; stored in an order that says nothing."""
    pairs = [("a", "x", 1), ("a", "y", 0), ("b", "x", 0), ("b", "y", 1)]
    rows = [
        {"query": query, "caption": f"{c}{query}", "video": f"{v}{query}", "label": label, "log_odds": score}
        for (c, v, label), score in zip(pairs, scores, strict=True)
    ]
    if missing is not None:
        rows[missing]["log_odds"] = None
    return sorted(rows, key=lambda row: (row["video"], row["label"]))


def test_rows_in_any_order_make_the_grid_and_a_group_with_a_hole_is_left_out():
    rows = grid_rows("1", (3, 1, 2, 4)) + grid_rows("2", (3, 1, 4, 5)) + grid_rows("3", (3, 1, 2, 4), missing=2)
    groups, dropped = credit_groups(rows, "counterfactual")
    assert dropped == 1 and [g.credits["text"].authors for g in groups] == [1.0, 0.0]
    entry = minimal_pairs(rows, "counterfactual", "group", CONFIG)
    assert entry["group"] == 0.5 and entry["video"] == 1.0
    assert (entry["groups"], entry["groups_dropped"], entry["expected"], entry["missing"]) == (2, 1, 12, 1)


def test_without_a_whole_group_the_figure_is_null():
    entry = minimal_pairs(grid_rows("1", (3, 1, 2, 4), missing=0), "counterfactual", "group", CONFIG)
    assert entry["group"] is None and entry["groups_dropped"] == 1


def test_the_interval_is_the_bootstrap_of_the_mean_over_clusters():
    rng = np.random.default_rng(0)
    values, clusters = rng.integers(0, 2, 60).astype(float), [f"v{i}" for i in rng.integers(0, 15, 60)]
    slow = intervals.bootstrap(lambda rows: float(values[rows].mean()), clusters, 200, seed=0)
    assert mean_interval(values, clusters, EvaluateConfig(draws=200)) == pytest.approx(slow, abs=1e-12)


def test_question_types_are_figures_of_their_own():
    rows = []
    for query, part, scores in (("1", "causal", (2, 1)), ("2", "causal", (1, 2)), ("3", "temporal", (2, 1))):
        for option, score in enumerate(scores):
            row = {"video": f"v{query}", "query": query, "caption": f"{option}", "label": int(option == 0)}
            rows.append(row | {"option": option, "part": part, "log_odds": float(score)})
    found = group_figures(credit_groups(rows, "questions")[0], CONFIG)
    assert found["accuracy"]["value"] == pytest.approx(2 / 3)
    assert found["accuracy_causal"]["value"] == 0.5 and found["accuracy_temporal"]["value"] == 1.0
