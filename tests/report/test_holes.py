"""Runs with holes: figures that are null, queries that were dropped; several clips per triplet; tiny checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from report_runs import DECODER, SCORERS, difference, make_results, make_run
from run_files import weight_rows, write_clips, write_weights

from synvita.core.records import Clip, ClipWeight, Triplet
from synvita.core.store import read_records, write_records
from synvita.core.vocabulary import FIGURES
from synvita.report.gallery import gallery
from synvita.report.page import write_report
from synvita.report.study import mean_and_spread, render
from synvita.report.table import cell, gaps, sign_of
from synvita.report.terminal import terminal_table
from synvita.report.tiny import tiny_models, tiny_note
from synvita.report.verdict import verdict

NOTHING = {"low": None, "high": None}
RETRIEVAL = next(task for task in FIGURES if task.name == "retrieval_temporal")
OPEN = next(task for task in FIGURES if task.name == "open")


@pytest.fixture
def results() -> dict[str, Any]:
    return make_results()


def emptied(results: dict[str, Any]) -> dict[str, Any]:
    """The same results with every figure null, as they are where no pair has a score."""
    for arm in results["arms"].values():
        for entry in [*arm.values(), *arm["per_type"].values(), *arm.get("minus_real_only", {}).values()]:
            for key in ("auc", "map", "accuracy"):
                if isinstance(entry, dict) and key in entry:
                    entry |= {key: None, **NOTHING}
        for entry in arm.get("minus_real_only", {}).get("per_type", {}).values():
            entry |= {"auc": None, **NOTHING}
    for entry in results["weights"].values():
        entry |= {"clips": 0, "right": 0, "mean_weight": None}
    return results


# ---- figures that are null


def test_a_run_without_any_figure_has_a_page_with_dashes_and_counts(tmp_path: Path, results: dict[str, Any]) -> None:
    results = emptied(results)
    page = write_report(make_run(tmp_path), results).read_text(encoding="utf-8")
    assert "This run has no figures yet." in page
    assert "<b>68.8</b>" not in page and "3 of 400 missing" in page and ">nan" not in page
    assert page.count("<b>–</b>") >= 9 * 6 and 'class="difference' not in page and "None" not in page
    assert 'class="track"' not in page
    text = terminal_table(results["arms"])
    assert "synvita, open: 3 of 400 missing" in text and "nan" not in text and "[" not in text


def test_a_null_figure_of_one_arm_does_not_win_and_is_no_difference(results: dict[str, Any]) -> None:
    arms = results["arms"]
    arms["synvita"]["open"] |= {"auc": None, **NOTHING}
    arms["synvita"]["minus_real_only"]["open"] = {"auc": None, **NOTHING, "pairs": 0, "left_out": 400}
    arms["off_the_shelf"]["minus_real_only"]["unseen"] |= NOTHING
    found = verdict(arms)
    assert found.best == "weighted" and "+1.1 points [-0.4, +2.7]" in found.answer
    assert not any("unseen" in note for note in found.notes) and "SynViTA" not in found.answer


def test_a_cell_says_what_its_figure_and_its_difference_leave_out(results: dict[str, Any]) -> None:
    arm = results["arms"]["synvita"]
    arm["retrieval_temporal"] |= {"queries": 7, "queries_dropped": 2, "missing": 5}
    arm["minus_real_only"]["open"] |= {"pairs": 390, "left_out": 10}
    assert gaps(arm, RETRIEVAL) == cell(arm, RETRIEVAL).gaps == "5 of 400 missing, 2 of 9 queries dropped"
    assert gaps(arm, OPEN) == "3 of 400 missing, difference without 10 pairs that not both arms have scored"
    assert gaps(results["arms"]["uniform"], OPEN) == ""


def test_dropped_queries_and_questions_stand_on_the_page_and_in_the_terminal(
    tmp_path: Path, results: dict[str, Any]
) -> None:
    explained = "A query is ranked over the videos that have a score for it"
    assert explained not in write_report(make_run(tmp_path), results).read_text(encoding="utf-8")
    results["arms"]["synvita"]["retrieval_events"] |= {"queries": 7, "queries_dropped": 2}
    results["arms"]["uniform"]["qa"] |= {"questions": 0, "questions_dropped": 3, "accuracy": None, **NOTHING}
    page = write_report(tmp_path, results).read_text(encoding="utf-8")
    assert '<small class="missing">2 of 9 queries dropped</small>' in page and explained in page
    assert '<small class="missing">3 of 3 questions dropped</small>' in page
    lines = terminal_table(results["arms"]).splitlines()
    assert lines[-2:] == ["synvita, open: 3 of 400 missing", "synvita, retr. events: 2 of 9 queries dropped"]
    assert "uniform, QA: 3 of 3 questions dropped" in lines
    assert lines[0].split()[-2:] == ["events", "QA"] and lines[3].startswith("uniform") and lines[3].endswith(" -")
    assert lines[5].startswith("synvita") and "68.8 [66.7, 71.0]" in lines[5]


def test_what_all_arms_lack_is_said_once_and_else_by_whom(results: dict[str, Any]) -> None:
    for arm in results["arms"].values():
        arm["qa"] |= {"questions": 5, "questions_dropped": 3}
    for name in ("synvita", "uniform"):
        results["arms"][name]["open"] |= {"missing": 3, "expected": 400}
    lines = terminal_table(results["arms"]).splitlines()
    assert [line for line in lines if "questions dropped" in line] == ["QA: 3 of 8 questions dropped, only 5 questions"]
    (line,) = (line for line in lines if "3 of 400 missing" in line)
    assert set(line.split(", open")[0].split(", ")) == {"synvita", "uniform"}


def test_cells_of_the_terminals_table_never_touch(results: dict[str, Any]) -> None:
    for task in ("in_distribution", "unseen", "temporal"):
        results["arms"]["synvita"][task] |= {"auc": 1.0, "low": 1.0, "high": 1.0}
    (line,) = (line for line in terminal_table(results["arms"]).splitlines() if line.startswith("synvita "))
    assert line.count("  100.0 [100.0, 100.0]") == 3


def test_seeds_without_a_figure_are_no_values_of_a_mean_and_are_counted() -> None:
    assert mean_and_spread([0.5, None, 0.7]) == "60.0 ± 14.1 (2 of 3 seeds)"
    assert mean_and_spread([0.5, 0.7]) == "60.0 ± 14.1" and mean_and_spread([None]) == ""
    figures = {"0": {"open": 0.7, "per_type.flip": None}, "1": {"open": None, "per_type.flip": 0.5}, "2": {"open": 0.8}}
    base = {seed: {"open": 0.6, "per_type.flip": 0.5} for seed in "012"}
    entry = {"clips": 4, "right": 1, "mean_weight": 0.25, "auc": None, "low": None, "high": None}
    nothing = {"clips": 0, "right": 0, "mean_weight": None}
    text = render(
        {
            "arms": {"uniform": figures, "real_only": base, "weighted_oracle": base},
            "studies": {"arms": {"uniform": "uniform"}, "scorers": {"uniform": "uniform"}},
            "seconds": {"arms": {"0": 60}, "scorers": {"0": 60}},
            "weights": {"0": {"single frames": {"all": entry, "flip": nothing}}},
        }
    )
    assert "| uniform | 3 |  | 75.0 ± 7.1 (2 of 3 seeds) |" in text
    assert "| uniform |  | +15.0 [-48.5, +78.5] p=0.205 (0.20) (2 of 3 seeds) |" in text
    assert "| uniform | 50.0 ± 0.0 (1 of 3 seeds) |" in text
    assert "| all | 25 % |  | 0.250 |" in text and "| flip | 0 % |  |  |" in text


def test_a_difference_without_an_interval_is_shown_without_one(results: dict[str, Any]) -> None:
    arm = results["arms"]["synvita"]
    arm["minus_real_only"]["open"] = difference(0.035, 0.0, 0.0) | NOTHING
    shown = cell(arm, OPEN)
    assert (shown.difference, shown.difference_interval, shown.sign) == ("+3.5", "", "")
    signs = [sign_of(difference(0.0, *bounds)) for bounds in ((0.0, 0.1), (-0.1, 0.0), (0.01, 0.1), (-0.1, -0.01))]
    assert signs == ["", "", "better", "worse"]  # an interval that ends at 0 holds 0


# ---- several clips per triplet


def many_clips(run: Path) -> Path:
    """Three triplets, three generators: nine clips, of which the last also serves triplet t02's neighbour."""
    names = ("cogvideox", "lavie", "videocrafter2")
    triplets = read_records(make_run(run) / "triplets.jsonl", Triplet)[:3]
    clips = [
        Clip(f"{n}{i}", triplets[i].negative_caption, n, "1", {}, 0, f"clips/sim/{i}.mp4")
        for i in range(3)
        for n in names
    ]
    weights = []
    for number, clip in enumerate(clips):
        triplet = f"t{number // 3:02}"
        weights.append(ClipWeight(triplet, clip.clip_id, "difference", SCORERS, number / 10))
        weights.append(ClipWeight(triplet, clip.clip_id, "difference", ["world_truth"], float(number % 3 == 0)))
    write_records(run / "triplets.jsonl", triplets)
    write_clips(run, clips)
    write_weights(run, weights)
    return run


