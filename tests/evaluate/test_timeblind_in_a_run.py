"""TimeBlind as a task of a run: its questions are asked as they stand, and only those that yes or no answers."""

import json

import benchmark_files as files
import numpy as np
import pytest
import torch
from run_files import write_records

from synvita.cli import main
from synvita.core.write_video import write_video
from synvita.evaluate.benchmarks.into_run import put
from synvita.evaluate.tasks import tasks as tasks_of
from synvita.evaluate.tasks import write_pairs
from synvita.videollm.models import load_model
from synvita.videollm.protocol import Loading
from synvita.videollm.visual import VisualStore

PAIRS = "models/mini-video-llava/pairs/off_the_shelf/0/timeblind.jsonl"


pytestmark = pytest.mark.usefixtures("nothing_loaded")


@pytest.fixture
def run(tmp_path):
    return files.own_run(tmp_path)


def videos(folder, instances, size=(8, 32, 32, 3)):
    dice = np.random.default_rng(3)
    for number in range(instances):
        for side in (0, 1):
            frames = dice.integers(0, 255, size, dtype=np.uint8)
            write_video(folder / f"vid_{number:05d}_{side}.mp4", frames, fps=8)


def touch(folder, instances):
    folder.mkdir()
    for number in range(instances):
        for side in (0, 1):
            (folder / f"vid_{number:05d}_{side}.mp4").write_bytes(b"")


def test_instances_that_offer_a_and_b_are_refused_by_name_or_left_out_and_counted(tmp_path, run):
    files.timeblind(tmp_path / "data" / "data.jsonl")  # every other instance offers A and B
    touch(tmp_path / "videos", 600)
    folders = (tmp_path / "data", tmp_path / "videos")
    with pytest.raises(ValueError, match=r"--tasks: timeblind: 300 of 600 instances ask for something else than") as e:
        put(run, ["timeblind"], *folders)
    assert "data.jsonl:1: 'Is 0 0?'; --allow-missing leaves them out" in str(e.value)
    assert not (run / "benchmarks" / "timeblind.jsonl").exists()
    (told,) = put(run, ["timeblind"], *folders, allow_missing=True)
    assert "300 of 600 instances" in told and "600 videos found" in told and "are left out" in told
    rows = tasks_of(run, ["timeblind"])["timeblind"]
    assert len(rows) == 1200 and all(row["asks"] == row["caption"] for row in rows)
    assert {int(row["query"]) % 2 for row in rows} == {1}
    stamp = json.loads((run / "benchmarks" / "timeblind.json").read_text())
    assert (stamp["n"], stamp["expected"], stamp["unit"]) == (300, 600, "instances")


def test_a_copy_without_any_yes_or_no_question_is_refused_even_with_allow_missing(tmp_path, run):
    lines = [row for row in files.read_lines(files.timeblind(tmp_path / "data.jsonl", 3)) if row["answer"] in "AB"]
    files.write_lines(tmp_path / "data" / "data.jsonl", lines)
    touch(tmp_path / "videos", 3)
    with pytest.raises(ValueError, match=r"timeblind: 2 of 2 instances ask .*; measure scores with --benchmark"):
        put(run, ["timeblind"], tmp_path / "data", tmp_path / "videos", allow_missing=True)


@pytest.mark.parametrize("answers", [("1", "0"), ("true", "false"), ("A.", "B.")])
def test_an_answer_that_may_mean_yes_or_no_is_not_taken_for_it(tmp_path, run, answers):
    """The schema says nothing of other words, so they are not guessed."""
    lines = files.read_lines(files.timeblind(tmp_path / "data.jsonl", 2))
    for line in lines[:4]:
        line["answer"] = answers[line["answer"] == "B"]
    files.write_lines(tmp_path / "data" / "data.jsonl", lines)
    touch(tmp_path / "videos", 2)
    put(run, ["timeblind"], tmp_path / "data", tmp_path / "videos", allow_missing=True)
    assert {row["query"] for row in tasks_of(run, ["timeblind"])["timeblind"]} == {"1"}


