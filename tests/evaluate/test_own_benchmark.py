"""One's own benchmark is a table and the name of a figure; every bad row of it is named."""

import json

import benchmark_files as files
import pytest

from synvita.cli import main
from synvita.evaluate.benchmarks.measure import measure_scores
from synvita.evaluate.benchmarks.own import check, load_own
from synvita.evaluate.config import EvaluateConfig

ROWS = [
    {"video": "x.mp4", "caption": "a", "label": 1, "group": "1"},
    {"video": "y.mp4", "caption": "a", "label": 0, "group": "1"},
    {"video": "x.mp4", "caption": "b", "label": 0, "group": "1"},
    {"video": "y.mp4", "caption": "b", "label": 1, "group": "1"},
]
SCORES = [("x.mp4", "a", 0.9), ("y.mp4", "a", 0.2), ("x.mp4", "b", 0.3), ("y.mp4", "b", 0.8)]


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        ("auc", {"auc": 1.0}),
        ("group", {"text": 1.0, "video": 1.0, "group": 1.0}),
        ("map", {"map": 1.0, "recall_at_1": 1.0, "recall_at_5": 1.0, "recall_at_10": 1.0}),
    ],
)
def test_a_table_and_a_figure_are_all_it_takes(tmp_path, metric, wanted):
    rows = [{k: v for k, v in row.items() if metric == "group" or k != "group"} for row in ROWS]
    table = files.write(tmp_path / "mine.csv", rows)
    scores = files.synvita_scores(tmp_path / "scores.csv", SCORES)
    found = measure_scores(str(table), metric, None, scores, config=EvaluateConfig(draws=10))
    assert {name: entry["value"] for name, entry in found["metrics"].items()} == wanted
    assert found["benchmark"] == "mine" and found["missing"] == 0


@pytest.mark.parametrize(("metric", "wanted"), [("accuracy", 0.5), ("strict", 0.5)])
def test_questions_and_strict_groups_are_rows_with_one_group(tmp_path, metric, wanted):
    """The first question is right with room to spare, the second one is wrong."""
    rows = [row | {"group": row["video"]} for row in ROWS]
    table = files.write_lines(tmp_path / "mine.jsonl", rows)
    scores = [*SCORES[:3], ("y.mp4", "b", 0.1)]
    found = measure_scores(str(table), metric, None, files.synvita_scores(tmp_path / "s.csv", scores))
    assert found["metrics"][metric]["value"] == wanted and (found["n"], found["expected"]) == (2, 2)


BAD = """video,caption,label,group
x.mp4,a,1,1
,b,0,1
y.mp4,,0,1
y.mp4,c,perhaps,1
x.mp4,a,0,1
x.mp4,d,0
z.mp4,e,0,2
"""


def test_check_names_every_bad_row_and_exits_3(tmp_path, capsys):
    table = tmp_path / "bad.csv"
    table.write_text(BAD)
    assert main(["benchmarks", "check", str(table), "--metric", "accuracy"]) == 3
    told = capsys.readouterr()
    lines = told.err.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{table}:{n}" for n in (3, 4, 5, 6, 7, 8)]
    reasons = ["video: empty", "caption: empty", "'perhaps' is neither 1 nor 0", "with another label", "3 fields"]
    for line, reason in zip(lines, [*reasons, "0 right options of 1"], strict=True):
        assert reason in line
    assert "2 pairs of 2 videos, 1 right, 2 groups; 6 bad, named above" in told.out


def test_a_good_table_exits_0_and_a_table_without_labels_is_refused(tmp_path, capsys):
    assert main(["benchmarks", "check", str(files.write(tmp_path / "good.csv", ROWS)), "--metric", "group"]) == 0
    assert "4 pairs of 2 videos, 2 right, 1 groups" in capsys.readouterr().out
    files.write(tmp_path / "no.csv", [{"video": "v", "caption": "c"}])
    assert main(["benchmarks", "check", str(tmp_path / "no.csv")]) == 2
    assert "needs the columns video and caption and label, has video, caption" in capsys.readouterr().err


def test_a_bad_row_ends_a_measurement_unless_allowed(tmp_path):
    table = tmp_path / "bad.csv"
    table.write_text(BAD.replace("z.mp4,e,0,2", "z.mp4,e,0,1"))
    scores = files.synvita_scores(tmp_path / "s.csv", [("x.mp4", "a", 0.9), ("z.mp4", "e", 0.1)])
    with pytest.raises(ValueError, match=r"bad.csv:3: video: empty.*\(5 such; all: synvita benchmarks check"):
        measure_scores(str(table), "accuracy", None, scores)
    with pytest.raises(ValueError, match="no pair"):  # its question lost a wrong option: it would be easier
        measure_scores(str(table), "accuracy", None, scores, allow_missing=True)
    table.write_text(table.read_text() + "x.mp4,f,1,whole\nx.mp4,g,0,whole\n")
    scores = files.synvita_scores(tmp_path / "t.csv", [("x.mp4", "f", 0.3), ("x.mp4", "g", 0.6)])
    found = measure_scores(str(table), "accuracy", None, scores, allow_missing=True)
    assert found["metrics"]["accuracy"]["value"] == 0.0 and "5 rows or groups are left out" in found["notes"][0]


