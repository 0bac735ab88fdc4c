"""One's own table as a task of a run: asked, measured, shown under its name, replaced by another of that name."""

import json
from itertools import product

import benchmark_files as files
import numpy as np
import pytest
from run_files import write_records

from synvita.cli import main
from synvita.cli.exits import holes
from synvita.core.run_tasks import find_task_of, own_tasks, tasks_of
from synvita.core.write_video import write_video
from synvita.evaluate.benchmarks.into_run import put_own
from synvita.evaluate.benchmarks.videos import find_videos
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.results import collect
from synvita.evaluate.tasks import tasks
from synvita.report.terminal import terminal_table
from synvita.videollm.aligner import Aligner

HOME = "models/mini-video-llava"
PAIRS = f"{HOME}/pairs/off_the_shelf/0"
CAPTIONS = ["a small red cross moving left", "two purple objects blinking", "a ring"]
QUICK = ["--workers", "1", "--evaluate.draws", "20"]


pytestmark = pytest.mark.usefixtures("nothing_loaded")


@pytest.fixture
def run(tmp_path):
    return files.own_run(tmp_path)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def pairs_table(path, videos, label=lambda v, c: int((v + c) % 2 == 0), **more):
    rows = [
        {"video": video, "caption": caption, "label": label(v, c)} | {k: f(v, c) for k, f in more.items()}
        for (v, video), (c, caption) in product(enumerate(videos), enumerate(CAPTIONS))
    ]
    return files.write(path, rows)


def naive_auc(rows):
    right = [row["log_odds"] for row in rows if row["label"]]
    wrong = [row["log_odds"] for row in rows if not row["label"]]
    return sum((r > w) + (r == w) / 2 for r in right for w in wrong) / (len(right) * len(wrong))


# ---- from the command to the page


def test_the_arms_are_asked_the_pairs_of_a_table_and_the_page_shows_its_figure_under_its_name(tmp_path, run, capsys):
    """Videos by their paths beside the table; another file of the same id is no doubt."""
    dice = np.random.default_rng(1)
    names = [f"clips/{i}.mp4" for i in range(4)]
    for name in names:
        write_video(tmp_path / "set" / name, dice.integers(0, 255, (8, 32, 32, 3), dtype=np.uint8), fps=8)
    touch(tmp_path / "set", "other/0.mp4")
    table = pairs_table(tmp_path / "set" / "Mine.csv", names)
    call = ["evaluate", "--run", str(run), *QUICK]
    assert main([*call, "--tasks", str(table), "--metric", "auc"]) == 0
    told = capsys.readouterr().out
    assert "evaluate: Mine: 12 of 12 rows; 4 videos found" in told
    rows = files.read_lines(run / PAIRS / "Mine.jsonl")
    with Aligner.from_pretrained("mini-video-llava") as aligner:
        odds = {n: aligner.score(tmp_path / "set" / n, CAPTIONS).log_odds for n in names}
    want = [odds[f"clips/{row['video'][-5:]}"][CAPTIONS.index(row["caption"])] for row in rows]
    assert [row["log_odds"] for row in rows] == pytest.approx(want, abs=1e-4) and np.ptp(want) > 0.1
    entry = json.loads((run / "results.json").read_text())["arms"]["off_the_shelf"]["Mine"]
    auc = naive_auc(rows)
    assert entry["auc"] == pytest.approx(auc, abs=1e-12) and entry["low"] <= auc <= entry["high"]
    assert (entry["expected"], entry["missing"], entry["own_metric"]) == (12, 0, "auc")
    assert entry["benchmark"] == {"n": 12, "of": 12, "unit": "rows"}
    shown = f"{100 * auc:.1f} [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"
    assert shown in told and "Mine" in told and "only 12 test pairs" in told
    assert main(["report", "--run", str(run)]) == 0
    page = (run / "report" / "index.html").read_text()
    assert f"{100 * auc:.1f}" in page and f"[{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]" in page
    assert '<th scope="col">Mine<small>AUC, %</small></th>' in page and "Scored pairs: Mine 12." in page

    before = (run / PAIRS / "Mine.jsonl").stat().st_mtime_ns
    assert main([*call, "--tasks", "Mine"]) == 0  # once it is there, its name is enough
    assert (run / PAIRS / "Mine.jsonl").stat().st_mtime_ns == before
    assert main([*call, "--tasks", "mine"]) == 2
    assert "--tasks: unknown 'mine'; did you mean 'Mine'?" in capsys.readouterr().err

    files.write(table, [row for row in files.read(table) if row["video"] != names[0]])
    assert main([*call, "--tasks", str(table), "--metric", "map"]) == 0
    assert "in place of the pairs of other files, and asked again where they differ" in capsys.readouterr().out
    again = files.read_lines(run / PAIRS / "Mine.jsonl")
    odds = {(row["video"], row["caption"]): row["log_odds"] for row in rows}
    assert len(again) == 9 and all(row["query"] == row["caption"] for row in again)
    assert [row["log_odds"] for row in again] == pytest.approx(
        [odds[r["video"], r["caption"]] for r in again], abs=1e-4
    )
    entry = json.loads((run / "results.json").read_text())["arms"]["off_the_shelf"]["Mine"]
    assert entry["own_metric"] == "map" and entry["queries"] == 3 and "auc" not in entry


