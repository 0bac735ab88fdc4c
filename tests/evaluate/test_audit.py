"""The audit of weights: figures counted by hand, blindness in words, a person's truth, and what is refused."""

import json
import shutil

import numpy as np
import pytest
from run_files import write_clips, write_scores

from synvita.cli import main
from synvita.core.records import Clip, Misalignment, ScoredClip, Triplet
from synvita.core.store import write_records
from synvita.evaluate.audit import agreement, as_text, audit, calibration_error, pairs_of, read_truth
from synvita.recipes import THREE

N = 40


def make(run, scorers, truth=True):
    """Triplets of two types in turn; `scorers`: name -> (own, real) of clip i."""
    kinds = [Misalignment.FLIP, Misalignment.OBJECT]
    triplets = [Triplet(f"t{i:02}", f"v{i}.mp4", f"real {i}", f"own {i}", kinds[i % 2]) for i in range(N)]
    clips = [Clip(f"c{i:02}", f"own {i}", "gen", "1", {}, 0, f"clips/gen/c{i:02}.mp4") for i in range(N)]
    told = (4, "both_ends", [8, 8])
    scores = []
    for name, give in scorers.items():
        for i in range(N):
            for caption, value in zip((f"own {i}", f"real {i}"), give(i), strict=True):
                scores.append(ScoredClip(f"c{i:02}", caption, name, *told, float(value), quantity="p_yes"))
    if truth:
        for i in range(N):
            scores.append(ScoredClip(f"c{i:02}", f"own {i}", "world_truth", *told, float(i % 4 < 2), quantity="truth"))
            scores.append(ScoredClip(f"c{i:02}", f"real {i}", "world_truth", *told, 1.0, quantity="truth"))
    write_records(run / "triplets.jsonl", triplets)
    write_clips(run, clips)
    write_scores(run, scores)
    write_records(run / "clip_of_triplet.jsonl", [{"triplet_id": f"t{i:02}", "clip_id": f"c{i:02}"} for i in range(N)])
    return run