@pytest.mark.parametrize("bad", ["x.mp4,,0,1", "x.mp4,b,0,1"], ids=["no caption", "a pair twice"])
def test_a_question_that_loses_an_option_is_left_out_whole(tmp_path, bad):
    """Its right option would win against one wrong option less."""
    table = tmp_path / "t.csv"
    table.write_text(f"video,caption,label,group\nx.mp4,a,1,1\nx.mp4,b,0,1\n{bad}\nx.mp4,f,1,2\nx.mp4,g,0,2\n")
    loaded = load_own(table, "accuracy", allow_missing=True)
    assert [entry.row["caption"] for entry in loaded.entries] == ["f", "g"]
    assert len(load_own(table, "map", allow_missing=True).entries) == 4  # a ranking stays, with a video less


def test_a_figure_that_nobody_knows_and_a_table_without_groups_are_refused(tmp_path):
    table = files.write(tmp_path / "t.csv", [{"video": "v", "caption": "c", "label": 1}])
    with pytest.raises(ValueError, match=r"--metric: unknown 'acuracy'; did you mean 'accuracy'"):
        check(table, "acuracy")
    with pytest.raises(ValueError, match=r"accuracy needs the column group \(or query\)"):
        check(table, "accuracy")


# ---- the command


def test_the_command_writes_what_others_read(tmp_path, capsys):
    files.vinoground(tmp_path / "vinoground.csv", 3)
    rows = [(f"{i}_{v}.mp4", f"first {i} {'a, then b' if c == 'pos' else 'b, then a'}", 0.5 + 0.1 * (c == v))
            for i in range(2) for c in ("pos", "neg") for v in ("pos", "neg")]  # fmt: skip
    scores, out = files.synvita_scores(tmp_path / "s.csv", rows), tmp_path / "out.json"
    command = ["evaluate", "--benchmark", "vinoground", "--data", str(tmp_path), "--scores", str(scores)]
    assert main([*command, "--out", str(out)]) == 2 and not out.exists()
    assert "has 3 of 500 counterfactual pairs; give the whole file, or --allow-missing" in capsys.readouterr().err
    assert main([*command, "--out", str(out), "--allow-missing"]) == 3
    told = capsys.readouterr()
    assert "vinoground: 2 of 500 counterfactual pairs" in told.out and "4 of 12 pairs have no score" in told.err
    found = json.loads(out.read_text())
    assert {k: found[k] for k in ("benchmark", "n", "expected", "missing")} == {
        "benchmark": "vinoground", "n": 2, "expected": 500, "missing": 498
    }  # fmt: skip
    for entry in found["metrics"].values():
        assert {"value", "low", "high", "tie_low", "tie_high", "authors"} <= set(entry) and entry["value"] == 1.0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--benchmark", "vinoground", "--scores", "s.csv"], "--benchmark: give --scores FILE and --out OUT.json, too"),
        (
            ["--benchmark", "x.csv", "--scores", "s.csv", "--out", "o", "--run", "r"],
            "--run: does not go with --benchmark",
        ),
        (["--scores", "s.csv"], "--run: give the run folder, or --benchmark with --scores"),
        (["--run", "r", "--metric", "auc"], "--metric: goes with --benchmark"),
        (["--run", "r", "--data", "d"], "--data and --videos: a benchmark in a run needs both"),
        (["--run", "r", "--data", "d", "--videos", "v"], "--data: say which benchmarks with --tasks"),
        (["--run", "r", "--allow-missing"], "--allow-missing: is about the benchmarks of --data"),
    ],
)
def test_flags_that_do_not_go_together_are_named(flags, message, capsys):
    assert main(["evaluate", *flags]) == 2
    assert message in capsys.readouterr().err


def test_the_list_names_every_benchmark_with_its_size_and_source(capsys):
    assert main(["benchmarks"]) == 0
    told = capsys.readouterr().out
    for text in (
        "about 27,000 pairs",
        "28,812 pairs",
        "1,846 questions",
        "600 instances",
        "CC BY-NC-SA 4.0",
        "NExT-QA",
    ):
        assert text in told