# ---- what stands in the run


def test_the_table_becomes_a_task_of_the_run_after_the_known_ones(tmp_path, run):
    touch(tmp_path / "videos", "a/0.mp4", "1.webm")
    table = pairs_table(tmp_path / "mine.csv", ["x/0.avi", "1.webm"])
    (told,) = put_own(run, [table], "auc", tmp_path / "videos")
    assert "mine: 6 of 6 rows; 2 videos found" in told
    rows = tasks(run)["mine"]
    assert [row["video"] for row in rows[::3]] == [str(tmp_path / "videos" / name) for name in ("a/0.mp4", "1.webm")]
    assert [row["label"] for row in rows] == [1, 0, 1, 0, 1, 0]
    assert (
        tasks_of(run)[-1] == find_task_of(run, "mine") and [t.name for t in tasks_of(run, "entailment")][-1] == "mine"
    )
    assert find_task_of(run, "mine").metric == "auc" and find_task_of(run, "yours") is None
    assert main(["tasks", "--run", str(run), "--out", str(tmp_path / "out.csv"), "--tasks", "mine"]) == 0
    assert [row["caption"] for row in files.read(tmp_path / "out.csv")] == [row["caption"] for row in rows]


def test_a_stamp_with_a_figure_that_nobody_knows_is_named(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "mine.json").write_text('{"own_metric": "f1"}')
    with pytest.raises(ValueError, match=r"mine.json: own_metric: 'f1' is no figure; known: auc, map"):
        own_tasks(tmp_path)


def test_bad_rows_are_refused_by_line_or_left_out_and_then_every_table_says_so(tmp_path, run, capsys):
    touch(tmp_path, "x.mp4")
    table = tmp_path / "mine.csv"
    table.write_text("video,caption,label\nx.mp4,a,1\nx.mp4,b,0\n,c,1\nx.mp4,d,perhaps\n")
    call = ["evaluate", "--run", str(run), *QUICK, "--tasks", str(table), "--metric", "auc"]
    assert main(call) == 2
    said = capsys.readouterr().err
    assert f"--tasks: {table}:4: video: empty or not text ('') (2 such; all: synvita benchmarks check {table}" in said
    assert not (run / "benchmarks" / "mine.jsonl").exists()
    (told,) = put_own(run, [table], "auc", None, allow_missing=True)
    assert "mine: 2 of 4 rows" in told and f"2 rows or groups are left out; the first: {table}:4" in told
    write_records(run / PAIRS / "mine.jsonl", [row | {"log_odds": 1.0} for row in tasks(run)["mine"]])
    found = collect(run, {HOME: ["off_the_shelf"]}, 0, EvaluateConfig(draws=5))
    assert "2 of 4 rows in its files" in terminal_table(found["arms"]) and holes(run) == 3


