"""Benchmarks as tasks of a run: pairs in the run folder, videos found by id, n of N in every table."""

import json

import benchmark_files as files
import pytest
from run_files import write_records

from synvita.cli.exits import holes
from synvita.core.records import Triplet
from synvita.evaluate.benchmarks.into_run import put
from synvita.evaluate.benchmarks.names import ById, bare_caption, video_id
from synvita.evaluate.benchmarks.videos import find_videos
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.pairs import read_pairs
from synvita.evaluate.results import arm_results, collect
from synvita.evaluate.tasks import tasks as tasks_of
from synvita.report.terminal import terminal_table


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/their/machine/NExTVideo/1106/4010069381.mp4", "4010069381"),
        ("videos/104599.avi", "104599"),
        ("C:\\clips\\v_1.MP4", "v_1"),
        ("https://bucket.example.com/a/v_x%20y.mp4?versionId=3", "v_x y"),
        ("5H02ohmoKow_000068_000078", "5H02ohmoKow_000068_000078"),
        ("12345@N00_1.2.mov", "12345@N00_1.2"),
        ("", ""),
    ],
)
def test_a_videos_id_is_its_name_without_folders_and_suffix(path, wanted):
    assert video_id(path) == wanted


@pytest.mark.parametrize("caption", ["a dog", 'he says "no"', "two\nlines", 'ends in a quote"', 'says "a"? and goes'])
def test_a_caption_comes_out_of_its_prompt_as_it_went_in(caption):
    assert bare_caption(files.PROMPT.format(caption)) == caption == bare_caption(caption)


def test_of_several_videos_with_an_id_the_one_with_more_of_the_path_is_meant():
    known = ById(["/v/a/1.mp4", "/v/b/1.mp4", "/v/b/2.avi", "/v/b/2.mp4"])
    assert known.find("x/b/1.avi") == ["/v/b/1.mp4"] and known.find("b/2.avi") == ["/v/b/2.avi"]
    assert known.find("1.mp4") == ["/v/a/1.mp4", "/v/b/1.mp4"] and known.find("3.mp4") == []


def test_missing_and_ambiguous_videos_are_listed(tmp_path):
    touch(tmp_path, "deep/er/1.webm", "a/2.mp4", "b/2.mp4", "notes.txt")
    found = find_videos(tmp_path, ["videos/1.avi", "videos/2.avi", "videos/3.avi"])
    assert list(found.paths) == ["videos/1.avi"] and found.paths["videos/1.avi"].endswith("deep/er/1.webm")
    assert found.ambiguous[0].startswith("videos/2.avi: ") and "b/2.mp4" in found.ambiguous[0]
    assert found.missing == [f"videos/3.avi: no file 3.* below {tmp_path}"]


@pytest.fixture
def run(tmp_path):
    run = tmp_path / "run"
    write_records(run / "triplets.jsonl", [Triplet("t", "elsewhere/1000.mp4", "a", "b")])
    return run


def test_a_benchmarks_pairs_stand_in_the_run_with_the_files_that_were_found(tmp_path, run):
    files.ssv2(tmp_path / "data" / "eval_ssv2_temporal.csv")
    touch(tmp_path / "videos", *(f"{n % 7}/{1000 + n}.webm" for n in range(216)))
    (told,) = put(run, ["ssv2_temporal"], tmp_path / "data", tmp_path / "videos")
    assert "3,888 of 3,888 pairs" in told and "216 videos found" in told
    assert "1 of its videos are among the run's training videos" in told
    rows = tasks_of(run, ["ssv2_temporal"])["ssv2_temporal"]
    assert len(rows) == 3_888 and sum(row["label"] for row in rows) == 216
    assert rows[0]["video"].endswith("videos/0/1000.webm") and rows[0]["query"] == rows[0]["caption"]
    stamp = json.loads((run / "benchmarks" / "ssv2_temporal.json").read_text())
    assert (stamp["n"], stamp["expected"], stamp["not_found"]) == (3_888, 3_888, [])


