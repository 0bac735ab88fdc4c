"""Scores that are read instead of asked: the whole way by the command line, which pair gets which score, and what is
refused."""

import csv
import json
import math
import shutil
from pathlib import Path

import pytest
from pair_files import naive_auc
from small import HOME

from synvita.cli import main
from synvita.core.records import Triplet
from synvita.core.store import parse_lines, write_records
from synvita.evaluate.from_table import ScoreTable, arms_from_tables, check_tables, log_odds, read_arm
from synvita.evaluate.tasks import tasks, write_pairs


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lines(path):
    return [fields for _, fields in parse_lines(path)]


# ---- the whole way


@pytest.fixture
def finished(small_run, tmp_path):
    """The small run with two arms."""

    def others(where, names):
        if where.endswith(("/adapters", "/pairs")):
            return [n for n in names if n not in ("off_the_shelf", "real_only")]
        return ["cache"] if Path(where) == small_run else []

    return Path(shutil.copytree(small_run, tmp_path / "run", ignore=others))


def but_cards(folder):
    """Its files and their bytes; adapters' model cards follow what was measured last."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "README.md"}


def test_a_scorer_is_an_arm_by_three_commands(finished, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = ["--run", str(finished)]
    table = "tables/here/pairs.csv"  # in another depth than the ranking: whose folder are its files relative to?
    assert main(["tasks", *run, "--out", table, "--tasks", "open,qa"]) == 0
    assert f"tasks: 96 pairs in {table} (open 56, qa 40)" in capsys.readouterr().out
    scorer = ["--scorer", "llava", "--model", "mini-llava", "--scorers.llava.rule", "both_ends"]
    assert main(["rank", table, *scorer, "--out", "ranked"]) == 0
    capsys.readouterr()
    assert main(["evaluate", *run, "--scores", "ranked/ranked.csv", "--as", "llava"]) == 0
    shown = capsys.readouterr()
    assert "llava: column llava of ranked/ranked.csv: 96 of 96 pairs of open, qa have a score\n" in shown.out
    assert "\nllava " in shown.out and "\nreal_only " in shown.out and "no score" not in shown.err

    results = json.loads((finished / "results.json").read_text())
    arm = results["arms"]["llava"]
    clips = {row["clip_id"]: row["file"] for row in lines(Path("ranked/asked.jsonl"))}
    scores = {(clips[r["clip_id"]], r["caption"]): r["score"] for r in lines(Path("ranked/scores/llava/scores.jsonl"))}
    pairs = tasks(finished)["open"]
    want = [scores[str(finished / row["video"]), row["caption"]] for row in pairs]
    assert arm["open"]["auc"] == pytest.approx(naive_auc(pairs, want), abs=1e-12)
    assert (arm["open"]["expected"], arm["open"]["missing"], arm["qa"]["questions"]) == (56, 0, 8)
    assert "in_distribution" not in arm and arm["minus_real_only"]["open"]["pairs"] == 56
    digest = arm["scores_from"].pop("digest")
    assert arm["scores_from"] == {"table": str(tmp_path / "ranked/ranked.csv"), "column": "llava"} and digest
    assert arm["weights_from"] == "nothing trained; llava of ranked.csv"
    assert f"{HOME}/pairs/llava/0/open.jsonl" in results["made_from"]

    assert main(["report", *run]) == 0
    assert "nothing trained; llava of ranked.csv" in (finished / "report/index.html").read_text()
    before = but_cards(finished / HOME)
    assert main(["evaluate", *run, "--executor", "ray", "--tasks", "open", "--arms", "llava,real_only"]) == 0
    there = json.loads((finished / "results.json").read_text())["arms"]
    assert list(there) == ["llava", "real_only"] and there["llava"]["open"] == arm["open"]
    assert but_cards(finished / HOME) == before  # read, never asked
    capsys.readouterr()
    assert main(["status", *run]) == 0
    assert f"{HOME}: llava " in (told := capsys.readouterr().out) and "read from " in told
    (finished / "models/twin").mkdir()  # another base model: the arm stands beside the first one's only
    shutil.copy(finished / HOME / "stamp.json", finished / "models/twin")
    assert main(["evaluate", *run, "--tasks", "open", "--arms", "llava"]) == 0
    there = json.loads((finished / "results.json").read_text())
    assert list(there["arms"]) == ["llava"] and "models" not in there


def test_pairs_that_the_table_lacks_are_named_and_counted_and_no_figure_has_them(finished, tmp_path, capsys):
    write_pairs(finished, tmp_path / "pairs.csv", ["open"])
    pairs = rows_of(tmp_path / "pairs.csv")
    given = [(row["file"], row["caption"], f"{i / 100}") for i, row in enumerate(pairs)]
    lost = [given.pop(7), given.pop(20)]
    with (tmp_path / "mine.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("file", "caption", "score"), *given, ("elsewhere.mp4", "a cat", "0.5")])
    capsys.readouterr()
    assert main(["evaluate", "--run", str(finished), "--scores", str(tmp_path / "mine.csv"), "--arms", "mine"]) == 3
    shown = capsys.readouterr()
    assert "54 of 56 pairs of open have a score; 1 other pairs of the table are of no task" in shown.out
    assert "mine: 2 pairs have no score and are left out of the figures; the first is " in shown.err
    assert f"{lost[0][1]!r} of " in shown.err and "mine.csv has no such pair" in shown.err
    rows = lines(finished / HOME / "pairs/mine/0/open.jsonl")
    gaps = [row for row in rows if row["log_odds"] is None]
    assert [row["caption"] for row in gaps] == [caption for _, caption, _ in lost]
    assert all(row["reason"] == "mine.csv has no such pair" for row in gaps)
    found = json.loads((finished / "results.json").read_text())["arms"]
    assert list(found) == ["mine"] and (found["mine"]["open"]["expected"], found["mine"]["open"]["missing"]) == (56, 2)
    assert found["mine"]["open"]["auc"] == pytest.approx(naive_auc([row for row in rows if "reason" not in row]))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--as", "x"], "--as: names the arm of --scores; give --scores TABLE, too"),
        (["--scores", "gone.csv"], "--scores: gone.csv: no such file"),
        (["--scores", "pairs.csv"], "pairs.csv: needs the columns file and caption and score, has file, caption"),
        (["--scores", "mine.csv", "--shard", "1/2"], "--scores: is read when all shards are done"),
        (["--scores", "mine.csv", "--as", "real_only"], "--as: 'real_only' is an arm that is asked"),
        (["--scores", "mine.csv", "--as", "../mine"], "--as: '../mine' cannot be a folder's name"),
        (["--scores", "mine.csv", "--arms", "mime"], "--arms: unknown 'mime'; did you mean 'mine'?"),
        (["--scores", "mine.csv"], "none of its 1 pairs is one of the run's tasks (first: 'a cat' of "),
        (["--arms", "mine"], "--arms: unknown 'mine'"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_writes_nothing(finished, tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    Path("pairs.csv").write_text("file,caption\na.mp4,a cat\n")
    Path("mine.csv").write_text("file,caption,score\na.mp4,a cat,0.5\n")
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.suffix != ".lock"}
    assert main(["evaluate", "--run", str(finished), *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.suffix != ".lock"} == before


# ---- which pair gets which score

PAIRS = [("v.mp4", "a dog, black"), ("v.mp4", 'a "cat"'), ("deep/w.mp4", "a dog, black"), ("deep/w.mp4", "two\nlines")]


@pytest.fixture
def run(tmp_path):
    """Two test triplets of two videos, and a question about one of them with a caption of the other."""
    folder = tmp_path / "run"
    (v, dog), (_, cat), (w, _), (_, two) = PAIRS
    triplets = [Triplet("a", v, dog, cat, split="test"), Triplet("b", w, dog, two, split="test")]
    write_records(folder / "triplets.jsonl", triplets)
    asked = [{"video": v, "caption": text, "label": int(text == dog), "query": "q"} for text in (dog, two)]
    write_records(folder / "benchmarks/qa.jsonl", asked)
    return folder


def table(path, rows, columns=("file", "caption", "score")):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([columns, *rows])
    return path


def read(run, path, arm=None, files=None):
    return read_arm(run, HOME, 0, ScoreTable.read(path, arm, path.parent if files is None else files))


def told(run, arm, task):
    return {
        (r["video"], r["caption"]): r["log_odds"] for r in lines(run / HOME / "pairs" / arm / "0" / f"{task}.jsonl")
    }


@pytest.mark.parametrize("form", ["relative", "absolute", "roundabout", "a link", "of the ranked table", "jsonl"])
def test_a_pair_is_a_file_and_a_caption_however_the_file_is_written(run, tmp_path, form):
    scores = dict(zip(PAIRS, (0.9, 0.1, 0.7, 0.25), strict=True))
    before = {"relative": "../run", "absolute": str(run), "roundabout": f"{run}/deep/..", "jsonl": "../run"}
    (run / "deep").mkdir()
    (tmp_path / "link").symlink_to(run)
    start = before.get(form, str(tmp_path / "link") if form == "a link" else ".")
    rows = [(f"{start}/{video}", caption, score) for (video, caption), score in scores.items()]
    path = table(tmp_path / "out/mine.csv", rows)
    if form == "jsonl":
        path = tmp_path / "out/mine.jsonl"
        write_records(path, [dict(zip(("file", "caption", "score"), row, strict=True)) for row in rows])
    found = read(run, path, files=run if form == "of the ranked table" else None)
    assert found.pairs == {"in_distribution": 4, "qa": 2} and found.unused == 0
    assert told(run, "mine", "in_distribution") == {pair: pytest.approx(log_odds(s)) for pair, s in scores.items()}
    assert told(run, "mine", "qa") == {PAIRS[0]: pytest.approx(log_odds(0.9)), ("v.mp4", "two\nlines"): None}
    assert [(row["video"], row["caption"]) for row in found.lacking] == [("v.mp4", "two\nlines")]
    rows = lines(run / HOME / "pairs/mine/0/in_distribution.jsonl")
    bare = [{k: v for k, v in row.items() if k != "log_odds"} for row in rows]
    assert bare == tasks(run)["in_distribution"]  # labels, types and order are the task's


def test_the_column_of_the_arms_name_is_read_and_else_score(run, tmp_path):
    rows = [(f"{run}/v.mp4", PAIRS[0][1], 0.5, 0.25, "")]
    path = table(tmp_path / "mine.csv", rows, ("file", "caption", "score", "llava", "clip"))
    for arm, want in (("llava", log_odds(0.25)), ("other", 0.0), ("clip", None)):
        read(run, path, arm)
        assert told(run, arm, "qa")[PAIRS[0]] == pytest.approx(want)
    assert {arm: of["column"] for arm, of in arms_from_tables(run / HOME, 0).items()} == {
        "llava": "llava", "other": "score", "clip": "clip",
    }  # fmt: skip
    reasons = [row.get("reason") for row in lines(run / HOME / "pairs/clip/0/qa.jsonl")]
    assert reasons == [f"{path}:2: clip is empty", "mine.csv has no such pair"]


def test_a_rankings_own_reason_is_the_pairs_reason(run, tmp_path):
    rows = [(f"{run}/v.mp4", PAIRS[0][1], "", "broken file"), (f"{run}/v.mp4", PAIRS[1][1], "1", "")]
    read(run, table(tmp_path / "mine.csv", rows, ("file", "caption", "score", "reason")))
    found = {row["caption"]: row.get("reason") for row in lines(run / HOME / "pairs/mine/0/in_distribution.jsonl")}
    assert found["a dog, black"] == "mine.csv has no such pair" and found['a "cat"'] is None  # of w.mp4, of v.mp4
    assert lines(run / HOME / "pairs/mine/0/in_distribution.jsonl")[0]["reason"] == "broken file"


def test_log_odds_keep_every_difference_of_scores_and_are_finite():
    scores = [0.0, 5e-324, 1e-30, 1e-7, 0.2999999, 0.3, 0.5, 0.9999998, 0.9999999, 1 - 2**-53, 1.0]
    odds = [log_odds(score) for score in scores]
    assert odds == sorted(set(odds)) and all(map(math.isfinite, odds))
    assert [1 / (1 + math.exp(-value)) for value in odds[2:-1]] == pytest.approx(scores[2:-1], rel=1e-12)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("v.mp4", "a", "1.5")], ":2: score: '1.5' is no score in [0, 1]; leave it empty"),
        ([("v.mp4", "a", "-0.1")], ":2: score: '-0.1' is no score"),
        ([("v.mp4", "a", "nan")], ":2: score: 'nan' is no score"),
        ([("v.mp4", "a", "good")], ":2: score: 'good' is no score"),
        ([("v.mp4", "a", "1"), ("", "a", "1")], ":3: file: empty or not text"),
        ([("v.mp4", " ", "1")], ":2: caption: empty or not text"),
        ([("v.mp4", "a", "1"), ("./v.mp4", "a", "0.5")], ":3: score: another one than in "),
        ([("v.mp4", "a")], ":2: 2 fields where the header has 3"),
        ([], "none of its 0 pairs is one of the run's tasks; these are: synvita tasks --run "),
    ],
)
def test_a_table_that_is_none_of_scores_is_named_by_its_line(run, tmp_path, rows, message):
    path = table(tmp_path / "mine.csv", rows)
    with pytest.raises(ValueError) as refused:
        read(run, path)
    assert str(refused.value).startswith(f"--scores: {path}") and message in str(refused.value)
    assert not (run / HOME).exists()


def test_a_row_that_is_there_twice_with_one_score_counts_once(run, tmp_path):
    row = (f"{run}/v.mp4", PAIRS[0][1], "0.5")
    assert read(run, table(tmp_path / "mine.csv", [row, row])).pairs == {"in_distribution": 4, "qa": 2}


# ---- what is there already


def test_a_table_may_be_read_again_and_another_one_does_not_take_its_place(run, tmp_path):
    path = table(tmp_path / "mine.csv", [(f"{run}/v.mp4", PAIRS[0][1], "0.5")])
    read(run, path)
    assert check_tables(run, HOME, 0, ["mine"], None) == []
    table(path, [(f"{run}/deep/w.mp4", PAIRS[3][1], "0.25")])  # of another task's video: nothing of before is left
    (note,) = check_tables(run, HOME, 0, ["mine"], None)
    once_more = f"once more: synvita evaluate --run {run} --scores {path} --as mine"
    assert note == f"{path} has changed since 'mine' was read from it; {once_more}"
    assert check_tables(run, HOME, 0, ["other"], None) == []
    read(run, path)
    assert check_tables(run, HOME, 0, ["mine"], None) == []
    assert told(run, "mine", "in_distribution")[PAIRS[3]] == pytest.approx(log_odds(0.25))
    assert not (run / HOME / "pairs/mine/0/qa.jsonl").exists()
    other = table(tmp_path / "other/mine.csv", [(f"{run}/v.mp4", PAIRS[0][1], "0.5")])
    with pytest.raises(ValueError, match=f"--as: 'mine' was read from column score of {path}; give another name"):
        read(run, other)
    (run / HOME / "pairs/asked/0").mkdir(parents=True)
    (run / HOME / "pairs/asked/0/stamp.json").write_text('{"arm": "asked", "seed": 0, "adapter": ""}')
    with pytest.raises(ValueError, match="--as: 'asked' is an arm that was asked"):
        read(run, other, "asked")
    assert list(arms_from_tables(run / HOME, 0)) == ["mine"] and arms_from_tables(run / HOME, 1) == {}


def test_arms_are_not_measured_on_different_pairs(run, tmp_path):
    read(run, table(tmp_path / "mine.csv", [(f"{run}/v.mp4", PAIRS[0][1], "0.5")]))
    pair = {"video": "v.mp4", "caption": PAIRS[0][1], "label": 0, "query": "q"}  # somebody mended a label
    write_records(run / "benchmarks/qa.jsonl", [pair])
    with pytest.raises(ValueError, match=r"qa\.jsonl: its task has changed since .*mine\.csv was read; once more: syn"):
        check_tables(run, HOME, 0, ["mine"], None)
    assert check_tables(run, HOME, 0, ["mine"], ["in_distribution"]) == []
    read(run, tmp_path / "mine.csv")
    assert check_tables(run, HOME, 0, ["mine"], None) == []


# ---- the table of a run's pairs


def test_the_table_of_a_runs_pairs_has_each_once_and_reads_as_it_was_written(run, tmp_path):
    counts = write_pairs(run, tmp_path / "out/pairs.csv")
    assert counts == {"in_distribution": 4, "qa": 1}  # the other pair of qa is one of in_distribution
    rows = rows_of(tmp_path / "out/pairs.csv")
    found = [((tmp_path / "out" / row["file"]).resolve(), row["caption"]) for row in rows]
    assert found == [(run / video, caption) for video, caption in (*PAIRS, ("v.mp4", "two\nlines"))]
    assert rows[2]["file"] == "../run/deep/w.mp4"
    before = (tmp_path / "out/pairs.csv").read_bytes()
    assert write_pairs(run, tmp_path / "out/pairs.csv", ["qa"]) == {"qa": 2}  # its own file may be written again
    write_pairs(run, tmp_path / "out/pairs.csv")
    assert (tmp_path / "out/pairs.csv").read_bytes() == before
    scored = [(row["file"], row["caption"], "0.5") for row in rows]
    assert read(run, table(tmp_path / "out/scored.csv", scored)).lacking == []


def test_a_file_of_something_else_is_never_written_over(run, tmp_path):
    mine = table(tmp_path / "mine.csv", [("a", "b", "1")])
    for path, message in (
        (mine, "mine.csv is there and no table of file,caption; give another file"),
        (tmp_path, "give a file that ends in .csv"),
        (tmp_path / "pairs.txt", "pairs.txt: give a file that ends in .csv"),
    ):
        with pytest.raises(ValueError, match=message):
            write_pairs(run, path)
    with pytest.raises(ValueError, match=f"--run: {run} has no task open; first run: synvita triplets make"):
        write_pairs(run, tmp_path / "pairs.csv", ["open"])
    assert mine.read_text().startswith("file,caption,score") and not (tmp_path / "pairs.csv").exists()
