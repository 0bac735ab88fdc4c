"""The miniature: captions mean what is drawn, negatives change one thing, held-out concepts stay held out."""

import numpy as np
import pytest

from synvita.core.records import Clip, Misalignment
from synvita.world.captions import caption_of, leave_out, parse_caption
from synvita.world.dataset import WorldConfig, build, draw_triplet, question_answering, retrieval
from synvita.world.negatives import KINDS_FOR, brings_unseen, negative
from synvita.world.render import FRAMES, SIDE, draw_objects, render
from synvita.world.scenes import (
    KINDS,
    OPPOSITE,
    Content,
    Thing,
    can_be_trained_on,
    complete,
    complete_for_training,
    completions,
    describes,
    draw_scene,
    part_of,
)
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


def shown_in_tests(tests: str, seed: int = 0) -> set[Content]:
    config = WorldConfig(per_template=3, questions=40, tests=tests, seed=seed)
    splits = ("test", "test_open")
    shown = {scene for split in splits for _, scene in (draw_triplet(split, i, seed, tests) for i in range(300))}
    for _, drawn in (retrieval("temporal", config), retrieval("events", config), question_answering(config)):
        shown |= {d.scene for d in drawn}
    return shown


def shown_in_clips(triplet) -> set[Content]:
    """The scenes of a triplet's simulated clips under several seeds, of those that fail and of those that do not."""
    settings = [{"failure_rate": rate, "instead": triplet.caption} for rate in (0.0, 1.0)]
    return {shown_scene(triplet.negative_caption, s, seed) for s in settings for seed in range(4)}


def test_no_test_scene_is_shown_in_training_neither_by_a_video_nor_by_a_clip():
    seen = {scene for _, scene in TRAIN}
    for triplet, _ in TRAIN:
        seen |= shown_in_clips(triplet)
    assert len(seen) > 2500 and {part_of(scene) for scene in seen} == {"train"}
    assert {part_of(scene) for scene in shown_in_tests("test")} == {"test"}


def test_the_validation_world_shares_no_scene_with_training_nor_with_the_tests_of_any_seed():
    validation = shown_in_tests("validation", seed=1)
    assert {part_of(scene) for scene in validation} == {"validation"}
    assert not validation & (shown_in_tests("test") | shown_in_tests("test", seed=1) | {scene for _, scene in TRAIN})
    with pytest.raises(ValueError, match=r"--world\.tests: 'open' is neither 'test' nor 'validation'"):
        WorldConfig(tests="open")


def test_two_thirds_of_the_scenes_are_for_training_and_a_sixth_each_for_tests_and_validation():
    rng = np.random.default_rng(0)
    parts = [part_of(draw_scene(rng, KINDS[i % len(KINDS)])) for i in range(3000)]
    for part, share in {"train": 4 / 6, "test": 1 / 6, "validation": 1 / 6}.items():
        assert abs(parts.count(part) / len(parts) - share) < 0.025


def test_completions_are_all_scenes_that_a_caption_describes():
    said = parse_caption("a red object near a small ring moving up")
    found = list(completions(said))
    assert len(found) == len(set(found)) == 5 * 2 * 8
    assert all(describes(said, scene) and caption_of(scene) for scene in found)


def test_a_caption_without_a_scene_for_training_is_completed_all_the_same():
    rng = np.random.default_rng(3)
    wholes = [scene for i in range(300) if part_of(scene := draw_scene(rng, KINDS[i % len(KINDS)])) != "train"]
    assert all(not can_be_trained_on(scene) and complete_for_training(scene, rng) == scene for scene in wholes)
    open_ones = [c for c in contents() if can_be_trained_on(c)]
    assert len(open_ones) > 300 and all(part_of(complete_for_training(c, rng)) == "train" for c in open_ones)


@pytest.mark.parametrize("kind", ["count", "relation", "near"])
def test_things_do_not_touch(kind):
    """What grows together looks like one thing, to a person and to a rule-based checker (at most 2 % of scenes)."""
    rng = np.random.default_rng(0)
    touching = 0
    for _ in range(200):
        opacity, _ = draw_objects(draw_scene(rng, kind), rng)
        seen = opacity > 0.15
        wider = seen.copy()
        for axis in (2, 3):
            wider |= np.roll(seen, 1, axis) | np.roll(seen, -1, axis)
        touching += any((wider[i] & seen[j]).any() for i in range(len(seen)) for j in range(i))
    assert touching <= 4


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


def test_only_the_simulators_records_say_what_a_clip_shows():
    with pytest.raises(ValueError, match="made by 'cogvideox'; only clips of 'world_simulator'"):
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
