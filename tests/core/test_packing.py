"""Packed layouts: what sees what, and where it stands."""

import random

import pytest
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


def sees(row: list[Segment], begin: list[int], query: int, key: int) -> bool:
    """Whether one token of a row sees another, said as in the module's first paragraph."""
    where = [s for s, segment in enumerate(row) for _ in segment.ids]
    own, other = where[query], where[key]
    above = row[own].parent
    while above >= 0 and above != other:
        above = row[above].parent
    related = key <= query if own == other else above == other
    return related and key - begin[other] not in row[other].hidden


@pytest.mark.parametrize("seed", range(30))
def test_any_tree_is_laid_out_as_a_token_by_token_reading_of_the_rule_says(seed):
    chance = random.Random(seed)
    behind = chance.choice([0, 0, 3])
    rows = []
    for _ in range(3):
        row: list[Segment] = []
        for s in range(chance.randint(1, 6)):
            ids = [chance.randint(10, 99) for _ in range(chance.randint(1, 4))]
            hidden = chance.sample(range(len(ids)), chance.randint(0, len(ids) - 1))
            row.append(Segment(ids, chance.randint(-1 if behind else 0, s - 1) if s else -1, hidden))
        rows.append(row)
    first = [chance.randint(0, 9) for _ in rows] if behind else None
    packed = pack(rows, pad=7, behind=behind, first=first)
    mask = packed.whole_mask
    assert packed.mask.dtype == mask.dtype == torch.bool
    assert packed.ids.dtype == packed.positions.dtype == torch.int64
    for b, row in enumerate(rows):
        flat = [token for segment in row for token in segment.ids]
        size = packed.ids.shape[1]
        assert packed.ids[b].tolist() == flat + [7] * (size - len(flat))
        assert packed.starts[b] == [sum(len(s.ids) for s in row[:n]) for n in range(len(row))]
        place = []
        for n, segment in enumerate(row):
            before = packed.after[b][segment.parent] if segment.parent >= 0 else first[b] if first else 0
            place += range(before, before + len(segment.ids))
            assert packed.after[b][n] == before + len(segment.ids)
        assert packed.positions[b].tolist() == place + [0] * (size - len(flat))
        for query in range(size):
            real = query < len(flat)
            want = [real and k < len(flat) and sees(row, packed.starts[b], query, k) for k in range(size)]
            want[query] = want[query] or not real  # padding sees itself
            assert mask[b, 0, query].tolist() == [True] * behind + want, (b, query)


def test_a_row_without_any_question_is_padding_of_token_0():
    packed = pack([[], [Segment([5, 6])]])
    assert packed.ids.tolist() == [[0, 0], [5, 6]]
    assert packed.whole_mask[:, 0].int().tolist() == [[[1, 0], [0, 1]], [[1, 0], [1, 1]]]
    assert packed.starts == [[], [0]] and packed.after == [[], [2]]
