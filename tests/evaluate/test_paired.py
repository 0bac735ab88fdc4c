"""Retrieval and questions of two arms: differences on what both have scored, over the same resampled videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pair_files import middle, naive_ap, resampled, retrieval_rows

from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.model_size import model_sizes
from synvita.evaluate.to_baseline import differences

DRAWS = 20
CONFIG = EvaluateConfig(draws=DRAWS)
Rows = list[dict[str, Any]]


def naive_map(rows: Rows, taken: dict[str, int] | None = None) -> float:
    """Mean AP over queries, each row as often as its video was taken; queries without a right row are left out."""
    values = []
    for query in dict.fromkeys(row["query"] for row in rows):
        own = [row for row in rows if row["query"] == query]
        own = [row for row in own for _ in range(1 if taken is None else taken.get(row["video"], 0))]
        if any(row["label"] for row in own):
            values.append(naive_ap([row["label"] for row in own], [row["log_odds"] for row in own]))
    return float(np.mean(values))


def test_a_map_difference_and_its_interval_are_those_of_naive_loops() -> None:
    mine, theirs = retrieval_rows(1, 1.2, 4, 5), retrieval_rows(2, 0.6, 4, 5)
    found = differences({"retrieval_events": mine}, {"retrieval_events": theirs}, CONFIG)["retrieval_events"]
    value = naive_map(mine) - naive_map(theirs)
    drawn = []
    for chosen in resampled([row["video"] for row in mine], DRAWS):
        rows = [mine[i] for i in chosen]
        videos = [row["video"] for row in rows if row["query"] == rows[0]["query"]]
        taken = {video: videos.count(video) for video in set(videos)}
        drawn.append(naive_map(mine, taken) - naive_map(theirs, taken))
    low, high = middle(drawn)
    shift = value - float(np.mean(drawn))
    assert found["map"] == pytest.approx(value) and (found["pairs"], found["left_out"]) == (80, 0)
    assert (found["low"], found["high"]) == pytest.approx((low + shift, high + shift))
    back = differences({"retrieval_events": theirs}, {"retrieval_events": mine}, CONFIG)["retrieval_events"]
    assert back["map"] == pytest.approx(-value) and back["low"] == pytest.approx(-found["high"])


def test_a_pair_that_only_one_arm_has_scored_is_in_neither_ranking() -> None:
    mine, theirs = retrieval_rows(1, 1.2, 4, 5), retrieval_rows(2, 0.6, 4, 5)
    mine[0]["log_odds"] = theirs[7]["log_odds"] = None
    found = differences({"retrieval_events": mine}, {"retrieval_events": theirs[:-1]}, CONFIG)["retrieval_events"]
    kept = [i for i in range(79) if i not in (0, 7)]
    expected = naive_map([mine[i] for i in kept]) - naive_map([theirs[i] for i in kept])
    assert found["map"] == pytest.approx(expected) and (found["pairs"], found["left_out"]) == (77, 3)
    nothing = [row | {"log_odds": None} for row in mine]
    found = differences({"retrieval_events": nothing}, {"retrieval_events": theirs}, CONFIG)["retrieval_events"]
    assert (found["map"], found["low"], found["high"], found["pairs"]) == (None, None, None, 0)


def questions(right: list[bool]) -> Rows:
    """Three options each, the first is the right one."""
    return [
        {"query": str(q), "caption": f"option {o}", "video": f"{q}.mp4", "label": int(o == 0)}
        | {"log_odds": 1.0 if o == (0 if is_right else 1) else 0.0}
        for q, is_right in enumerate(right)
        for o in range(3)
    ]


def test_an_accuracy_difference_is_of_the_questions_that_both_have_answered_whole() -> None:
    mine = questions([True] * 8 + [False] * 2)
    theirs = questions([True] * 4 + [False] * 6)
    found = differences({"qa": mine}, {"qa": theirs}, CONFIG)["qa"]
    each = [0.0] * 4 + [1.0] * 4 + [0.0] * 2
    low, high = middle([float(np.mean([each[i] for i in d])) for d in resampled([str(i) for i in range(10)], DRAWS)])
    assert found["accuracy"] == pytest.approx(0.4) and (found["low"], found["high"]) == pytest.approx((low, high))
    theirs[3 * 5 + 2]["log_odds"] = None  # of a question that they had wrong
    found = differences({"qa": mine}, {"qa": theirs}, CONFIG)["qa"]
    assert found["accuracy"] == pytest.approx(3 / 9) and (found["pairs"], found["left_out"]) == (29, 1)
    found = differences({"qa": mine}, {"qa": theirs[:2]}, CONFIG)["qa"]
    assert (found["accuracy"], found["pairs"], found["left_out"]) == (None, 2, 28)


def test_arms_that_disagree_about_what_is_right_are_refused() -> None:
    mine = questions([True])
    theirs = [row | {"label": 1 - row["label"]} for row in mine]
    with pytest.raises(ValueError, match=r"qa: caption 'option 0' of video 0\.mp4: one arm's label is 1"):
        differences({"qa": mine}, {"qa": theirs}, CONFIG)


def test_the_size_of_a_base_model_is_read_from_its_checkpoint(tmp_path: Path) -> None:
    homes = {"models/a": "mini-video-llava", "models/b": str(tmp_path / "gone"), "models/c": None}
    for home, name in homes.items():
        (tmp_path / home).mkdir(parents=True)
        if name:
            (tmp_path / home / "stamp.json").write_text(json.dumps({"model": name}))
    assert model_sizes(tmp_path, list(homes)) == {"a": 2_054_528}
