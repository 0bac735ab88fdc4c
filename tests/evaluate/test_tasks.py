"""What is asked, and that the pair files hold what the model says."""

import json

import numpy as np
import pytest

from synvita.core.records import Triplet
from synvita.core.store import parse_lines, write_records
from synvita.core.video import write_video
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.tasks import evaluate_arm, tasks, unseen_words
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
