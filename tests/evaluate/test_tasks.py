"""What is asked, and that the pair files hold what the model says."""

import json
import math

import numpy as np
import pytest
import torch

from synvita.core.frame_rules import FramePolicy
from synvita.core.records import Triplet
from synvita.core.store import parse_lines, write_records
from synvita.core.write_video import write_video
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.tasks import batch_count, evaluate_arm, tasks, unseen_words
from synvita.videollm.models import load_model
from synvita.videollm.protocol import Loading
from synvita.videollm.scoring import score_captions
from synvita.videollm.visual import VisualStore


def test_unseen_words_are_those_that_training_has_only_in_negatives():
    triplets = [
        Triplet("a", "a.mp4", "A red ball", "a BLUE ball"),
        Triplet("b", "b.mp4", "a green cube", "a red cone"),
        Triplet("c", "c.mp4", "a cone of gold", "a pink ball", split="test"),
    ]
    assert unseen_words(triplets) == {"blue", "cone"}


def test_only_the_true_captions_words_make_a_pair_unseen(tmp_path):
    """`red` stands in a positive of training and `cone` only in a negative; test captions teach nothing."""
    write_records(tmp_path / "triplets.jsonl", [
        Triplet("a", "a.mp4", "a red ball", "a red cone"),
        Triplet("b", "b.mp4", "a red cone", "a red ball", split="test_open"),
        Triplet("c", "c.mp4", "a red ball", "a red cone", split="test_open"),
        Triplet("d", "d.mp4", "a gold star", "a cone", split="test_open"),
    ])  # fmt: skip
    rows = tasks(tmp_path)["open"]
    assert [(r["query"], r["label"], r["caption"], r["unseen"]) for r in rows] == [
        ("b", 1, "a red cone", True), ("b", 0, "a red ball", True),
        ("c", 1, "a red ball", False), ("c", 0, "a red cone", False),
        ("d", 1, "a gold star", False), ("d", 0, "a cone", False),
    ]  # fmt: skip


def test_the_pair_files_hold_the_models_log_odds(tmp_path):
    """Against `score_captions` on the same videos, to 1e-6: the files round no further than the model is exact."""
    rng = np.random.default_rng(0)
    triplets = []
    for i, shape in enumerate(("cross", "circle", "square")):
        write_video(tmp_path / f"{i}.mp4", rng.integers(0, 255, (8, 64, 64, 3), dtype=np.uint8), fps=8)
        captions = (f"a small red {shape} moving left", f"a small blue {shape} moving right")
        triplets.append(Triplet(f"t{i}", f"{i}.mp4", *captions, split="test"))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    triplets.append(Triplet("t9", "broken.mp4", "a", "b", split="test"))
    write_records(tmp_path / "triplets.jsonl", triplets)
    out = evaluate_arm(tmp_path, "off_the_shelf", 0, "mini-video-llava", Loading(), EvaluateConfig(rows_at_once=2))
    rows = [fields for _, fields in parse_lines(out / "in_distribution.jsonl")]
    model = load_model("mini-video-llava", Loading())
    store = VisualStore(model, None, tmp_path)
    assert [row["log_odds"] for row in rows[6:]] == [None, None] and "broken.mp4" in rows[6]["reason"]
    assert store.load([t.video for t in triplets[:3]], lambda: None) == {}
    odds = []
    for some in (triplets[:2], triplets[2:3]):
        captions = [[t.caption, t.negative_caption] for t in some]
        odds += [
            v for each in score_captions(model, store.media([t.video for t in some]), captions) for v in each.tolist()
        ]
    store.close()
    assert [row["log_odds"] for row in rows[:6]] == pytest.approx(odds, abs=1e-6, rel=0)
    assert len(set(odds)) == 6 and any(abs(value - round(value, 3)) > 1e-5 for value in odds)
    assert json.loads((out / "model.json").read_text(encoding="utf-8"))["model"] == "mini-video-llava"


class Stub:
    """A model that is never run: what `evaluate_arm` does around it is looked at."""

    revision, temporal_attention, visual_key, policy = "r1", False, "key", FramePolicy(2)

    def look(self, video):
        return {"features": torch.from_numpy(video.frames).float().mean((1, 2))}

    def media(self, features):
        return [float(f["features"].mean()) for f in features]


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A run with five benchmark pairs of three videos, one broken; scores are brightness + length of the caption."""
    for i in range(2):
        write_video(tmp_path / f"{i}.mp4", np.full((4, 16, 16, 3), 100 * i, np.uint8), 8)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    write_records(tmp_path / "triplets.jsonl", [Triplet("a", "0.mp4", "a b", "a c")])
    pairs = [("0.mp4", "one"), ("1.mp4", "three"), ("broken.mp4", "one"), ("0.mp4", "three"), ("1.mp4", "refused")]
    rows = [{"video": v, "caption": c, "label": int(c == "one"), "query": c} for v, c in pairs]
    write_records(tmp_path / "benchmarks" / "qa.jsonl", rows)
    loads, batches = [], []

    def load(*arguments):
        loads.append(arguments)
        return Stub()

    def score(model, media, captions):
        batches.append(len(media))
        return [
            [(math.nan, "no") if text == "refused" else (value + len(text), None) for text in texts]
            for value, texts in zip(media, captions, strict=True)
        ]

    monkeypatch.setattr("synvita.evaluate.tasks.load_model", load)
    monkeypatch.setattr("synvita.evaluate.tasks.score_each", score)
    return tmp_path, loads, batches


def test_benchmarks_of_the_run_are_asked_in_batches_of_videos_and_every_batch_ticks(asked):
    run, loads, batches = asked
    ticks, how, config = [], Loading(frames=2), EvaluateConfig(rows_at_once=1)
    out = evaluate_arm(run, "mine", 3, "some-model", how, config, lambda: ticks.append(1))
    assert out == run / "pairs" / "mine" / "3" and batches == [1, 1] and len(ticks) == 2
    assert loads == [("some-model", how, run / "adapters" / "mine" / "3")]
    assert batch_count(tasks(run), config) == 3  # the broken video is counted, nobody knows yet
    assert batch_count(tasks(run), EvaluateConfig(rows_at_once=2)) == 2
    rows = [fields for _, fields in parse_lines(out / "qa.jsonl")]
    assert [(row["video"], row["caption"]) for row in rows[:2]] == [("0.mp4", "one"), ("1.mp4", "three")]
    dark, bright = rows[0]["log_odds"] - 3, rows[1]["log_odds"] - 5
    assert dark == pytest.approx(0, abs=3) and bright == pytest.approx(100, abs=3)
    assert rows[3]["log_odds"] == pytest.approx(dark + 5, abs=1e-5)
    assert rows[2]["log_odds"] is None and "broken.mp4" in rows[2]["reason"]
    assert rows[4]["log_odds"] is None and rows[4]["reason"] == "no"
    told = json.loads((out / "model.json").read_text())
    assert told == {"model": "some-model", "revision": "r1", "temporal_attention": False}


def test_what_was_asked_is_not_asked_again_and_the_untrained_model_has_no_adapter(asked):
    run, loads, batches = asked
    out = evaluate_arm(run, "off_the_shelf", 0, "some-model", Loading(), EvaluateConfig(rows_at_once=2))
    assert loads[0][2] is None and batches == [2]
    before = (out / "qa.jsonl").read_bytes()
    assert evaluate_arm(run, "off_the_shelf", 0, "some-model", Loading(), EvaluateConfig()) == out
    assert len(loads) == 1 and (out / "qa.jsonl").read_bytes() == before