def test_each_clip_of_a_triplet_is_weighed_and_shown_with_its_generator(tmp_path: Path) -> None:
    run = many_clips(tmp_path)
    found = gallery(run, read_records(run / "triplets.jsonl", Triplet), DECODER)
    assert found is not None and found.clips == found.shown == 9 and found.middle == pytest.approx(0.45)
    assert sorted(card.triplet_id for card in found.cards) == ["t00", "t01", "t02"]
    shown = {
        (card.triplet_id, clip.generator): (clip.weight, clip.truth) for card in found.cards for clip in card.clips
    }
    names = ("cogvideox", "lavie", "videocrafter2")
    assert shown == {(f"t{i // 3:02}", names[i % 3]): (i / 10, i % 3 == 0) for i in range(9)}
    page = write_report(run, {"arms": {}}).read_text(encoding="utf-8")
    assert "9 of the 9 weighed clips" in page
    assert page.count(">by lavie</p>") == 3
    assert page.count('aria-label="Synthetic clip of triplet t01, videocrafter2"') == 1


def test_a_clip_that_serves_two_triplets_is_one_clip(tmp_path: Path) -> None:
    run = many_clips(tmp_path)
    weights = weight_rows(run)
    write_weights(run, [*weights, ClipWeight("t00", "lavie2", "difference", SCORERS, 0.95)])
    found = gallery(run, read_records(run / "triplets.jsonl", Triplet), DECODER)
    assert found is not None and found.clips == 9 and found.shown == 10
    first = next(card for card in found.cards if card.triplet_id == "t00")
    assert sorted(clip.weight for clip in first.clips) == [0, 0.1, 0.2, 0.95]


