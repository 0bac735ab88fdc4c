"""The miniature: captions mean what is drawn, negatives change one thing, held-out concepts stay held out."""

import numpy as np
import pytest

from synvita.core.records import Clip, Misalignment
from synvita.world.captions import caption_of, leave_out, parse_caption
from synvita.world.dataset import WorldConfig, build, draw_triplet, for_training, question_answering, retrieval
from synvita.world.negatives import KINDS_FOR, brings_unseen, negative
from synvita.world.render import FRAMES, SIDE, render
from synvita.world.scenes import KINDS, OPPOSITE, Content, Thing, complete, describes, draw_scene
from synvita.world.simulator import FAILURE, shown_scene, simulate, world_truth

TRAIN = [draw_triplet("train", i, 0) for i in range(700)]


def contents():
    rng = np.random.default_rng(1)
    return [leave_out(draw_scene(rng, KINDS[i % len(KINDS)]), rng) for i in range(500)]


def test_every_caption_parses_back_to_what_it_says():
    for content in contents():
        assert parse_caption(caption_of(content)) == content


def test_a_sentence_of_another_world_is_refused():
    with pytest.raises(ValueError, match="not a caption"):
        parse_caption("a man walks his dog")


def test_a_caption_with_details_left_out_still_describes_its_scene():
    rng = np.random.default_rng(2)
    for i in range(300):
        scene = draw_scene(rng, KINDS[i % len(KINDS)])
        assert describes(leave_out(scene, rng), scene)


def test_no_negative_is_true_of_the_positive_video():
    for triplet, scene in TRAIN:
        assert describes(parse_caption(triplet.caption), scene)
        assert not describes(parse_caption(triplet.negative_caption), scene)


def changed_parts(a: Content, b: Content) -> set[str]:
    parts = {f for f in ("shape", "colour", "size") if getattr(a.thing, f) != getattr(b.thing, f)}
    return parts | {f for f in ("count", "events", "second", "relation") if getattr(a, f) != getattr(b, f)}


@pytest.mark.parametrize("misalignment", list(Misalignment))
def test_a_negative_changes_exactly_one_thing_of_its_type(misalignment):
    for triplet, _ in TRAIN:
        if triplet.misalignment is not misalignment:
            continue
        said, wrong = parse_caption(triplet.caption), parse_caption(triplet.negative_caption)
        changed = changed_parts(said, wrong)
        assert len(changed) == 1
        if misalignment is Misalignment.OBJECT:
            assert changed == {"shape"}
        elif misalignment is Misalignment.ATTRIBUTE:
            assert changed <= {"colour", "size"}
        elif misalignment is Misalignment.COUNT:
            assert changed == {"count"}
        elif misalignment is Misalignment.RELATION:
            assert wrong.relation == OPPOSITE[said.relation]
        elif misalignment is Misalignment.FLIP:
            assert wrong.events == said.events[::-1]
        elif misalignment is Misalignment.ACTION:
            assert len(wrong.events) == len(said.events)
            assert sum(x != y for x, y in zip(said.events, wrong.events, strict=True)) == 1
        else:
            added_event = len(wrong.events) == len(said.events) + 1 and wrong.events[0] == said.events[0]
            assert added_event or (said.second is None and wrong.second is not None)


def test_no_fine_tuning_positive_holds_a_held_out_concept():
    assert not any(scene.holds_unseen() for _, scene in TRAIN)
    assert not any(parse_caption(t.caption).holds_unseen() for t, _ in TRAIN)


def test_about_half_of_the_replacements_are_held_out_concepts():
    kinds = {Misalignment.OBJECT, Misalignment.ACTION, Misalignment.ATTRIBUTE, Misalignment.HALLUCINATION}
    brought = [
        brings_unseen(parse_caption(t.caption), parse_caption(t.negative_caption))
        for t, _ in TRAIN
        if t.misalignment in kinds
    ]
    assert 0.4 <= np.mean(brought) <= 0.6


def test_test_scenes_are_disjoint_from_training_scenes():
    config = WorldConfig(per_template=3, questions=40)
    tests = {scene for split in ("test", "test_open") for _, scene in (draw_triplet(split, i, 0) for i in range(300))}
    for _, drawn in (retrieval("temporal", config), retrieval("events", config), question_answering(config)):
        tests |= {d.scene for d in drawn}
    assert not tests & {scene for _, scene in TRAIN}
    assert not any(for_training(scene) for scene in tests)


def test_the_same_seed_gives_the_same_triplets_and_pixels_and_another_seed_others():
    assert draw_triplet("train", 5, 0) == draw_triplet("train", 5, 0) != draw_triplet("train", 5, 1)
    scene = TRAIN[0][1]
    first, again, other = (render(scene, "real", np.random.default_rng(s)) for s in (3, 3, 4))
    assert (first == again).all() and (first != other).any()


def centre(frame: np.ndarray, background: np.ndarray) -> tuple[float, float]:
    weight = np.abs(frame.astype(float) - background).sum(-1)
    weight[weight < 100] = 0
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    return float((x * weight).sum() / weight.sum()), float((y * weight).sum() / weight.sum())


