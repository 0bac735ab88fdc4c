"""Figures of one arm from its pairs: against naive loops, hand-computed numbers, and with holes."""

import copy
import json
import math

import numpy as np
import pytest
from pair_files import (
    entailment_row,
    entailment_rows,
    middle,
    naive_ap,
    naive_auc,
    resampled,
    retrieval_rows,
)
from small import HOME

from synvita.core.store import write_records
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.pairs import subsets
from synvita.evaluate.results import arm_results, collect, entailment, question_answering, retrieval
from synvita.evaluate.to_baseline import differences

DRAWS = 60
CONFIG = EvaluateConfig(draws=DRAWS)


def without_scores(rows, which):
    """A copy in which the rows that `which` picks have no score."""
    return [row | {"log_odds": None} if which(row) else row for row in rows]


def options(count, best=lambda q: 0, choices=5):
    """Questions with option 0 right; `best(q)` scores highest."""
    return [
        {"query": str(q), "caption": f"option {o}", "video": f"{q // 2}.mp4", "label": int(o == 0)}
        | {"log_odds": 1.0 if o == best(q) else 0.0}
        for q in range(count)
        for o in range(choices)
    ]


# ---- entailment


def test_each_entailment_figure_is_of_its_own_pairs():
    """The parts are ranked right, wrong, or half by construction, so taking another part's pairs shows."""
    kinds = {"unseen": (True, "object", 1.0), "temporal": (False, "flip", 0.0), "rest": (False, "count", 0.5)}
    rows = []
    for place, (unseen, kind, auc) in enumerate(kinds.values()):
        for i in range(4):
            true, negative = {1.0: (1, 0), 0.0: (0, 1), 0.5: (0, 0)}[auc]
            more = {"unseen": unseen, "misalignment": kind}
            rows += [
                entailment_row(10 * place + i, 1, true, **more),
                entailment_row(10 * place + i, 0, negative, **more),
            ]
    found = arm_results({"open": rows, "in_distribution": rows[:8]}, CONFIG)
    assert found["unseen"]["auc"] == found["in_distribution"]["auc"] == found["per_type"]["object"]["auc"] == 1.0
    assert found["temporal"]["auc"] == found["per_type"]["flip"]["auc"] == 0.0
    assert found["per_type"]["count"]["auc"] == 0.5 and found["open"]["auc"] == naive_auc(rows)
    assert found["unseen"]["expected"] == 8 and set(found["per_type"]) == {"object", "flip", "count"}


def test_an_empty_open_test_is_not_filled_with_the_in_distribution_pairs():
    rows = entailment_rows(4, 0)
    assert "open" not in subsets({"open": [], "in_distribution": rows})
    assert subsets({"open": [], "in_distribution": rows})["per_type.object"] == rows


def test_the_entailment_interval_draws_videos_and_not_rows():
    rows = entailment_rows(40, 3)
    by_video = [naive_auc([rows[i] for i in draw]) for draw in resampled([r["video"] for r in rows], DRAWS)]
    by_row = [naive_auc([rows[i] for i in draw]) for draw in resampled([str(i) for i in range(80)], DRAWS)]
    found = entailment(rows, CONFIG)
    assert (found["low"], found["high"]) == pytest.approx(middle(by_video), abs=1e-12)
    assert found["auc"] == pytest.approx(naive_auc(rows), abs=1e-12)
    assert (found["low"], found["high"]) != pytest.approx(middle(by_row), abs=1e-3)


def test_a_missing_score_is_counted_not_zero():
    rows = entailment_rows(10, 1)
    holes = without_scores(rows, lambda row: row["query"] in ("t0", "t3"))
    found = entailment(holes, CONFIG)
    kept = [row for row in holes if row["log_odds"] is not None]
    assert (found["expected"], found["missing"]) == (20, 4)
    assert found["auc"] == pytest.approx(naive_auc(kept)) != pytest.approx(naive_auc(rows))


@pytest.mark.parametrize("left", ["nothing", "true captions", "negative captions"])
def test_a_subset_without_both_classes_is_null_with_its_counts(left):
    keeps = {"nothing": (), "true captions": (1,), "negative captions": (0,)}[left]
    rows = without_scores(entailment_rows(5, 0), lambda row: row["label"] not in keeps)
    assert entailment(rows, CONFIG) == {"auc": None, "low": None, "high": None, "expected": 10} | {
        "missing": 10 - 5 * len(keeps)
    }