def sees_objects(i):
    """Right clips (i % 4 < 2) of objects get weight 0.6, all others next to nothing, by turns."""
    if i % 2:
        return (0.8, 0.2) if i % 4 < 2 else (0.3, 0.5)
    return (0.5, 0.5 - 0.01 * (i // 4 % 2))


def test_figures_are_those_counted_by_hand(tmp_path):
    found = audit(make(tmp_path, {"a": sees_objects}), draws=200)["scorers"]["a"]
    assert found["quantity"] == "p_yes" and list(found["types"]) == ["all", "object", "flip"]
    one = found["types"]["object"]
    assert (one["clips"], one["judged"], one["right"], one["auc"]) == (20, 20, 10, 1.0)
    assert (one["own"], one["real"]) == (pytest.approx(0.55), pytest.approx(0.35))
    assert one["difference"] == pytest.approx(0.2) and one["spread"] == pytest.approx(0.4)  # +0.6 and -0.2
    assert one["weight"] == pytest.approx(0.3) and one["zero"] == 0.5
    flip = found["types"]["flip"]
    assert flip["auc"] == 0.5 and flip["zero"] == 0.5 and flip["weight"] == pytest.approx(0.005)
    whole = found["types"]["all"]
    assert whole["clips"] == 40 and whole["weight"] == pytest.approx((0.3 + 0.005) / 2)


def test_where_a_scorer_is_blind_is_said_in_words(tmp_path):
    scorers = {"a": sees_objects, "never": lambda i: (0.2, 0.9), "still": lambda i: (0.9 + 0.001 * (i % 3), 0.9)}
    found = audit(make(tmp_path / "known", scorers), draws=200)["scorers"]
    assert [text.split(":")[0] for text in found["a"]["blind"]] == [
        "a cannot be told from chance on type flip, by 20 clips"
    ]
    found = audit(make(tmp_path / "unknown", scorers, truth=False))["scorers"]
    assert found["a"]["blind"] == ["a scores both captions alike on type flip: the difference spreads by 0.005"]
    assert found["never"]["blind"][0] == "never gives 100 % of the clips of type all no weight at all"
    assert found["still"]["blind"][0].startswith("still scores both captions alike on type all")
    assert "auc" not in found["a"]["types"]["all"] and "judged" not in found["a"]["types"]["all"]


def test_the_terminal_shows_the_figures_of_the_file(tmp_path):
    lines = as_text(audit(make(tmp_path, {"a": sees_objects, "b": sees_objects}), draws=200)).splitlines()
    head = ["clips", "own", "real", "diff.", "spread", "weight", "zero", "right", "AUC", "calibr."]
    assert lines[0].split() == ["a,", "p_yes:", *head]
    row = next(line for line in lines if line.startswith("  object")).split()
    assert row[:9] == ["object", "20", "0.550", "0.350", "+0.200", "0.400", "0.300", "50%", "50%"]
    assert row[9:12] == ["100.0", "[100.0,", "100.0]"]
    assert "a, b: differences correlate by +1.00" in lines
    assert lines[-1].startswith("note: b cannot be told from chance on type flip, by 20 clips: AUC 50.0 [")


def test_a_scorer_that_gives_the_share_of_right_clips_is_calibrated():
    rng = np.random.default_rng(0)
    scores = rng.random(20_000)
    labels = (rng.random(20_000) < scores).astype(int)
    assert calibration_error(labels, scores) < 0.02
    assert calibration_error([1, 0, 1, 0], [1.0, 1.0, 1.0, 1.0]) == 0.5
    # two bins by hand: 0.25 against a half of 2, 0.85 against all of 1
    assert calibration_error([1, 0, 1], [0.22, 0.28, 0.85]) == pytest.approx((2 * 0.25 + 0.15) / 3)


def test_agreement_is_pearsons_over_what_both_have_scored(tmp_path):
    scorers = {"a": lambda i: (i / N, 0.0), "b": lambda i: (1 - i / N, 0.0), "c": lambda i: (0.5, 0.1)}
    found = audit(make(tmp_path, scorers, truth=False))["agreement"]
    assert found["a, b"] == pytest.approx(-1) and found["a, c"] is None
    triplets = [Triplet(f"t{i}", "v", "r", "o") for i in range(3)]
    links = {t.id: [f"c{i}"] for i, t in enumerate(triplets)}
    scores = {("x", f"c{i}", text): value for i in range(3) for text, value in (("o", i / 3), ("r", 0.0))}
    scores |= {("y", f"c{i}", text): value for i in range(2) for text, value in (("o", i / 3), ("r", 0.0))}
    scores["y", "c2", "o"] = 0.9  # with one caption only: left out
    of = {name: pairs_of(name, triplets, links, scores) for name in ("x", "y")}
    assert len(of["y"]) == 2 and agreement(of) == {"x, y": pytest.approx(1)}
    assert agreement({"x": of["x"], "y": dict(list(of["y"].items())[:1])}) == {"x, y": None}  # of one pair
    assert agreement({"x": of["x"], "y": {}}) == {"x, y": None}


def test_a_persons_truth_takes_the_place_of_the_simulators(tmp_path):
    run = make(tmp_path, {"a": sees_objects})
    table = tmp_path / "judged.csv"
    table.write_text("file,shows_target\nc01.mp4,yes\nclips/gen/c03.mp4,0\nc05.mp4,\nc07.mp4,1\n")
    truth = read_truth(table, run)
    assert truth == {"c01": True, "c03": False, "c07": True}
    one = audit(run, truth, draws=50)["scorers"]["a"]["types"]["object"]
    assert (one["judged"], one["right"]) == (3, 2)
    assert one["auc"] == 0.75  # weights 0.6 and 0 of right clips against 0: one won, one tied
    table.write_text("clip_id,shows_target\nc01,maybe\n")
    with pytest.raises(ValueError, match=r"--truth: .*judged\.csv:2: shows_target: 'maybe'; give 1 or 0"):
        read_truth(table, run)
    table.write_text("clip_id,shows_target\nc99,1\n")
    with pytest.raises(ValueError, match=r"--truth: .*judged\.csv:2: clip_id: the run has no clip 'c99'"):
        read_truth(table, run)
    clips = [Clip(f"c{i}", f"own {i}", "gen", "1", {}, 0, f"clips/{i}/same.mp4") for i in range(2)]
    write_clips(run, clips)
    table.write_text("file,shows_target\nclips/1/same.mp4,1\n")
    assert read_truth(table, run) == {"c1": True}
    table.write_text("file,shows_target\nsame.mp4,1\n")
    with pytest.raises(ValueError, match=r"judged\.csv:2: file: the run has several clips 'same\.mp4', e\.g\. clips/0"):
        read_truth(table, run)
    table.write_text("clip_id\nc01\n")
    with pytest.raises(ValueError, match=r"--truth: .*needs the columns clip_id and shows_target"):
        read_truth(table, run)


def test_the_command_scores_nothing_and_prints_what_the_file_holds(small_run, tmp_path, capsys):
    before = {p: p.stat().st_mtime_ns for p in (small_run / "scores").rglob("*")}
    capsys.readouterr()
    assert main(["weigh", "--run", str(small_run), "--report"]) == 0
    text = capsys.readouterr().out
    found = json.loads((small_run / "weights" / "audit.json").read_text())
    assert as_text(found) in text and set(found["scorers"]) == {*THREE, "video_llm"}
    assert {p: p.stat().st_mtime_ns for p in (small_run / "scores").rglob("*")} == before
    again = tmp_path / "run"
    shutil.copytree(small_run, again)
    assert main(["weigh", "--run", str(again)]) == 0
    assert not (again / "weights" / "audit.json").exists()  # it was about the scores before
    (small_run / "weights" / "audit.json").unlink()
    assert main(["weigh", "--run", str(small_run), "--truth", "x.csv"]) == 2
    assert "--truth: is for the report" in capsys.readouterr().err
