"""Weights against the truth, several clips per triplet and several triplets per clip: hand-computed numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
from pair_files import middle, naive_auc, resampled
from run_files import write_weights

from synvita.core.records import ClipWeight, Misalignment, ScoredClip, Triplet
from synvita.core.store import write_records
from synvita.evaluate.weight_quality import beside_ensemble, score_differences, weight_quality

GENERATORS = ("cogvideox", "lavie", "videocrafter2")


def triplet(number: int, kind: Misalignment = Misalignment.OBJECT) -> Triplet:
    return Triplet(f"t{number}", f"v{number}.mp4", f"true {number}", f"false {number}", kind)


def learned_and_true(run: Path, rows: list[tuple[str, str, float, bool]], who: str = "llava") -> None:
    """rows: (triplet, clip, learned weight, whether the clip shows its own caption)."""
    learned = [ClipWeight(t, clip, "difference", [who], weight) for t, clip, weight, _ in rows]
    truth = [ClipWeight(t, clip, "difference", ["world_truth"], float(right)) for t, clip, _, right in rows]
    write_weights(run, [*learned, *truth])


def test_every_clip_of_a_triplet_counts(tmp_path: Path) -> None:
    write_records(tmp_path / "triplets.jsonl", [triplet(0)])
    learned_and_true(tmp_path, [("t0", "a", 0.8, True), ("t0", "b", 0.0, True)])
    found = weight_quality(tmp_path)
    assert found["all"] == found["object"] == {"clips": 2, "right": 2, "mean_weight": 0.4}
    assert found["flip"] == {"clips": 0, "right": 0, "mean_weight": None}


def test_three_generators_and_three_triplets_are_nine_clips(tmp_path: Path) -> None:
    """Generator 0's clips are right and weigh most, the others' are wrong: won pairs counted by hand."""
    write_records(tmp_path / "triplets.jsonl", [triplet(0), triplet(1), triplet(2, Misalignment.FLIP)])
    weights = {"cogvideox": (0.9, 0.2, 0.9), "lavie": (0.1, 0.3, 0.0), "videocrafter2": (0.0, 0.2, 0.4)}
    rows = [(f"t{i}", f"{name}{i}", weights[name][i], name == "cogvideox") for i in range(3) for name in GENERATORS]
    learned_and_true(tmp_path, rows)
    found = weight_quality(tmp_path)
    assert (found["all"]["clips"], found["all"]["right"]) == (9, 3)
    assert found["all"]["mean_weight"] == pytest.approx(3.0 / 9)
    # 0.9 beats all six wrong ones, twice; 0.2 beats 0.1, 0.0, 0.0, ties 0.2, loses to 0.3 and 0.4
    assert found["all"]["auc"] == pytest.approx((6 + 6 + 3.5) / 18)
    assert found["object"]["auc"] == pytest.approx((4 + 2.5) / 8) and found["object"]["clips"] == 6
    assert found["flip"]["auc"] == 1.0 and found["flip"]["mean_weight"] == pytest.approx(1.3 / 3)


def test_right_clips_with_higher_weights_have_an_area_of_one(tmp_path: Path) -> None:
    write_records(tmp_path / "triplets.jsonl", [triplet(i) for i in range(4)])
    learned_and_true(tmp_path, [(f"t{i}", f"c{i}", (0.7, 0.6, 0.2, 0.1)[i], i < 2) for i in range(4)])
    assert weight_quality(tmp_path)["all"] == pytest.approx(
        {"clips": 4, "right": 2, "mean_weight": 0.4, "auc": 1.0, "low": 1.0, "high": 1.0}
    )


def test_triplets_that_share_a_clip_are_resampled_together(tmp_path: Path) -> None:
    draw = [0.35, 0.9, 0.1, 0.7, 0.4, 0.2, 0.8, 0.5, 0.6, 0.3]
    rows = [(f"t{i}", f"c{i // 3}", draw[i % 10], (i // 3) % 2 == 0) for i in range(30)]
    write_records(tmp_path / "triplets.jsonl", [triplet(i) for i in range(30)])
    learned_and_true(tmp_path, rows)
    found = weight_quality(tmp_path)["all"]
    plain = [{"label": int(right), "log_odds": weight} for _, _, weight, right in rows]

    def interval(groups: list[str]) -> tuple[float, float]:
        areas = []
        for taken in resampled(groups, 1000):
            some = [plain[i] for i in taken]
            if len({row["label"] for row in some}) == 2:
                areas.append(naive_auc(some))
        return middle(areas)

    assert (found["low"], found["high"]) == pytest.approx(interval([row[1] for row in rows]), abs=1e-12)
    assert (found["low"], found["high"]) != pytest.approx(interval([row[0] for row in rows]), abs=1e-3)


def test_weights_of_others_stand_beside_the_first_ones(tmp_path: Path) -> None:
    write_records(tmp_path / "triplets.jsonl", [triplet(0)])
    rows = [ClipWeight("t0", clip, "difference", who, 0.25) for who in (["a"], ["b", "c"]) for clip in ("x", "y")]
    write_weights(tmp_path, [*rows, ClipWeight("t0", "x", "difference", ["world_truth"], 1.0)])
    assert beside_ensemble(tmp_path) == [["b", "c"]]
    assert weight_quality(tmp_path, ["b", "c"])["all"] == {"clips": 1, "right": 1, "mean_weight": 0.25}


def write_scores(run: Path, scores: dict[tuple[str, str], float], scorer: str = "llava") -> None:
    rows = [ScoredClip(*key, scorer, 4, "both_ends", [64, 64], score) for key, score in scores.items()]
    write_records(run / "scores" / scorer / "scores.jsonl", rows)


def test_score_differences_have_a_value_per_clip_of_a_triplet(tmp_path: Path) -> None:
    """Triplet 0 has two clips, clip b also serves triplet 1; clip c lacks a score of one of the two scorers."""
    write_records(tmp_path / "triplets.jsonl", [triplet(0), triplet(1), triplet(2, Misalignment.FLIP)])
    links = [("t0", "a"), ("t0", "b"), ("t1", "b"), ("t2", "c")]
    write_records(tmp_path / "clip_of_triplet.jsonl", [{"triplet_id": t, "clip_id": c} for t, c in links])
    weights = [ClipWeight(t, c, "difference", ["llava", "video_llm"], 0.5) for t, c in links]
    write_weights(tmp_path, weights)
    own = {("a", "false 0"): 0.9, ("b", "false 0"): 0.5, ("b", "false 1"): 0.6, ("c", "false 2"): 1.0}
    real = {("a", "true 0"): 0.2, ("b", "true 0"): 0.4, ("b", "true 1"): 0.9, ("c", "true 2"): 0.0}
    write_scores(tmp_path, own | real)
    write_scores(tmp_path, {key: score for key, score in (own | real).items() if key[0] != "c"}, "video_llm")
    write_scores(tmp_path, dict.fromkeys(own, 0.0) | dict.fromkeys(real, 1.0), "world_truth")
    found = score_differences(tmp_path)
    assert set(found) == {"object"} and found["object"]["values"] == pytest.approx([0.7, 0.1, -0.3])
    assert found["object"]["mean"] == pytest.approx(0.5 / 3)


LINK = {"triplet_id": "t0", "clip_id": "a"}


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("clip_of_triplet.jsonl", LINK, "triplet_id 't0', clip_id 'a': already in line"),
        ("clip_of_triplet.jsonl", {"triplet_id": "t0"}, "needs the key 'clip_id'"),
        (
            "scores/llava/scores.jsonl",
            {"clip_id": "a", "caption": "true 0", "scorer": "llava", "frames": 1, "rule": "r", "size": [], "score": 1},
            "already",
        ),
    ],
)
def test_a_line_that_would_count_double_is_named_by_file_and_line(
    tmp_path: Path, file: str, line: dict[str, Any], message: str
) -> None:
    write_records(tmp_path / "triplets.jsonl", [triplet(0)])
    write_weights(tmp_path, [ClipWeight("t0", "a", "difference", ["llava"], 0.5)])
    write_records(tmp_path / "clip_of_triplet.jsonl", [LINK])
    write_scores(tmp_path, {("a", "true 0"): 0.5})
    assert score_differences(tmp_path) == {}
    with (tmp_path / file).open("a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")
    with pytest.raises(ValueError, match=rf"{file}:2: .*{message}"):
        score_differences(tmp_path)


def test_a_weight_that_would_count_double_is_named_by_file_and_line(tmp_path: Path) -> None:
    write_records(tmp_path / "triplets.jsonl", [triplet(0)])
    row = ClipWeight("t0", "a", "difference", ["llava"], 0.5)
    write_weights(tmp_path, [row, row, ClipWeight("t0", "a", "difference", ["world_truth"], 1.0)])
    with pytest.raises(ValueError, match=r"llava-difference\.jsonl:2: .*already in line 1"):
        weight_quality(tmp_path)


def test_of_several_criteria_the_difference_is_looked_at_and_without_it_the_first(tmp_path: Path) -> None:
    write_records(tmp_path / "triplets.jsonl", [triplet(0)])
    rows = {"product": 0.2, "difference": 0.7, "hard": 1.0}
    truth = [ClipWeight("t0", "a", name, ["world_truth"], 1.0) for name in rows]
    learned = [ClipWeight("t0", "a", name, ["llava"], weight) for name, weight in rows.items()]
    write_weights(tmp_path, [*learned, *truth])
    assert weight_quality(tmp_path)["all"]["mean_weight"] == 0.7
    write_weights(tmp_path, [r for r in [*learned, *truth] if r.criterion != "difference"])
    assert weight_quality(tmp_path)["all"]["mean_weight"] == 0.2