def test_equal_options_of_a_question_are_two_pairs(tmp_path, run):
    files.atp_hard(tmp_path / "data")
    touch(tmp_path / "videos", *(f"{4000 + n}.mp4" for n in range(553)))
    (told,) = put(run, ["atp_hard"], tmp_path / "data", tmp_path / "videos")
    assert "1,844 of 1,846 questions; 2 left out as in the authors' script" in told
    assert len(tasks_of(run, ["atp_hard"])["atp_hard"]) == 9_220


def test_missing_videos_are_an_error_unless_allowed_and_then_every_table_says_so(tmp_path, run):
    path = files.vinoground(tmp_path / "data" / "vinoground.csv", 5)
    touch(tmp_path / "videos", *(f"{n}_{sign}.mp4" for n in range(4) for sign in ("pos", "neg")))
    folders = (path.parent, tmp_path / "videos")
    with pytest.raises(ValueError, match=r"has 5 of 500 counterfactual pairs"):
        put(run, ["vinoground"], *folders)
    (told,) = put(run, ["vinoground"], *folders, allow_missing=True)
    assert "5 of 500 counterfactual pairs" in told and "8 videos found, 2 not" in told
    rows = tasks_of(run, ["vinoground"])["vinoground"]
    assert len(rows) == 20 and sum("4_" in row["video"] for row in rows) == 4
    odds = [row | {"log_odds": None if "/4_" in row["video"] else row["label"] - 0.5} for row in rows]
    write_records(run / "models/m/pairs/off_the_shelf/0/vinoground.jsonl", odds)
    found = collect(run, {"models/m": ["off_the_shelf"]}, 0, EvaluateConfig(draws=10))["arms"]
    entry = found["off_the_shelf"]["vinoground"]
    assert entry["group"] == 1.0 and (entry["groups"], entry["groups_dropped"]) == (4, 1)
    assert entry["benchmark"] == {"n": 5, "of": 500, "unit": "counterfactual pairs"}
    table = terminal_table(found)
    assert "4 of 20 missing, 1 of 5 groups dropped, only 4 groups, 5 of 500 counterfactual pairs in its files" in table


def test_videos_that_are_not_there_are_listed_in_a_file(tmp_path, run):
    files.vinoground(tmp_path / "data" / "vinoground.csv")
    touch(tmp_path / "videos", "0_pos.mp4")
    with pytest.raises(
        ValueError, match=r"--videos: 999 videos are missing and 0 ambiguous: .*not_found.txt\); mend them"
    ):
        put(run, ["vinoground"], tmp_path / "data", tmp_path / "videos")
    assert len((run / "benchmarks" / "not_found.txt").read_text().splitlines()) == 999


def test_question_types_and_options_come_through_results(tmp_path):
    rows = []
    for query, part, right in (("1", "causal", 1), ("2", "temporal", 0)):
        for option in range(2):
            row = {"video": "v", "caption": "same", "label": int(option == right), "query": query, "option": option}
            rows.append(row | {"part": part, "log_odds": float(option)})
    write_records(tmp_path / "pairs" / "atp_hard.jsonl", rows)
    entry = arm_results(read_pairs(tmp_path / "pairs"), EvaluateConfig(draws=5))["atp_hard"]
    assert (entry["accuracy"], entry["accuracy_causal"], entry["accuracy_temporal"]) == (0.5, 1.0, 0.0)


def test_a_copy_short_of_units_ends_with_status_3_although_every_pair_has_a_score(tmp_path, capsys):
    entry = {"group": 1.0, "missing": 0, "benchmark": {"n": 5, "of": 500, "unit": "counterfactual pairs"}}
    (tmp_path / "results.json").write_text(json.dumps({"arms": {"mine": {"vinoground": entry}}}))
    assert holes(tmp_path) == 3
    assert "a benchmark's files have 5 of 500 counterfactual pairs" in capsys.readouterr().err
    entry["benchmark"]["n"] = 500
    (tmp_path / "results.json").write_text(json.dumps({"arms": {"mine": {"vinoground": entry}}}))
    assert holes(tmp_path) == 0