def log_odds_alone(model, store, video, question):
    """The whole prompt in one plain pass: chat template, video, question, nothing else."""
    tokens = model.questioner.tokens(model.questioner.render(question))
    at = len(tokens) - tokens[::-1].index(model.placeholder)
    media = store.media([video])[0]
    ids = torch.tensor([[*media.ids, *tokens[at:]]])
    holes = ids == model.placeholder
    embedded = model.language.get_input_embeddings()(ids.masked_fill(holes, 0))
    embedded[holes] = media.visual
    with torch.no_grad():
        states = model.language(inputs_embeds=embedded, use_cache=False).last_hidden_state
        logits = model.logits(states[0, -1])
    return float(logits[model.questioner.answers.yes] - logits[model.questioner.answers.no])


def test_an_arm_answers_the_questions_themselves_and_its_accuracies_are_those_of_its_answers(tmp_path, run, capsys):
    words = ["Is there a red cross?", "Is the picture empty?", "Does a ring blink", "Does it move left. Yes or No?"]
    lines = files.read_lines(files.timeblind(tmp_path / "data.jsonl", 4))[4:8] * 2
    lines = [
        dict(line, question=words[i // 2], answer=("Yes", "No", "No", "Yes")[i % 4]) for i, line in enumerate(lines)
    ]
    for line, video in zip(lines, "01010202", strict=True):
        line["video_path"] = f"TimeBlind/videos/vid_00000_{video}.mp4" if video != "2" else "vid_00001_0.mp4"
    files.write_lines(tmp_path / "data" / "data.jsonl", lines)
    videos(tmp_path / "videos", 2)
    flags = ["--data", str(tmp_path / "data"), "--videos", str(tmp_path / "videos"), "--allow-missing"]
    call = ["evaluate", "--run", str(run), "--tasks", "timeblind", "--workers", "1", "--evaluate.draws", "5"]
    assert main([*call, *flags]) == 3  # two of 600 instances
    told = capsys.readouterr()
    assert "2 of 600 instances" in told.out and "a benchmark's files have 2 of 600 instances" in told.err
    rows = files.read_lines(run / PAIRS)
    model = load_model("mini-video-llava", Loading())
    store = VisualStore(model, None, run)
    assert store.load({row["video"] for row in rows}, lambda: None) == {}
    want = [log_odds_alone(model, store, row["video"], row["asks"]) for row in rows]
    store.close()
    assert [row["log_odds"] for row in rows] == pytest.approx(want, abs=1e-4) and np.ptp(want) > 0.01

    right = [[(row["log_odds"] > 0) == bool(row["label"]) for row in rows if row["query"] == q] for q in ("0", "1")]
    of = {q: {(r["caption"], r["video"]): (r["log_odds"] > 0) == bool(r["label"]) for r in rows if r["query"] == q}
          for q in ("0", "1")}  # fmt: skip
    by_question = [
        all(ok for (c, _), ok in some.items() if c == one) for some in of.values() for one in {c for c, _ in some}
    ]
    by_video = [
        all(ok for (_, v), ok in some.items() if v == one) for some in of.values() for one in {v for _, v in some}
    ]
    entry = json.loads((run / "results.json").read_text())["arms"]["off_the_shelf"]["timeblind"]
    assert entry["accuracy"] == np.mean(right) and entry["group"] == np.mean([all(some) for some in right])
    assert (entry["text"], entry["video"]) == (np.mean(by_question), np.mean(by_video))
    assert (entry["groups"], entry["expected"], entry["benchmark"]["of"]) == (2, 8, 600)


def test_a_table_for_scorers_of_captions_leaves_questions_out(tmp_path, run, capsys):
    pair = {"video": "v.mp4", "caption": "a", "label": 1, "query": "q"}
    write_records(run / "benchmarks" / "qa.jsonl", [pair])
    write_records(run / "benchmarks" / "timeblind.jsonl", [pair | {"caption": "Is it?", "asks": "Is it?"}])
    assert write_pairs(run, tmp_path / "out.csv") == {"qa": 1, "timeblind": 0}
    assert "Is it?" not in (tmp_path / "out.csv").read_text()
    with pytest.raises(ValueError, match=r"--tasks: timeblind: asks questions of its own"):
        write_pairs(run, tmp_path / "out.csv", ["timeblind"])
    assert main(["tasks", "--run", str(run), "--out", str(tmp_path / "out.csv")]) == 0
    assert "note: timeblind: left out, because it asks questions of its own" in capsys.readouterr().err