def test_without_a_figure_a_table_is_refused(tmp_path, run, capsys):
    touch(tmp_path, "x.mp4")
    table = pairs_table(tmp_path / "mine.csv", ["x.mp4"])
    assert main(["evaluate", "--run", str(run), "--tasks", str(table)]) == 2
    assert f"--metric: give the figure of {table}; known: auc, map, accuracy" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["open.csv", "ssv2_temporal.csv", "unseen.csv", "triplets.csv", "a.b.csv", "ü.csv"])
def test_a_table_with_a_name_that_is_taken_is_refused(tmp_path, run, name):
    touch(tmp_path, "x.mp4")
    with pytest.raises(ValueError, match=r"^--tasks: .*(rename the table|cannot be a folder's name)"):
        put_own(run, [pairs_table(tmp_path / name, ["x.mp4"])], "auc")
    assert not list(run.glob("benchmarks/*.jsonl"))


def test_two_tables_of_one_name_are_refused_together(tmp_path, run):
    touch(tmp_path, "x.mp4")
    every = [pairs_table(tmp_path / folder / "mine.csv", ["x.mp4"]) for folder in "ab"]
    with pytest.raises(ValueError, match=r"two tables of the name 'mine'; rename one"):
        put_own(run, every, "auc")


def test_two_paths_of_one_file_are_no_two_pairs(tmp_path, run):
    touch(tmp_path, "x.mp4")
    table = pairs_table(tmp_path / "mine.csv", ["x.mp4", "elsewhere/x.avi"], label=lambda v, c: c % 2)
    with pytest.raises(
        ValueError, match=rf"{table}:5: elsewhere/x.avi is the file of {table}:2, with the same caption"
    ):
        put_own(run, [table], "auc")


def test_missing_and_ambiguous_videos_are_named_or_stay_without_a_score(tmp_path, run):
    touch(tmp_path, "a/x.mp4", "b/x.mp4", "y.mp4")
    table = pairs_table(tmp_path / "mine.csv", ["x.mp4", "y.mp4", "z.mp4"])
    with pytest.raises(ValueError, match=r"--videos: 1 videos are missing and 1 ambiguous: mine: z.mp4: no file"):
        put_own(run, [table], "auc")
    (told,) = put_own(run, [table], "auc", None, allow_missing=True)
    assert "1 videos found, 2 not" in told and len(tasks(run)["mine"]) == 9


# ---- which file a path means


def test_a_path_below_the_folder_is_meant_before_any_id(tmp_path):
    touch(tmp_path, "1.mp4", "a/1.mp4", "b/1.mp4", "a/2.gif", "outside.mp4", "in/3.mp4")
    found = find_videos(tmp_path, ["1.mp4", "a/1.mp4", "./b/../b/1.mp4", "a/2.gif"])
    wanted = ["1.mp4", "a/1.mp4", "b/1.mp4", "a/2.gif"]
    assert list(found.paths.values()) == [str(tmp_path / name) for name in wanted]
    assert not found.missing and not found.ambiguous
    found = find_videos(tmp_path / "in", ["../outside.mp4", "../in/3.mp4"])
    assert found.paths == {"../in/3.mp4": str(tmp_path / "in/3.mp4")} and "outside.mp4" in found.missing[0]


def test_an_absolute_path_is_meant_where_no_folder_is_given_and_else_goes_by_its_id(tmp_path, run):
    touch(tmp_path, "there/x.mp4", "videos/x.mp4", "set/y.mp4")
    table = pairs_table(tmp_path / "set" / "mine.csv", [str(tmp_path / "there/x.mp4")])
    put_own(run, [table], "auc")
    assert {row["video"] for row in tasks(run)["mine"]} == {str(tmp_path / "there/x.mp4")}
    put_own(run, [table], "auc", tmp_path / "videos")
    assert {row["video"] for row in tasks(run)["mine"]} == {str(tmp_path / "videos/x.mp4")}


# ---- figures


GRID = {(0, 0): 2.0, (0, 1): 1.0, (1, 0): -1.0, (1, 1): 0.5}  # (video, caption) -> log-odds


