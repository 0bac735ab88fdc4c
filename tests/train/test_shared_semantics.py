"""Shared tokens: the authors' masks, a brute-force oracle, and the speed that a loader needs."""

import itertools
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synvita.train.shared_semantics import keep_mask

RECORDED = np.load(Path(__file__).parent.parent / "data" / "semantic_mask.npz")  # golden: the authors' code, 236 pairs


@pytest.mark.parametrize(("level", "key"), [("digit", "official_caption_mask"), ("token", "token_level_lcs_mask")])
def test_every_recorded_mask_is_reproduced(level, key):
    lengths = RECORDED["caption_tokens"] >= 0, RECORDED["neg_caption_tokens"] >= 0
    differing = 0
    for i in range(len(RECORDED["case_id"])):
        caption = RECORDED["caption_tokens"][i][lengths[0][i]].tolist()
        other = RECORDED["neg_caption_tokens"][i][lengths[1][i]].tolist()
        want = RECORDED[key][i][: len(caption)].astype(bool)
        np.testing.assert_array_equal(keep_mask(caption, other, level), want, err_msg=f"case {i}")
        differing += (keep_mask(caption, other, "digit") != keep_mask(caption, other)).any()
    assert len(RECORDED["case_id"]) == 236 and differing == 45


tokens = st.lists(st.integers(0, 4), max_size=8)


@given(tokens, tokens)
def test_the_kept_tokens_are_a_longest_common_subsequence(a, b):
    kept = list(itertools.compress(a, keep_mask(a, b)))

    def common(candidate):
        rest = iter(b)
        return all(x in rest for x in candidate)

    assert common(kept)
    longest = next(n for n in range(len(a), -1, -1) if any(common(c) for c in itertools.combinations(a, n)))
    assert len(kept) == longest


def test_a_caption_that_the_other_one_contains_is_kept_whole():
    assert keep_mask([5, 6, 7], [5, 9, 6, 7]).all()


def test_nothing_in_common_keeps_nothing():
    assert not keep_mask([1, 2], [3, 4]).any() and keep_mask([], [3]).shape == (0,)


def test_an_unknown_level_is_refused_by_name():
    with pytest.raises(ValueError, match=r"--train.shared-tokens: unknown level 'char'; known: digit, token"):
        keep_mask([1], [1], "char")


@pytest.mark.parametrize(("level", "limit"), [("token", 0.05), ("digit", 1.0)])
def test_five_hundred_tokens_take_no_noticeable_time(level, limit):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 32000, 500).tolist(), rng.integers(0, 32000, 500).tolist()
    best = 9.0
    for _ in range(3):
        start = time.perf_counter()
        keep_mask(a, b, level)
        best = min(best, time.perf_counter() - start)
    assert best < limit
