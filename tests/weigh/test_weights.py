"""Table 4's criteria against a naive loop; a missing score is refused by its index."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synvita.weigh.weights import CRITERIA, criterion

NAIVE = {
    "uniform": lambda t, s: 1.0,
    "target": lambda t, s: t,
    "product": lambda t, s: t * (1 - s),
    "hard": lambda t, s: 1.0 if t > s else 0.0,
    "difference": lambda t, s: max(0.0, t - s),
}
scores = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20)


@pytest.mark.parametrize("name", list(NAIVE))
@given(scores)
def test_each_criterion_equals_a_loop_and_stays_in_0_1(name, pairs):
    target, source = (list(column) for column in zip(*pairs, strict=True))
    weights = criterion(name)(target, source)
    assert weights.tolist() == [NAIVE[name](t, s) for t, s in pairs]
    assert ((weights >= 0) & (weights <= 1)).all()


def test_every_criterion_of_table_4_is_there():
    assert set(CRITERIA) == set(NAIVE)


@pytest.mark.parametrize("bad", [math.nan, None, 1.5, -0.1])
def test_a_missing_or_impossible_score_is_refused_by_its_index(bad):
    with pytest.raises(ValueError, match=r"source_scores\[1\]"):
        criterion("difference")([0.5, 0.5], [0.1, bad])


def test_different_numbers_of_scores_are_refused():
    with pytest.raises(ValueError, match="2 and 1 scores"):
        criterion("difference")(np.array([0.5, 0.5]), np.array([0.5]))


def test_an_unknown_criterion_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"--weigh.criteria: unknown criterion 'diff'; known: uniform, target"):
        criterion("diff")


def test_tensors_of_any_precision_give_fp64_without_gradient():
    target = torch.tensor([0.7, 0.1], dtype=torch.float32, requires_grad=True)
    weights = criterion("difference")(target, torch.tensor([0.1, 0.3], dtype=torch.float16))
    assert isinstance(weights, np.ndarray) and weights.dtype == np.float64
    np.testing.assert_allclose(weights, [float(np.float32(0.7)) - float(np.float16(0.1)), 0.0], rtol=0, atol=1e-15)
    assert criterion("target")([1], [0]).dtype == np.float64