@pytest.mark.parametrize(
    ("metric", "group", "wanted"),
    [
        ("map", None, {"map": 0.75, "recall_at_1": 0.5, "queries": 2}),  # caption 1: video 0 stands before its own
        ("accuracy", lambda v, c: v, {"accuracy": 1.0, "questions": 2}),
        ("strict", lambda v, c: v, {"strict": 0.5, "groups": 2}),
        ("group", lambda v, c: 0, {"text": 1.0, "video": 0.0, "group": 0.0, "groups": 1}),
    ],
)
def test_every_figure_of_a_table_stands_in_the_results(tmp_path, run, metric, group, wanted):
    """By hand: each caption fits the video of its number; video 0 has log-odds 2 and 1, video 1 has -1 and 0.5."""
    touch(tmp_path, "0.mp4", "1.mp4")
    rows = [{"video": f"{v}.mp4", "caption": f"c{c}", "label": int(v == c)} for v, c in GRID]
    for row, pair in zip(rows, GRID, strict=True):
        row |= {} if group is None else {"group": f"g{group(*pair)}"}
    put_own(run, [files.write(tmp_path / "mine.csv", rows)], metric)
    asked = tasks(run)["mine"]
    write_records(run / PAIRS / "mine.jsonl", [r | {"log_odds": x} for r, x in zip(asked, GRID.values(), strict=True)])
    found = collect(run, {HOME: ["off_the_shelf"]}, 0, EvaluateConfig(draws=5))["arms"]
    entry = found["off_the_shelf"]["mine"]
    assert {name: entry[name] for name in wanted} == wanted and entry["own_metric"] == metric
    first, second, *_ = terminal_table(found).splitlines()
    assert "mine" in first and f"{100 * wanted[metric]:.1f}" in second


def test_the_difference_to_captions_only_and_compare_know_the_table(tmp_path, run, capsys):
    names = [f"{i}.mp4" for i in range(24)]
    touch(tmp_path, *names)
    put_own(run, [pairs_table(tmp_path / "mine.csv", names)], "auc")
    asked, dice = tasks(run)["mine"], np.random.default_rng(0)
    scored = {
        arm: [row | {"log_odds": round(float(signal * row["label"] + dice.normal()), 3)} for row in asked]
        for arm, signal in (("real_only", 0.0), ("synvita", 3.0))
    }
    for arm, rows in scored.items():
        write_records(run / HOME / "pairs" / arm / "0" / "mine.jsonl", rows)
    found = collect(run, {HOME: list(scored)}, 0, EvaluateConfig(draws=20))["arms"]["synvita"]["minus_real_only"][
        "mine"
    ]
    gain = naive_auc(scored["synvita"]) - naive_auc(scored["real_only"])
    assert found["auc"] == pytest.approx(gain, abs=1e-12) and found["low"] > 0 and found["pairs"] == 72
    assert main(["compare", str(run), "--tasks", "mine", "--draws", "50", "--out", str(tmp_path / "c.json")]) == 0
    assert "mine" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "c.json").read_text())["comparisons"][0]["tasks"]
    assert (row["task"], row["metric"], row["verdict"]) == ("mine", "auc", "better")
    assert row["difference"] == pytest.approx(gain, abs=1e-12)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tasks", "open", "--metric", "auc"], "--metric: goes with --benchmark, or with a table of one's own"),
        (["--tasks", "mine.csv", "--metric", "auc", "--data", "d"], "--data and --videos: a benchmark in a run needs"),
        (["--tasks", "mine.csv", "--metric", "auc", "--out", "o"], "--out: goes with --benchmark"),
        (["--tasks", "mine.csv,opn", "--metric", "auc"], "--tasks: unknown 'opn'; did you mean 'open'?"),
        (["--tasks", "mine.csv", "--metric", "f1"], "--metric: unknown 'f1'; known: auc, map"),
        (["--tasks", "mine.csv", "--metric", "auc"], "mine.csv"),
    ],
)
def test_flags_that_do_not_go_with_a_table_are_named(run, flags, message, capsys):
    assert main(["evaluate", "--run", str(run), *flags]) == 2
    assert message in capsys.readouterr().err
