"""`synvita compare` on run folders that are written by hand: what is compared with what, and what is said of it."""

import json

import pytest
from pair_files import better_by, entailment_rows, retrieval_rows, write_run

from synvita.cli import main
from synvita.evaluate.compare import Question, compare
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.results import arm_results
from synvita.report.comparison import as_markdown, paper_beside, tables

QUICK = EvaluateConfig(draws=400)


def one_task(found, name="open", comparison=0):
    return next(row for row in found["comparisons"][comparison]["tasks"] if row["task"] == name)


ROWS = entailment_rows(60, 3, 0.5)


# ---- verdicts


def test_the_arms_of_a_run_are_compared_with_real_only_and_get_a_verdict_per_task(tmp_path):
    retrieval = retrieval_rows(0, 0.5, queries=6)
    arms = {
        "uniform": {"open": better_by(ROWS, 2), "retrieval_temporal": better_by(retrieval, -3)},
        "real_only": {"open": ROWS, "retrieval_temporal": retrieval},
        "same": {"open": ROWS, "retrieval_temporal": retrieval},
    }
    found = compare([write_run(tmp_path / "run", arms)], Question(measure=QUICK))
    assert [(one["of"], one["minus"]) for one in found["comparisons"]] == [
        ("uniform", "real_only"),
        ("same", "real_only"),
    ]
    assert one_task(found)["verdict"] == "better" and one_task(found, "retrieval_temporal")["verdict"] == "worse"
    same = one_task(found, comparison=1)
    assert (same["verdict"], same["difference"], same["p"]) == ("cannot tell", 0.0, 1.0)
    assert [side["figures"] for side in found["sides"]] == [arm_results(tasks, QUICK) for tasks in arms.values()]


def test_p_is_corrected_over_the_tasks_that_get_a_verdict_and_the_plain_one_stands_beside(tmp_path):
    few = entailment_rows(20, 1)
    mine = {"open": better_by(ROWS, 2), "in_distribution": better_by(few, 9), "retrieval_events": retrieval_rows(1, 1)}
    base = {"open": ROWS, "in_distribution": few, "retrieval_events": retrieval_rows(2, 1)}
    found = compare([write_run(tmp_path / "run", {"a": mine, "real_only": base})], Question(measure=QUICK))
    rows = {row["task"]: row for row in found["comparisons"][0]["tasks"]}
    assert (rows["in_distribution"]["verdict"], rows["in_distribution"]["p_holm"]) == ("too few pairs", None)
    assert rows["in_distribution"]["low"] > 0
    assert rows["open"]["p_holm"] == pytest.approx(2 * rows["open"]["p"]) and rows["open"]["verdict"] == "better"
    assert rows["retrieval_events"]["p_holm"] == rows["retrieval_events"]["p"]


def test_many_pairs_of_few_videos_get_no_verdict(tmp_path):
    rows = [row | {"video": f"{i % 5}.mp4"} for i, row in enumerate(ROWS)]
    run = write_run(tmp_path / "run", {"a": {"open": better_by(rows, 9)}, "real_only": {"open": rows}})
    assert one_task(compare([run], Question(measure=QUICK)))["verdict"] == "too few videos"


# ---- which runs, which pairs


def test_the_same_file_under_another_name_is_the_same_video_and_another_file_under_its_name_is_not(tmp_path):
    moved = [row | {"video": f"moved_{row['video']}"} for row in better_by(ROWS, 2)]
    a = write_run(tmp_path / "a", {"real_only": {"open": ROWS}})
    b = write_run(tmp_path / "b", {"real_only": {"open": moved}})
    for row in moved:
        (b / row["video"]).write_text(row["video"].removeprefix("moved_"))
    found = compare([a, b], Question(measure=QUICK))
    assert (one_task(found)["pairs"], one_task(found)["verdict"]) == (120, "better")
    assert (found["comparisons"][0]["of"], found["comparisons"][0]["minus"]) == (str(b), str(a))
    for row in moved:
        (b / row["video"]).write_text("another video")
    with pytest.raises(ValueError, match="share no pair of video and caption"):
        compare([a, b], Question(measure=QUICK))


def test_runs_that_asked_different_pairs_are_compared_on_the_shared_ones_which_are_counted(tmp_path):
    a = write_run(tmp_path / "a", {"real_only": {"open": ROWS[:100]}}, videos=False)
    b = write_run(tmp_path / "b", {"real_only": {"open": better_by(ROWS, 2)[10:]}}, videos=False)
    found = compare([a, b], Question(measure=QUICK))
    row = one_task(found)
    assert (row["pairs"], row["only_of"], row["only_minus"], row["verdict"]) == (90, 20, 10, "better")
    assert "is not there: videos of these runs are taken for the same where their names are" in found["notes"][0]


def test_runs_of_several_arms_compare_each_with_its_namesake_and_name_who_has_none(tmp_path):
    a = write_run(tmp_path / "a", {"real_only": {"open": ROWS}, "uniform": {"open": ROWS}})
    b = write_run(tmp_path / "b", {"uniform": {"open": ROWS}, "synvita": {"open": ROWS}, "real_only": {"open": ROWS}})
    found = compare([a, b], Question(measure=QUICK))
    names = [(one["of"], one["minus"]) for one in found["comparisons"]]
    assert names == [(f"{b} uniform", f"{a} uniform"), (f"{b} real_only", f"{a} real_only")]
    assert found["notes"] == [f"{b}/models/tiny/pairs/synvita/0 has no counterpart and is left out"]


