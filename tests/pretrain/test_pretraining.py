"""Pre-training: what the tiny models are taught, and that a killed run ends where an uninterrupted one does."""

import json

import numpy as np
import torch

from synvita.pretrain import tower
from synvita.pretrain.scenes import as_stored, differences, draw_batch, other_caption
from synvita.world.captions import parse_caption
from synvita.world.scenes import COLOURS, SHAPES, SIZES, Content, Thing, describes, draw_scene


def test_tags_name_the_shapes_colours_sizes_and_pairs_of_a_scene():
    scene = Content(Thing("ring", "pink", "small"), 1, ("growing",), Thing("cross", "red", "large"), "above")
    names = [*SHAPES, *COLOURS, *SIZES, *((s, c) for s in SHAPES for c in COLOURS)]
    assert len(names) == tower.TAGS
    said = {name for name, tag in zip(names, tower.tags_of(scene), strict=True) if tag}
    assert said == {"ring", "pink", "small", "cross", "red", "large", ("ring", "pink"), ("cross", "red")}


def test_easy_negatives_are_captions_of_other_scenes_never_one_word_edits():
    for sample in draw_batch(1, 2, 32):
        shown = parse_caption(sample.said)
        assert len(sample.positives) == len(sample.negatives) == 2
        assert all(describes(parse_caption(c), shown) for c in sample.positives)
        for caption in sample.negatives:
            said = parse_caption(caption)
            assert not describes(said, shown)
            scenes = [parse_caption(other.said) for other in draw_batch(1, 2, 32)]
            assert max(differences(shown, s) for s in scenes if describes(said, s)) >= 2


def test_a_negative_shares_the_asked_cue_where_some_scene_does():
    rng = np.random.default_rng(5)
    scenes = [draw_scene(rng, "single") for _ in range(64)]
    for i, scene in enumerate(scenes):
        said = parse_caption(other_caption(rng, scenes, i, ("events",)))
        fits = [s for s in scenes if s.events == scene.events and differences(s, scene) >= 2]
        assert said.events == scene.events or not fits


def test_frames_in_pre_training_are_those_that_the_files_hold():
    frames = np.random.default_rng(0).integers(0, 255, (2, 4, 4, 3), dtype=np.uint8)
    stored = as_stored(frames)
    assert stored.shape == (2, 8, 8, 3)
    for y in (0, 1):
        for x in (0, 1):
            assert (stored[:, y::2, x::2] == frames).all()


def test_a_stopped_pre_training_ends_with_the_weights_and_log_of_an_uninterrupted_one(tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    tower.train(whole, steps=4, clips=2, rate=1e-3, seed=3, save_every=2)

    real = tower.draw
    monkeypatch.setattr(tower, "draw", lambda seed, step, *rest: 1 / 0 if step == 3 else real(seed, step, *rest))
    try:
        tower.train(parts, steps=4, clips=2, rate=1e-3, seed=3, save_every=2)
        raise AssertionError("the run was to stop at its fourth step")
    except ZeroDivisionError:
        assert not (parts / "tower.pt").exists()
    monkeypatch.setattr(tower, "draw", real)
    tower.train(parts, steps=4, clips=2, rate=1e-3, seed=3, save_every=2)

    a, b = (torch.load(folder / "tower.pt", weights_only=True) for folder in (whole, parts))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_shipped_training_logs_lead_to_the_shipped_checkpoints(checkpoints):
    for name in ("mini-video-llava", "mini-llava"):
        lines = [json.loads(line) for line in (checkpoints / name / "training.jsonl").read_text().splitlines()]
        stages = {line["stage"] for line in lines}
        assert stages == {"tower", "language"}
        for stage in stages:
            steps = [line["step"] for line in lines if line["stage"] == stage]
            assert steps == sorted(set(steps)) and len(steps) > 10
        language = [line for line in lines if line["stage"] == "language"]
        assert language[-1]["right"] > 0.85 > language[0]["right"]