@pytest.mark.parametrize(
    ("action", "axis", "sign"),
    [("moving left", 0, -1), ("moving right", 0, 1), ("moving up", 1, -1), ("moving down", 1, 1)],
)
@pytest.mark.parametrize("look", ["real", "synthetic"])
def test_what_moves_in_the_caption_moves_that_way_in_the_pixels(action, axis, sign, look):
    scene = Content(Thing("square", "white", "large"), 1, (action,))
    for seed in range(5):
        frames = render(scene, look, np.random.default_rng(seed))
        assert frames.shape == (FRAMES, SIDE, SIDE, 3) and frames.dtype == np.uint8
        background = np.median(frames.reshape(-1, 3), 0)
        first, last = centre(frames[0], background), centre(frames[-1], background)
        assert sign * (last[axis] - first[axis]) > 6
        assert abs(last[1 - axis] - first[1 - axis]) < 2


@pytest.mark.parametrize("relation", list(OPPOSITE))
def test_related_things_stand_as_the_caption_says(relation):
    rng = np.random.default_rng(0)
    right = []
    for _ in range(20):
        scene = Content(Thing("square", "red", "small"), 1, ("blinking",), Thing("square", "blue", "small"), relation)
        frame = render(scene, "real", rng)[0].astype(float)
        red, blue = frame[..., 0] - frame[..., 2], frame[..., 2] - frame[..., 0]
        y, x = np.mgrid[0:SIDE, 0:SIDE]
        at = [((x[m > 110]).mean(), (y[m > 110]).mean()) for m in (red, blue)]
        dx, dy = at[0][0] - at[1][0], at[0][1] - at[1][1]
        right.append({"left of": dx < -3, "right of": dx > 3, "above": dy < -3, "below": dy > 3}[relation])
    assert np.mean(right) >= 0.95


def test_the_simulator_fails_as_often_as_stated_and_its_truth_is_known():
    for misalignment, rate in FAILURE.items():
        kept = []
        for i, (triplet, _) in enumerate(TRAIN):
            if triplet.misalignment is misalignment:
                for seed in range(5):
                    settings = {"failure_rate": rate, "instead": triplet.caption}
                    clip = Clip("x", triplet.negative_caption, "world_simulator", "1", settings, 1000 * i + seed, "f")
                    kept.append(world_truth(clip, triplet.negative_caption))
                    assert world_truth(clip, triplet.caption) != kept[-1]
                    assert describes(
                        parse_caption(triplet.caption), shown_scene(clip.caption, settings, clip.seed)
                    ) != bool(kept[-1])
        assert abs(np.mean(kept) - (1 - rate)) < 0.08


def test_the_oracle_refuses_clips_that_are_not_the_simulators():
    with pytest.raises(ValueError, match="world_truth knows only clips of 'world_simulator'"):
        world_truth(Clip("x", "a red ring growing", "cogvideox", "1", {}, 0, "f"), "a red ring growing")


def test_a_simulated_clip_is_a_function_of_its_record():
    settings = {"failure_rate": 0.5, "instead": "a red cross growing"}
    assert (simulate("a red ring growing", settings, 7) == simulate("a red ring growing", settings, 7)).all()


def look_of(frames: np.ndarray) -> tuple[float, float]:
    """(grain: median step between neighbouring pixels, flicker: how much a still corner's brightness varies)."""
    shown = frames.astype(float) / 255
    corner = shown[:, :6, :6].mean((1, 2, 3))
    return float(np.median(np.abs(np.diff(shown, axis=2)))), float(corner.std() / corner.mean())


@pytest.mark.parametrize("failure_rate", [0.0, 1.0])
def test_synthetic_clips_are_soft_and_flicker_where_real_videos_are_grainy_and_steady(failure_rate):
    """docs/world.md: real is textured and noisy, synthetic soft with flicker, also where it shows the real scene."""
    real, synthetic = [], []
    for i, caption in enumerate(["a red square moving left", "a blue circle growing", "a green ring blinking"] * 4):
        settings = {"failure_rate": failure_rate, "instead": "a large yellow cross moving up"}
        synthetic.append(look_of(simulate(caption, settings, i)))
        rng = np.random.default_rng(i)
        real.append(look_of(render(complete(parse_caption(caption), rng), "real", rng)))
    assert max(grain for grain, _ in synthetic) < 0.02 and min(grain for grain, _ in real) > 0.03
    assert np.mean([flicker for _, flicker in synthetic]) > 0.05 and np.mean([flicker for _, flicker in real]) < 0.03


def test_negatives_exist_for_every_kind_that_claims_them():
    rng = np.random.default_rng(0)
    for misalignment, kinds in KINDS_FOR.items():
        for kind in kinds:
            scene = draw_scene(rng, kind)
            assert any(negative(scene, misalignment, rng, False) is not None for _ in range(50))


def test_a_killed_build_goes_on_and_leaves_the_same_files(tmp_path):
    config = WorldConfig(triplets=7, test=7, test_open=7, per_template=1, questions=5)
    build(tmp_path / "whole", config)

    def stop():
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt

    left = 12
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "cut", config, stop)
    assert not (tmp_path / "cut" / "triplets.jsonl").exists()
    build(tmp_path / "cut", config)
    files = sorted(p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path / "cut") for p in (tmp_path / "cut").rglob("*") if p.is_file())
    for file in files:
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "cut" / file).read_bytes()
