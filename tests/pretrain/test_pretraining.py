"""Pre-training: what the tiny models are taught, and that a killed run ends where an uninterrupted one does."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from synvita.pretrain import tower
from synvita.pretrain.run import MIXES, PLAN, Phase, at, parse_plan, rate_of
from synvita.pretrain.scenes import (
    RELATIONS_ALONE,
    SHAPES_ALONE,
    Mix,
    as_stored,
    differences,
    draw_batch,
    other_caption,
)
from synvita.pretrain.states import ahead
from synvita.world.captions import parse_caption
from synvita.world.render import FRAMES, SIDE, draw_objects, paint
from synvita.world.scenes import COLOURS, KINDS, OPPOSITE, SHAPES, SIZES, Content, Thing, describes, draw_scene


def test_tags_name_the_shapes_colours_sizes_and_pairs_of_a_scene():
    scene = Content(Thing("ring", "pink", "small"), 1, ("growing",), Thing("cross", "red", "large"), "above")
    names = [*SHAPES, *COLOURS, *SIZES, *((s, c) for s in SHAPES for c in COLOURS)]
    assert len(names) == tower.TAGS
    said = {name for name, tag in zip(names, tower.tags_of(scene), strict=True) if tag}
    assert said == {"ring", "pink", "small", "cross", "red", "large", ("ring", "pink"), ("cross", "red")}


def test_easy_negatives_are_captions_of_other_scenes_never_one_word_edits():
    easy = Mix(shapes=0.0)
    for sample in draw_batch(1, 2, 32, easy):
        shown = parse_caption(sample.said)
        assert len(sample.positives) == len(sample.negatives) == 2
        assert all(describes(parse_caption(c), shown) for c in sample.positives)
        for caption in sample.negatives:
            said = parse_caption(caption)
            assert not describes(said, shown)
            scenes = [parse_caption(other.said) for other in draw_batch(1, 2, 32, easy)]
            assert max(differences(shown, s) for s in scenes if describes(said, s)) >= 2


@pytest.mark.parametrize("alike", Mix().alike)
def test_a_negative_shares_the_asked_cues_where_some_scene_does(alike):
    rng = np.random.default_rng(5)
    scenes = [draw_scene(rng, "single") for _ in range(200)]
    cues = {"shape": lambda s: s.thing.shape, "colour": lambda s: s.thing.colour, "events": lambda s: s.events}
    alike_where_it_can_be = []
    for i, scene in enumerate(scenes):
        said = parse_caption(other_caption(rng, scenes, i, alike))
        if any(differences(s, scene) >= 2 and all(cues[c](s) == cues[c](scene) for c in alike) for s in scenes):
            alike_where_it_can_be.append(all(cues[c](said) in (None, cues[c](scene)) for c in alike))
    if len(alike) < 3:  # single things that agree in three cues differ in the size alone
        assert len(alike_where_it_can_be) > 100
        assert np.mean(alike_where_it_can_be) > 0.9  # with details left out it may be true of the scene: then another


def edits(sample):
    """The (positive, negative) contents of a sample's pairs."""
    return [(parse_caption(p), parse_caption(n)) for p, n in zip(sample.positives, sample.negatives, strict=True)]


def test_shape_pairs_are_equal_but_for_the_shape_and_the_negative_is_false():
    for sample in draw_batch(2, 3, 40, SHAPES_ALONE):
        shown = parse_caption(sample.said)
        assert shown.kind == "single"
        for said, wrong in edits(sample):
            assert describes(said, shown) and not describes(wrong, shown)
            assert said.thing.shape != wrong.thing.shape is not None
            assert replace(said, thing=replace(said.thing, shape=wrong.thing.shape)) == wrong


def test_wide_shape_pairs_come_in_every_kind_of_scene():
    samples = draw_batch(2, 3, 80, replace(MIXES["wide"], shapes=1.0))
    assert {parse_caption(s.said).kind for s in samples} == set(KINDS)
    assert all(differences(a, b) == 1 and a.thing.shape != b.thing.shape for s in samples for a, b in edits(s))
    narrow = draw_batch(2, 3, 80, replace(MIXES["all"], shapes=1.0))
    assert {parse_caption(s.said).kind for s in narrow} == {"single"}


def test_relation_pairs_are_equal_but_for_the_opposite_relation():
    for sample in draw_batch(2, 3, 40, RELATIONS_ALONE):
        for said, wrong in edits(sample):
            assert wrong == replace(said, relation=OPPOSITE[said.relation])


