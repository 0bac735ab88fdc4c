"""Packed layouts: what sees what, and where it stands."""

import torch

from synvita.core.packing import Segment, pack


def test_a_hidden_token_is_seen_by_nobody_but_keeps_its_place():
    packed = pack([[Segment([5, 6]), Segment([7, 8, 9], 0, hidden=[1]), Segment([4], 0)]])
    assert packed.ids.tolist() == [[5, 6, 7, 8, 9, 4]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 4, 2]]
    want = [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]
    assert packed.whole_mask[0, 0].int().tolist() == want


def test_a_grandchild_sees_all_its_ancestors_and_no_uncle():
    packed = pack([[Segment([1]), Segment([2], 0), Segment([3], 0), Segment([4], 1)], [Segment([9])]])
    assert packed.whole_mask[0, 0, 3].int().tolist() == [1, 1, 0, 1]
    assert packed.positions[0].tolist() == [0, 1, 1, 2]
    assert packed.whole_mask[1, 0].int().diagonal().tolist() == [1, 1, 1, 1]  # padding sees itself: no NaN


def test_behind_a_cache_every_token_sees_the_cache_and_counts_on_from_it():
    packed = pack([[Segment([7, 8]), Segment([9])], [Segment([5])]], behind=4, first=[4, 6])
    assert packed.mask.shape == (2, 1, 3, 7)
    assert packed.whole_mask[0, 0].int().tolist() == [
        [1, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 0, 0, 1],
    ]
    assert packed.positions.tolist() == [[4, 5, 4], [6, 0, 0]]


def test_the_roots_common_length_needs_no_mask():
    packed = pack([[Segment([1, 2, 3]), Segment([4], 0)], [Segment([1, 2]), Segment([3, 4, 5], 0, hidden=[0])]])
    assert packed.mask.shape == (2, 1, 3, 5) and packed.whole_mask.shape == (2, 1, 5, 5)
    want = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 1]]
    assert packed.whole_mask[0, 0].int().tolist() == want
    want = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 1, 1]]
    assert packed.whole_mask[1, 0].int().tolist() == want


def test_places_in_three_dimensions_go_on_behind_their_largest():
    places = torch.tensor([[0, 0, 1], [0, 1, 0], [0, 3, 0]])
    packed = pack([[Segment([1, 2, 3], places=places), Segment([4, 5], 0)]])
    assert packed.positions.shape == (3, 1, 5)
    assert packed.positions[:, 0].tolist() == [[0, 0, 1, 4, 5], [0, 1, 0, 4, 5], [0, 3, 0, 4, 5]]
    assert packed.after == [[4, 6]]
