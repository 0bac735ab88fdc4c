"""The first screen says what the numbers say: the verdict, what it costs, what was measured, what nobody can tell."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from report_runs import DECODER, difference, make_results, make_run, paired

from synvita.core.records import Triplet
from synvita.core.set_aside import set_aside
from synvita.core.store import read_records
from synvita.report.dots import dot_plot
from synvita.report.measured import aside_rows, measured
from synvita.report.page import write_report
from synvita.report.results_file import check_results
from synvita.report.table import arm_table
from synvita.report.verdict import verdict
from synvita.report.weights import blind_words

assert DECODER  # the shared one of these tests' pages


@pytest.fixture
def arms() -> dict[str, Any]:
    return make_results()["arms"]


def versus(arms: dict[str, Any], arm: str, task: str, low: float, mid: float, high: float) -> None:
    arms[arm]["minus_real_only"][task] = difference(mid, low, high)


def test_yes_names_the_best_arm_its_gain_and_its_cost(arms: dict[str, Any]) -> None:
    start = "Yes, with 1 of 3 ways of using them: “SynViTA” beats “captions only” by 3.5 points on the open test"
    assert verdict(arms).answer == f"{start}." and verdict(arms).best == "synvita"
    versus(arms, "synvita", "in_distribution", -0.007, -0.004, -0.001)
    assert verdict(arms).answer == f"{start}; it costs 0.4 points in distribution."
    versus(arms, "synvita", "in_distribution", -0.007, 0.003, 0.009)
    assert verdict(arms).answer == f"{start}; in distribution it loses nothing that can be measured (+0.3)."
    for name in ("uniform", "weighted"):
        versus(arms, name, "open", 0.001, 0.01, 0.02)
    assert verdict(arms).answer.startswith("Yes: “SynViTA” beats")


def test_without_a_better_arm_the_answer_is_no_or_cannot_tell(arms: dict[str, Any]) -> None:
    versus(arms, "synvita", "open", -0.01, 0.035, 0.06)
    assert verdict(arms).answer == (
        "Cannot tell: no way of using the clips differs from captions only on the open test "
        "(at most “SynViTA” against “captions only” +3.5 points [-1.0, +6.0])."
    )
    versus(arms, "uniform", "open", -0.04, -0.03, -0.01)
    assert verdict(arms).answer.startswith("No: no way of using the clips is better than captions only")


def test_what_cannot_be_compared_is_said(arms: dict[str, Any]) -> None:
    assert verdict({}).answer == "This run has no figures yet." and verdict({}).tiles == []
    only = {"real_only": arms["real_only"]}
    assert verdict(only).answer.endswith("has no arm trained with synthetic clips that was asked on the open test.")
    del arms["real_only"]
    for arm in arms.values():
        arm.pop("minus_real_only", None)
    assert "has no arm trained on captions only" in verdict(arms).answer


def test_fewer_than_fifty_pairs_are_too_few_whatever_they_say(tmp_path: Path, arms: dict[str, Any]) -> None:
    for arm in arms.values():
        arm["open"] |= {"expected": 52, "missing": 3}
    assert verdict(arms).answer.startswith("Too few to tell: 49 test pairs on the open test (“SynViTA” against")
    assert [tile.few for tile in verdict(arms).tiles if tile.title == "Open"] == ["only 49 test pairs"]
    page = write_report(make_run(tmp_path), {"arms": arms}).read_text()
    assert "Too few to tell" in page and "[66.7, 71.0]" in page and "only 49 test pairs" in page
    for arm in arms.values():
        arm["open"]["missing"] = 2
    assert verdict(arms).answer.startswith("Yes")


def test_an_arm_that_was_told_the_truth_is_a_ceiling_whatever_its_name(arms: dict[str, Any]) -> None:
    before = verdict(arms)
    arms["mine"] = copy.deepcopy(arms["weighted_oracle"]) | {"weights_from": "product of world_truth"}
    assert verdict(arms) == before and before.best == "synvita"


def test_an_arm_without_clips_is_no_way_of_using_them(arms: dict[str, Any]) -> None:
    before = verdict(arms).answer
    arms["longer"] = copy.deepcopy(arms["synvita"]) | {"weights_from": "none (no synthetic clips)"}
    arms["a table"] = copy.deepcopy(arms["synvita"]) | {"weights_from": "nothing trained; score of mine.csv"}
    assert verdict(arms).answer == before


def test_the_tiles_are_the_best_arms_figures_beside_captions_only(arms: dict[str, Any]) -> None:
    tiles = {tile.title: tile for tile in verdict(arms).tiles}
    assert list(tiles) == ["Unseen", "Open", "Temporal", "In-distribution"]
    shown = tiles["Open"]
    assert (shown.value, shown.baseline, shown.difference, shown.sign) == ("68.8", "65.3", "+3.5", "better")
    assert tiles["Unseen"].sign == "worse" and tiles["Temporal"].difference == "–"


def test_everything_that_got_worse_is_named(arms: dict[str, Any]) -> None:
    for arm in ("uniform", "weighted"):
        versus(arms, arm, "unseen", -0.01, 0.0, 0.01)
    assert verdict(arms).worse == (
        "What got worse than captions only, in points: unseen -3.5 with “SynViTA”; "
        "retrieval, events -2.8 with “SynViTA”."
    )
    versus(arms, "uniform", "unseen", -0.03, -0.02, -0.01)
    assert "in points: unseen -2.0 with “+ clips, all trusted”, -3.5 with “SynViTA”; retrieval" in verdict(arms).worse
    versus(arms, "uniform", "unseen", -0.01, 0.0, 0.01)
    versus(arms, "synvita", "unseen", 0.01, 0.02, 0.03)
    arms["synvita"]["minus_real_only"]["retrieval_events"] = paired(-0.028, -0.047, 0.001)
    assert verdict(arms).worse.startswith("Nothing got worse than captions only, in ")


def test_the_bias_of_captions_alone_is_told_where_it_shows(arms: dict[str, Any]) -> None:
    text = "Trained on captions only, the model is worse on unseen concepts than untrained: -8.2 points [-11.0, -5.1]."
    assert text in verdict(arms).notes
    versus(arms, "off_the_shelf", "unseen", -0.01, 0.03, 0.06)
    assert not any("untrained" in note for note in verdict(arms).notes)


def test_what_stands_at_chance_in_every_arm_is_told_in_words(arms: dict[str, Any]) -> None:
    assert not any("at chance" in note for note in verdict(arms).notes)
    for i, arm in enumerate(arms.values()):
        arm["per_type"]["relation"] |= {"auc": 0.49 + i / 500, "low": 0.51, "high": 0.52}
        arm["qa"] |= {"accuracy": 0.3, "low": 0.15, "high": 0.35, "questions": 80, "expected": 400}
    notes = verdict(arms).notes
    told = "Pairs of the type relation stand at chance in every arm (AUC 49.0 to 50.0): no training told them apart."
    assert told in notes and "Questions stand at chance in every arm (guessing gives 20.0 %)." in notes
    arms["uniform"]["per_type"]["relation"] |= {"auc": 0.53, "low": 0.51, "high": 0.55}
    arms["uniform"]["qa"]["low"] = 0.21
    assert not any("at chance" in note for note in verdict(arms).notes)


# ---- what was measured


def test_the_first_screen_says_videos_seeds_and_model_size(tmp_path: Path) -> None:
    results, run = make_results(), make_run(tmp_path)
    triplets = read_records(run / "triplets.jsonl", Triplet)

    def told(config: str) -> dict[str, str]:
        (run / "config.yaml").write_text(config, encoding="utf-8")
        return dict(measured(run, results, triplets))

    facts = told("world: {seed: 7}\ntrain: {seed: 3}\n")
    assert facts["Videos"] == "the miniature's, a simulated world of moving coloured shapes (seed 7)"
    assert facts["Model"] == "mini-video-llava, 2.1 million parameters"
    assert facts["Seeds"].startswith("one (training seed 3)") and facts["Data"].endswith("2,000 test pairs of 5 tests")
    assert facts["Clips"] == "14 by sim"  # as many files as there are in the folder of that generator
    assert told("world: null\n")["Videos"] == "real ones, of your own" and "Videos" not in told("train: {seed: 3}\n")
    page = write_report(run, results).read_text()
    assert page.index("2.1 million parameters") < page.index('id="results"')
    with pytest.raises(ValueError, match=r"x: parameters\.a: 'many' is not a count"):
        check_results({"arms": {}, "parameters": {"a": "many"}}, "x")


def test_the_reason_and_the_way_out_stand_beside_the_count_of_what_was_set_aside(tmp_path: Path) -> None:
    run, arms = make_run(tmp_path), make_results()["arms"]
    assert aside_rows(run, arms) == []
    reasons = {
        "c1": "a.mp4: zero bytes; fetch it again",
        "c2": "b.mp4: no frames",
        "c3": "a.mp4: zero bytes; fetch it again",
    }
    set_aside(run, "generate clips/lavie", reasons)  # fmt: skip
    arms["synvita"]["set_aside"] = [{"video": "v.mp4", "reason": "v.mp4: cut; re-encode it"}]
    rows = aside_rows(run, arms)
    assert rows == [
        ("generate clips/lavie", "3", "a.mp4: zero bytes (and 1 for other reasons)", "fetch it again"),
        ("train, SynViTA", "1", "v.mp4: cut", "re-encode it"),
    ]
    page = write_report(run, {"arms": arms}).read_text()
    assert "<td>3</td>" in page and '<td class="words">fetch it again</td>' in page and "1 set aside" in page
    set_aside(run, "generate clips/lavie", {"c2": "b.mp4: no frames"})
    assert aside_rows(run, {}) == [
        ("generate clips/lavie", "1", "b.mp4: no frames", f"then once more: synvita generate --run {run}")
    ]
    arms["synvita"]["set_aside"] = [{"video": 3}]
    with pytest.raises(ValueError, match=r"arms\.synvita\.set_aside: expected a list of"):
        check_results({"arms": arms}, "x")


# ---- dots and scorers


def test_a_dot_its_interval_and_the_reference_lie_where_the_axis_says(arms: dict[str, Any]) -> None:
    axes, rows = dot_plot(arms)
    place = [axis.task.name for axis in axes].index("open")
    axis = axes[place]
    assert (axis.low, axis.high) == (55, 75)  # 55.0 of off_the_shelf to 72.4 of weighted_oracle
    mark = {row.arm: row.marks[place] for row in rows}["synvita"]
    assert mark is not None and mark.text == "68.8 [66.7, 71.0]" and mark.sign == "better"
    assert [round(axis.low + at * 20 / 100, 1) for at in (mark.low, mark.at, mark.high)] == [66.7, 68.8, 71.0]
    assert axis.reference is not None and round(axis.low + axis.reference * 20 / 100, 1) == 65.3
    arms["synvita"]["open"]["low"] = None
    axes, rows = dot_plot(arms)
    assert {row.arm: row.marks[place] for row in rows}["synvita"] is None


def test_blind_scorers_are_pointed_out_by_type() -> None:
    def types(**lows: float | None) -> dict[str, Any]:
        return {"types": {"all": {"low": 0.4}} | {kind: {"low": low} for kind, low in lows.items()}}

    found = blind_words(
        {
            "a": types(flip=0.4, relation=0.5, action=0.2),
            "b": types(flip=0.6, relation=0.3, action=0.1),
            "c": types(count=None),
        }
    )
    assert found == ["Every scorer is blind to relation, action.", "Blind to flip: a. Not blind to it: b."]
    assert blind_words({"a": types(flip=0.51)}) == []


def test_blind_scorers_stand_in_words_on_the_page(tmp_path: Path) -> None:
    keys = ("own", "real", "difference", "spread", "weight", "zero")
    entry = {"clips": 9, **dict.fromkeys(keys, 0.1), "low": 0.4}
    results = {"arms": {}, "audit": {"scorers": {"x": {"types": {"flip": entry}, "blind": []}}}}
    page = write_report(make_run(tmp_path), json.loads(json.dumps(results))).read_text()
    assert "Every scorer is blind to flip." in page and "A scorer is blind to a type where" in page


def test_a_figure_without_a_difference_leaves_room_for_one_only_where_its_column_has_others() -> None:
    figures = {"open": {"auc": 0.8, "low": 0.7, "high": 0.9}, "qa": {"accuracy": 0.5, "low": 0.4, "high": 0.6}}
    arms = {
        "real_only": figures,
        "uniform": figures | {"minus_real_only": {"open": {"auc": 0.01, "low": -0.1, "high": 0.1}}},
    }
    tasks, (reference, other) = arm_table(arms)
    assert [task.name for task in tasks] == ["open", "qa"]
    assert [cell.gap for cell in reference["cells"]] == [True, False]
    assert [cell.gap for cell in other["cells"]] == [False, False]