# ---- real videos and tiny checkpoints


def test_a_tiny_checkpoint_that_was_asked_about_real_videos_is_named(tmp_path: Path, results: dict[str, Any]) -> None:
    run = make_run(tmp_path)
    names = {"llava": "mini-llava", "video_llm": "mini-clip", "unused": "mini-x"}
    entries = ", ".join(f"{name}: {{checkpoint: {checkpoint}}}" for name, checkpoint in names.items())
    models = f"weigh: {{scorers: [llava], also: [llava+video_llm]}}\nscorers: {{{entries}}}\n"

    def named(text: str, asked: bool = True) -> list[str]:
        (run / "config.yaml").write_text(text, encoding="utf-8")
        return tiny_models(run, asked)

    train = "train: {model: mini-video-llava}\n"
    assert named(f"world: null\n{train}{models}") == ["mini-video-llava", "mini-llava", "mini-clip"]
    assert named(f"world: null\n{train}{models}", asked=False) == ["mini-llava", "mini-clip"]
    for text in (f"world: {{seed: 0}}\n{train}{models}", f"{train}{models}", "world: null\ntrain: {model: big}\n"):
        assert named(text) == []
    shutil.rmtree(run / "scores")
    assert named(f"world: null\n{train}{models}") == ["mini-video-llava"]
    page = write_report(run, results).read_text(encoding="utf-8")
    line = "The tiny checkpoint mini-video-llava knows coloured shapes only; its numbers on real videos mean nothing."
    assert f'<p class="warning">{line}</p>' in page
    assert tiny_note([]) == ""
    assert tiny_note(["mini-a", "mini-b"]) == (
        "The tiny checkpoints mini-a and mini-b know coloured shapes only; their numbers on real videos mean nothing."
    )