# ---- retrieval


def test_retrieval_intervals_hold_their_own_figure_and_cover_the_true_one_as_often_as_they_say():
    """The truth is the mean over many draws of the scores; the interval resamples videos, so it is about as wide."""
    found = [retrieval(retrieval_rows(seed, 1.0), CONFIG) for seed in range(16)]
    truth = np.mean([f["map"] for f in found])
    assert all(f["low"] <= f["map"] <= f["high"] for f in found)
    assert np.mean([f["low"] <= truth <= f["high"] for f in found]) >= 0.8


def test_a_perfect_ranking_has_map_one_and_a_hit_on_top():
    found = retrieval(retrieval_rows(0, 100.0), EvaluateConfig(draws=20))
    assert found["map"] == found["high"] == found["recall_at_1"] == 1.0 and found["missing"] == 0
    assert (found["queries"], found["queries_dropped"]) == (7, 0)


def naive_map(rows, taken):
    """Mean AP over queries of the scored rows, each as often as its video was taken; None without any positive."""
    values = []
    for query in dict.fromkeys(row["query"] for row in rows):
        own = [row for row in rows if row["query"] == query and row["log_odds"] is not None]
        own = [row for row in own for _ in range(taken.get(row["video"], 0))]
        if any(row["label"] for row in own):
            values.append(naive_ap([row["label"] for row in own], [row["log_odds"] for row in own]))
    return float(np.mean(values)) if values else None


def test_a_query_is_ranked_over_the_videos_that_have_a_score_for_it():
    """Scores near -5, a hole in the first query and in others: figure and interval as a loop that skips the holes."""
    rows = [row | {"log_odds": row["log_odds"] - 5} for row in retrieval_rows(1, 1.0, queries=4, each=3)]
    holes = without_scores(
        rows, lambda row: (row["query"], row["video"]) in {("0", "0.mp4"), ("0", "7.mp4"), ("2", "6.mp4")}
    )
    found = retrieval(holes, CONFIG)
    videos = list(dict.fromkeys(row["video"] for row in holes if row["log_odds"] is not None))
    everything = dict.fromkeys(videos, 1)
    assert found["map"] == pytest.approx(naive_map(holes, everything), abs=1e-12)
    assert (found["expected"], found["missing"], found["queries"], found["queries_dropped"]) == (48, 3, 4, 0)
    filled = [row if row["log_odds"] is not None else row | {"log_odds": 0.0, "label": 0} for row in holes]
    assert abs(found["map"] - naive_map(filled, everything)) > 0.01
    drawn = [
        naive_map(holes, {video: draw.count(i) for i, video in enumerate(videos)}) for draw in resampled(videos, DRAWS)
    ]
    low, high = (value - np.mean(drawn) + found["map"] for value in middle(drawn))
    assert (found["low"], found["high"]) == pytest.approx((max(low, 0), min(high, 1)), abs=1e-12)
    assert found["low"] != pytest.approx(middle(drawn)[0], abs=1e-3)  # the draws' mean is above the figure


def test_recall_is_of_the_scored_videos_of_the_kept_queries():
    rows = retrieval_rows(0, 0.0, queries=3, each=1)
    scores = {("0", "0"): 3, ("0", "1"): 2, ("1", "1"): None, ("2", "2"): 1, ("2", "0"): 2, ("2", "1"): None}
    for row in rows:
        row["log_odds"] = scores.get((row["query"], row["video"][0]), 0.0)
    found = retrieval(rows, CONFIG)
    assert (found["queries"], found["queries_dropped"], found["missing"]) == (2, 1, 2)
    assert found["recall_at_1"] == 0.5 and found["recall_at_5"] == 1.0  # query 0 has its hit first, query 2 second
    assert found["map"] == pytest.approx((1 + 1 / 2) / 2)


@pytest.mark.parametrize("lost", ["no positive at all", "all positives missing", "all scores missing"])
def test_a_query_without_a_right_video_is_dropped_and_counted(lost):
    rows = retrieval_rows(2, 1.0, queries=3, each=3)
    rest = retrieval([row for row in rows if row["query"] != "0"], CONFIG)
    for row in rows:
        if row["query"] == "0" and (row["label"] or lost == "all scores missing"):
            row |= {"label": 0} if lost == "no positive at all" else {"log_odds": None}
    found = retrieval(rows, CONFIG)
    assert (found["queries"], found["queries_dropped"]) == (2, 1)
    for key in ("map", "low", "high", "recall_at_1", "recall_at_5", "recall_at_10"):
        assert found[key] == rest[key]