def test_a_mix_holds_its_share_of_shape_pairs_and_of_relation_pairs():
    samples = [s for step in range(5) for s in draw_batch(0, step, 64, Mix(shapes=0.25, relations=0.5))]
    shapes = [s for s in samples if all(differences(a, b) == 1 and a.thing.shape != b.thing.shape for a, b in edits(s))]
    related = [s for s in samples if parse_caption(s.said).relation]
    opposite = [s for s in related if all(b.relation == OPPOSITE[a.relation or ""] for a, b in edits(s) if a.relation)]
    assert abs(len(shapes) / len(samples) - 0.25) < 0.07
    assert (
        abs(len([s for s in related if all(differences(a, b) == 1 for a, b in edits(s))]) / len(related) - 0.5) < 0.15
    )
    assert opposite


def test_the_colours_of_a_patch_are_those_of_the_things_whose_centre_lies_in_it():
    rng = np.random.default_rng(1)
    scene = Content(Thing("square", "red", "small"), 1, ("blinking",), Thing("square", "blue", "small"), "left of")
    for _ in range(20):
        opacity, colours = draw_objects(scene, rng)
        here = tower.colours_here(scene, opacity).reshape(FRAMES, 3, 3, len(COLOURS))
        frame = paint(opacity, colours, "real", rng)[0].astype(float)
        for colour, mask in (
            ("red", frame[..., 0] - frame[..., 2] > 110),
            ("blue", frame[..., 2] - frame[..., 0] > 110),
        ):
            y, x = (np.mean(at) for at in np.nonzero(mask))
            cells = {(int((y + dy) * 3 / SIDE), int((x + dx) * 3 / SIDE)) for dy in (-1, 1) for dx in (-1, 1)}
            assert sum(here[0, row, column, COLOURS.index(colour)] for row, column in cells) == 1
        assert here[0].sum() == 2


def test_a_plan_is_read_as_it_is_written_and_a_part_that_is_none_is_named():
    first, second, _, last = parse_plan(PLAN)
    assert first == Phase(300, Mix(), 2e-3, 600) and second == Phase(300, SHAPES_ALONE, 1e-3, 300)
    assert last.mix.shape_kinds == KINDS and last.mix.shapes == 0.15
    assert parse_plan("related:5@1e-3") == [Phase(5, MIXES["related"], 1e-3, 5)]
    for wrong in ("shapes", "shape:3@1", "shapes:x@1", "all:3@1,"):
        with pytest.raises(ValueError, match="is not MIX:STEPS@PEAK"):
            parse_plan(wrong)


def test_the_rate_warms_up_falls_and_starts_again_with_each_phase():
    plan = parse_plan("shapes:300@2e-3/400,all:1000@1.2e-3")
    rates = [rate_of(plan, step) for step in range(1300)]
    assert rates[0] == pytest.approx(2e-5) and rates[299] < 0.2 * 2e-3  # three quarters of a cosine over 400
    assert rates[299] == pytest.approx(2e-3 * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * 299 / 400))))
    assert rates[300] == pytest.approx(1.2e-5) and max(rates[300:]) < 1.2e-3 and rates[-1] < 2.5e-5
    assert at(plan, 299)[0].mix == SHAPES_ALONE and at(plan, 300)[0].mix == Mix() and at(plan, 300)[1] == 0


def test_batches_drawn_ahead_by_processes_are_those_drawn_one_by_one():
    draw = partial(tower.draw, 1, 10, 0)
    alone, two = (list(ahead(draw, range(3, 8), workers)) for workers in (0, 2))
    assert len(alone) == len(two) == 5
    assert all(torch.equal(a, b) for x, y in zip(alone, two, strict=True) for a, b in zip(x, y, strict=True))


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
    monkeypatch.setattr(tower, "draw", lambda *args: 1 / 0 if args[-1] == 3 else real(*args))
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
    for name in ("mini-video-llava", "mini-llava", "mini-clip-flant5", "mini-instructblip"):
        lines = [json.loads(line) for line in (checkpoints / name / "training.jsonl").read_text().splitlines()]
        stages = {line["stage"] for line in lines}
        assert stages == {"tower", "language"}
        for stage in stages:
            steps = [line["step"] for line in lines if line["stage"] == stage]
            assert steps == sorted(set(steps)) and len(steps) > 10
        language = [line for line in lines if line["stage"] == "language"]
        assert language[-1]["right"] > 0.85 > language[0]["right"]
