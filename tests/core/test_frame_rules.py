"""Each rule gives the official indices, and those found by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synvita.core.frame_rules import FramePolicy, uniform_indices

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "frame_indices.json").read_text())
CASES = [
    (rule, int(name.rsplit("_", 1)[1]), int(n), expected)
    for name, by_length in GOLDEN.items()
    for rule in ["both_ends" if name.startswith("video_llava") else "segment_middles_rounded"]
    for n, expected in by_length.items()
]


@pytest.mark.parametrize(("rule", "k", "n", "expected"), CASES)
def test_indices_equal_the_official_ones(rule: str, k: int, n: int, expected: list[int]) -> None:
    assert uniform_indices(n, k, rule) == expected


BY_HAND = [  # n, k, {rule: indices}; in the first case no two agree
    (8, 4, {"both_ends": [0, 2, 4, 7], "both_ends_rounded": [0, 2, 5, 7], "segment_starts": [0, 2, 4, 6],
            "segment_middles": [1, 3, 5, 7], "segment_middles_rounded": [0, 2, 4, 5]}),
    (7, 3, {"both_ends": [0, 3, 6], "both_ends_rounded": [0, 3, 6], "segment_starts": [0, 2, 4],
            "segment_middles": [1, 3, 5], "segment_middles_rounded": [1, 3, 5]}),
    (6, 3, {"both_ends": [0, 2, 5], "both_ends_rounded": [0, 2, 5]}),  # 2.5: half to even
    (8, 3, {"both_ends": [0, 3, 7], "both_ends_rounded": [0, 4, 7]}),  # 3.5
    (11, 4, {"segment_middles_rounded": [1, 3, 6, 9]}),  # 1 + 0, 2.5, 5, 7.5
    (2, 4, {"both_ends": [0, 0, 0, 1], "both_ends_rounded": [0, 0, 1, 1], "segment_starts": [0, 0, 1, 1],
            "segment_middles": [0, 0, 1, 1], "segment_middles_rounded": [0, 0, 0, 1]}),
    (5, 1, {"both_ends": [0], "both_ends_rounded": [0], "segment_starts": [0],
            "segment_middles": [2], "segment_middles_rounded": [2]}),
]  # fmt: skip


@pytest.mark.parametrize(("n", "k", "expected"), BY_HAND)
def test_each_rule_gives_the_indices_found_by_hand(n: int, k: int, expected: dict[str, list[int]]) -> None:
    assert {rule: uniform_indices(n, k, rule) for rule in expected} == expected


@pytest.mark.parametrize(
    ("count", "fps", "most", "total", "rate", "expected"),
    [
        (0, 1, 4, 30, 10.0, [0, 14, 29]),  # 3 seconds, a frame each
        (0, 1, 4, 60, 10.0, [0, 19, 39, 59]),  # 6 seconds less two are not over 4
        (0, 1, 4, 61, 10.0, [10, 23, 37, 51]),  # 6.1 are: without the first and the last second
        (0, 1, 4, 100, 10.0, [10, 36, 63, 90]),
        (0, 1, 8, 36, 10.0, [0, 11, 23, 35]),  # 3.6 seconds are rounded to 4 frames
        (0, 4, 8, 2, 1.0, [0, 1]),  # 8 frames wanted of 2: none twice
        (0, 1, 8, 48, 0.0, [0, 47]),  # no rate: 24 a second
        (3, 1, 64, 50, 10.0, [0, 24, 49]),  # a number asked for stands for `most`
        (3, 1, 64, 60, 10.0, [10, 30, 50]),
        (4, 1, 64, 2, 1.0, [0, 0, 0, 1]),  # and is kept
    ],
)
def test_long_videos_lose_their_first_and_last_second_by_the_trimmed_rule(
    count: int, fps: float, most: int, total: int, rate: float, expected: list[int]
) -> None:
    assert FramePolicy(count, "both_ends_trimmed", fps=fps, most=most).indices(total, rate) == expected


def test_an_unknown_rule_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'middle'; known: both_ends, both_ends_rounded"):
        uniform_indices(8, 4, "middle")
    with pytest.raises(ValueError, match="'middle'; known: both_ends, both_ends_rounded"):
        FramePolicy(8, "middle")


@pytest.mark.parametrize(("n", "k"), [(0, 4), (4, 0)])
def test_no_frames_have_no_indices(n: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"n={n}, k={k}"):
        uniform_indices(n, k)


@pytest.mark.parametrize(
    "wrong",
    [{"count": -1}, {"count": 1.5}, {"count": 0}, {"fps": -1.0}, {"count": 0, "fps": float("nan")}, {"least": 0},
     {"most": 0}, {"step": 0}, {"count": "8"}, {"fps": float("inf")}],
)  # fmt: skip
def test_a_policy_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="frames: "):
        FramePolicy(**wrong)