def test_retrieval_without_any_query_left_is_null_with_its_counts():
    found = retrieval(without_scores(retrieval_rows(0, 1.0, 2, 2), lambda row: row["label"]), CONFIG)
    assert found == dict.fromkeys(("map", "low", "high", "recall_at_1", "recall_at_5", "recall_at_10")) | {
        "queries": 0, "queries_dropped": 2, "expected": 8, "missing": 4,
    }  # fmt: skip


# ---- questions


def test_questions_with_a_missing_answer_are_counted_not_averaged():
    rows = without_scores(
        options(4, best=lambda q: q % 2), lambda row: (row["query"], row["caption"]) == ("0", "option 0")
    )
    found = question_answering(rows, CONFIG)
    assert found["expected"] == 20 and found["missing"] == 1
    assert (found["questions"], found["questions_dropped"]) == (3, 1)
    assert found["accuracy"] == pytest.approx(1 / 3)


def test_the_interval_of_accuracy_draws_videos_and_not_questions():
    rows = options(24, best=lambda q: int(q % 6 < 2))  # two questions per video, right or wrong together
    drawn = [np.mean([float(q % 6 >= 2) for q in draw]) for draw in resampled([str(q // 2) for q in range(24)], DRAWS)]
    found = question_answering(rows, CONFIG)
    assert (found["low"], found["high"]) == pytest.approx(middle(drawn), abs=1e-12)


@pytest.mark.parametrize("right", [0, 2])
def test_a_question_without_a_single_right_option_is_dropped_and_counted(right):
    rows = options(3)
    for row, label in zip(rows[:5], [1] * right + [0] * (5 - right), strict=True):
        row["label"] = label
    found = question_answering(rows, CONFIG)
    assert (found["accuracy"], found["questions"], found["questions_dropped"]) == (1.0, 2, 1)


def test_without_a_whole_question_accuracy_is_null_with_its_counts():
    found = question_answering(without_scores(options(2), lambda row: row["caption"] == "option 4"), CONFIG)
    assert found == {"accuracy": None, "low": None, "high": None, "expected": 10, "missing": 2} | {
        "questions": 0, "questions_dropped": 2,
    }  # fmt: skip


# ---- differences


def test_a_difference_is_the_arm_minus_the_baseline():
    good, bad = entailment_rows(20, 0, signal=3.0), entailment_rows(20, 1, signal=-3.0)
    found = differences({"open": good}, {"open": bad}, CONFIG)["open"]
    assert found["auc"] == pytest.approx(naive_auc(good) - naive_auc(bad)) and found["low"] > 0
    back = differences({"open": bad}, {"open": good}, CONFIG)["open"]
    assert back["auc"] == -found["auc"] and (back["low"], back["high"]) == pytest.approx(
        (-found["high"], -found["low"])
    )


def test_the_interval_of_a_difference_draws_the_same_videos_for_both():
    mine, other = entailment_rows(30, 0), entailment_rows(30, 1)
    drawn = [
        naive_auc([mine[i] for i in draw]) - naive_auc([other[i] for i in draw])
        for draw in resampled([row["video"] for row in mine], DRAWS)
    ]
    found = differences({"open": mine}, {"open": other}, CONFIG)["open"]
    assert (found["low"], found["high"]) == pytest.approx(middle(drawn), abs=1e-12)


def test_identical_scores_in_another_order_do_not_differ():
    rows = entailment_rows(30, 0)
    order = np.random.default_rng(0).permutation(60)
    found = differences({"open": rows}, {"open": [rows[i] for i in order]}, CONFIG)["open"]
    assert found == {"auc": 0.0, "low": 0.0, "high": 0.0, "pairs": 60, "left_out": 0}


def test_rows_that_only_one_of_two_arms_has_are_left_out_and_counted():
    mine, other = entailment_rows(12, 0), entailment_rows(12, 1)
    both = range(4, 22)  # the baseline lacks the first four rows, the arm the last two
    more = without_scores(mine[:22], lambda row: row is mine[4])
    found = differences({"open": more}, {"open": other[4:]}, CONFIG)["open"]
    kept = [i for i in both if i != 4]
    assert (found["pairs"], found["left_out"]) == (17, 4 + 2 + 1)
    assert found["auc"] == pytest.approx(naive_auc([mine[i] for i in kept]) - naive_auc([other[i] for i in kept]))
    nothing = {"auc": None, "low": None, "high": None, "pairs": 0, "left_out": 24}
    assert differences({"open": mine}, {}, CONFIG)["open"] == nothing


def test_rows_of_equal_caption_and_video_are_told_apart_by_their_query():
    rows = [
        entailment_row(i, label, float(label == 1), caption=f"the same {label}", video="v.mp4")
        for i in (0, 1)
        for label in (1, 0)
    ]
    other = [row | {"log_odds": float(row["query"] == "t0") - row["label"]} for row in rows]
    found = differences({"open": rows}, {"open": other[::-1]}, CONFIG)["open"]
    assert found["auc"] == 1.0 - naive_auc(other) and found["pairs"] == 4


def test_arms_that_disagree_about_what_is_right_are_refused():
    rows = entailment_rows(3, 0)
    other = copy.deepcopy(rows)
    other[2]["label"] = 0
    with pytest.raises(ValueError, match=r"caption 'caption 1 1' of video v0.mp4: one arm's label is 1, real_only's 0"):
        differences({"open": rows}, {"open": other}, CONFIG)


# ---- the file


def test_results_without_any_usable_pair_are_strict_json_with_null_for_every_figure(tmp_path):
    for arm in ("real_only", "synvita"):
        folder = tmp_path / HOME / "pairs" / arm / "0"
        write_records(folder / "open.jsonl", without_scores(entailment_rows(4, 0), lambda row: True))
        write_records(
            folder / "retrieval_temporal.jsonl", without_scores(retrieval_rows(0, 1.0, 2, 2), lambda row: True)
        )
        write_records(folder / "qa.jsonl", without_scores(options(2), lambda row: True))
    collect(tmp_path, {HOME: ["real_only", "synvita"]}, 0, CONFIG)

    def refuse(word):
        raise AssertionError(word)

    arms = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"), parse_constant=refuse)["arms"]
    for name, key in (("open", "auc"), ("retrieval_temporal", "map"), ("qa", "accuracy")):
        entry = arms["synvita"][name]
        assert entry[key] is None and entry["missing"] == entry["expected"] > 0
    assert arms["synvita"]["minus_real_only"]["open"] == {"auc": None, "low": None, "high": None, "pairs": 0} | {
        "left_out": 8
    }


def test_an_interval_that_the_data_do_not_allow_is_null(tmp_path):
    """Two videos, one with the true captions and one with the false: half of the draws have one class."""
    rows = [entailment_row(2 * i, i, float(i)) for i in (0, 1)] + [entailment_row(4, 1, None)]
    for draws in range(1, 8):
        found = entailment(rows, EvaluateConfig(draws=draws))
        both = sum(len(set(draw)) == 2 for draw in resampled(["v0", "v1"], draws))
        assert found["auc"] == 1.0 and (found["low"] is None) == (2 * both < draws), draws
        assert all(value is None or math.isfinite(value) for value in found.values())


def test_a_contradiction_between_arms_names_the_folder(tmp_path):
    rows = entailment_rows(3, 0)
    write_records(tmp_path / HOME / "pairs" / "real_only" / "0" / "open.jsonl", rows)
    rows[0]["label"] = 0
    write_records(tmp_path / HOME / "pairs" / "mine" / "0" / "open.jsonl", rows)
    with pytest.raises(ValueError, match=r"pairs/mine/0: open: caption .* ask one of them again"):
        collect(tmp_path, {HOME: ["real_only", "mine"]}, 0, CONFIG)


def test_two_processes_measure_what_one_does_in_the_same_order(tmp_path, monkeypatch):
    arms = ["weighted", "real_only", "off_the_shelf"]
    for seed, arm in enumerate(arms):
        write_records(tmp_path / HOME / "pairs" / arm / "0" / "open.jsonl", entailment_rows(6, seed))
    one = collect(tmp_path, {HOME: arms}, 0, CONFIG, workers=2)  # few pairs: in this process
    monkeypatch.setattr("synvita.evaluate.results.WORTH_A_PROCESS", 0)
    two = collect(tmp_path, {HOME: arms}, 0, CONFIG, workers=2)
    assert two == one and list(two["arms"]) == arms and two["arms"]["weighted"]["minus_real_only"]
