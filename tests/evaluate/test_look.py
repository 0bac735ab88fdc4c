"""evaluate --limit: a few videos of each task, marked as a look, apart from results, and not asked again afterwards."""

import json
import shutil

import pytest
from small import HOME, SMALL

from synvita.cli import main
from synvita.core.store import parse_lines
from synvita.evaluate.metrics import roc_auc

ARM = "real_only"


@pytest.fixture
def unasked(small_run, tmp_path):
    """A finished run whose arm was never asked, and the bytes of its pair files when it was."""
    run = tmp_path / "run"
    shutil.copytree(small_run, run, ignore=shutil.ignore_patterns("report"))
    pairs = run / HOME / "pairs" / ARM / "0"
    whole = {path.name: path.read_bytes() for path in pairs.glob("*.jsonl")}
    shutil.rmtree(pairs.parent)
    return run, pairs, whole


def rows(path):
    return [fields for _, fields in parse_lines(path)]


def test_a_look_is_marked_everywhere_stands_apart_and_is_gone_on_with(unasked, capsys):
    run, pairs, whole = unasked
    results = (run / "results.json").read_bytes()
    flags = ["--run", str(run), *SMALL, "--arms", ARM, "--tasks", "open", "--evaluate.rows-at-once", "2"]
    assert main(["evaluate", *flags, "--limit", "4"]) == 0
    told = capsys.readouterr().out
    assert "A look with --limit 4, not a result: open 4 of 28 videos (8 of 56 pairs)" in told
    assert (run / "results.json").read_bytes() == results and not (pairs / "open.jsonl").exists()
    looked = rows(run / "look" / HOME / "pairs" / ARM / "0" / "open.jsonl")
    want = {(r["video"], r["caption"]): r["log_odds"] for r in map(json.loads, whole["open.jsonl"].splitlines())}
    assert len(looked) == 8 and len({row["video"] for row in looked}) == 4
    assert all(row["log_odds"] == pytest.approx(want[row["video"], row["caption"]], abs=1e-5) for row in looked)
    measured = json.loads((run / "look/results.json").read_text())
    assert measured["look"]["limit"] == 4 and measured["arms"][ARM]["open"]["expected"] == 8
    auc = roc_auc([row["label"] for row in looked], [row["log_odds"] for row in looked])
    assert measured["arms"][ARM]["open"]["auc"] == pytest.approx(auc, abs=1e-12)
    assert main(["report", "--run", str(run), "--look"]) == 0
    assert "A look with --limit 4, not a result" in (run / "look/report/index.html").read_text()

    assert main(["evaluate", *flags, "--limit", "6"]) == 0  # a longer look holds the shorter one
    longer = rows(run / "look" / HOME / "pairs" / ARM / "0" / "open.jsonl")
    assert len(longer) == 12 and all(row in longer for row in looked)
    capsys.readouterr()
    assert main(["evaluate", *flags]) == 0
    found = rows(pairs / "open.jsonl")
    assert len(found) == 56 and all(row in found for row in longer)  # what a look has asked is not asked again
    assert "look" not in json.loads((run / "results.json").read_text())


def test_a_video_that_was_exchanged_is_asked_again_and_the_others_are_not(unasked, capsys):
    run, pairs, _ = unasked
    flags = ["--run", str(run), *SMALL, "--arms", ARM, "--tasks", "open"]
    assert main(["evaluate", *flags]) == 0
    before = {row["video"]: row for row in rows(pairs / "open.jsonl")}
    first, second = sorted(before)[:2]
    shutil.copy(run / second, run / first)
    assert main(["evaluate", *flags, "--verify"]) == 0
    after = {row["video"]: row for row in rows(pairs / "open.jsonl")}
    assert after[first]["media"] == after[second]["media"] != before[first]["media"]
    assert {video: row for video, row in after.items() if video != first} == {
        video: row for video, row in before.items() if video != first
    }
    assert after[first]["log_odds"] != before[first]["log_odds"]


def test_a_look_does_not_go_with_shards_or_files_of_scores(unasked, capsys):
    run, _, _ = unasked
    for more in (
        ["--run", str(run), "--shard", "1/2"],
        ["--benchmark", "ssv2_temporal", "--scores", "a", "--out", "b"],
    ):
        assert main(["evaluate", "--limit", "4", *more]) == 2
        assert "--limit: " in capsys.readouterr().err