def test_base_models_of_one_run_are_compared_by_arm_and_reference_says_with_which(tmp_path):
    run = write_run(tmp_path / "run", {"real_only": {"open": ROWS}, "uniform": {"open": ROWS}}, model="one")
    write_run(run, {"real_only": {"open": better_by(ROWS, 2)}, "uniform": {"open": ROWS}}, model="two")
    found = compare([run], Question(measure=QUICK))
    assert [(one["of"], one["minus"]) for one in found["comparisons"]] == [
        ("two real_only", "one real_only"),
        ("two uniform", "one uniform"),
    ]
    other = compare([run], Question(measure=QUICK, reference="two", arms=["real_only"]))
    assert other["comparisons"][0]["minus"] == "two" and one_task(other)["verdict"] == "worse"


def test_two_runs_of_one_arm_each_are_compared_whatever_the_arms_are_called(tmp_path):
    a = write_run(tmp_path / "a", {"real_only": {"open": ROWS}})
    b = write_run(tmp_path / "b", {"synvita": {"open": ROWS}}, model="other", seed=3)
    assert len(compare([a, b], Question(measure=QUICK))["comparisons"]) == 1


def test_some_tasks_also_single_misalignment_types(tmp_path):
    rows = [row | {"misalignment": "flip" if i % 4 < 2 else "count"} for i, row in enumerate(ROWS)]
    run = write_run(tmp_path / "run", {"a": {"open": better_by(rows, 2)}, "real_only": {"open": rows}})
    found = compare([run], Question(tasks=["per_type.flip"], measure=QUICK))
    assert [row["task"] for row in found["comparisons"][0]["tasks"]] == ["per_type.flip"]
    assert one_task(found, "per_type.flip")["pairs"] == 60
    assert found["sides"][0]["figures"]["per_type"].keys() == {"flip"}
    plain = compare([run], Question(measure=QUICK))
    assert [row["task"] for row in plain["comparisons"][0]["tasks"]] == ["open", "temporal"]


# ---- wrong input


def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path, capsys):
    a = write_run(tmp_path / "a", {"real_only": {"open": ROWS}, "uniform": {"open": ROWS}})
    b = write_run(tmp_path / "b", {"x": {"open": ROWS}, "y": {"open": ROWS}})
    label = [ROWS[0] | {"label": 0}, *ROWS[1:]]
    c = write_run(tmp_path / "c", {"real_only": {"open": label}})
    for arguments, text in (
        ([tmp_path], "is no run folder (no config.yaml)"),
        ([a, tmp_path / "a"], "is given twice"),
        ([a, b], "nothing to compare"),
        ([a, "--arms", "real_only"], "nothing to compare"),
        ([a, "--arms", "unifrom"], "did you mean 'uniform'?"),
        ([a, "--tasks", "opne"], "did you mean 'open'?"),
        ([a, "--reference", "b"], "--reference: unknown 'b'; known: real_only, uniform"),
        ([a, "--seed", "7"], "no arm of seed 7 was asked"),
        ([a, c, "--arms", "real_only"], "disagree: caption 'caption 0 1'"),
        ([a, "--out", "x.csv"], "give a file that ends in .html, .json or .md"),
    ):
        assert main(["compare", *map(str, arguments), "--draws", "50"]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert text in error and error.startswith("synvita: "), error


# ---- what is shown


def test_the_command_prints_tables_writes_both_files_and_says_what_was_left_out(tmp_path, capsys):
    hole = [ROWS[0] | {"log_odds": None, "reason": "broken"}, *better_by(ROWS, 2)[1:]]
    arms = {"real_only": {"open": ROWS}, "uniform": {"open": hole}}
    run = str(write_run(tmp_path / "run", arms))
    command = ["compare", run, "--draws", "400", "--against", "paper"]
    assert main([*command, "--out", str(tmp_path / "out.json")]) == 3
    shown = capsys.readouterr()
    found = json.loads((tmp_path / "out.json").read_text())
    row = one_task(found)
    assert (row["pairs"], row["without_score"], row["verdict"]) == (119, 1, "better")
    assert "uniform minus real_only: 1 better, 0 worse" in shown.out and "1 pairs without a score" in shown.out
    assert "1 pairs are in no difference" in shown.err
    line = next(line for line in shown.out.splitlines() if line.startswith("open "))
    assert f"{100 * row['difference']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]" in line
    assert line.endswith("119    better") and "0.005" in line
    assert main([*command, "--out", str(tmp_path / "out.md")]) == 3
    text = (tmp_path / "out.md").read_text()
    assert text == as_markdown(tables(found), found["notes"])
    assert "| open | AUC |" in text and "real\\_only" in text


def test_the_papers_numbers_stand_beside_its_own_tasks_and_apart_from_others_of_their_kind(tmp_path):
    paper = paper_beside(["ssv2_temporal", "in_distribution"])
    row = next(row for row in paper["rows"] if row["model"] == "SynViTA (mPLUG-Owl 7B)")
    assert row["values"] == {"ssv2_temporal": 0.1732, "in_distribution": 0.8645}
    assert paper["same_task"] == {"ssv2_temporal": "SSv2-Temporal"} and paper["same_kind"] == {"in_distribution": "LLM"}
    assert paper_beside(["unseen"]) == {}
    run = write_run(tmp_path / "run", {"real_only": {"open": ROWS}, "uniform": {"open": ROWS}})
    found = compare([run], Question(measure=QUICK)) | {"paper": paper_beside(["open"])}
    figures, beside, _ = tables(found)
    assert not any("paper" in line[0] for line in figures.rows)
    assert ["Table 3: SynViTA (Video-LLaVA) (synvita)", "80.86"] in [list(line) for line in beside.rows]
    assert "other videos" in beside.notes[0]
