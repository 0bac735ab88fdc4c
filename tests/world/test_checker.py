"""The rule-based checker reads from pixels what the renderer was told to draw, and reads nothing into anything else."""

import numpy as np
import pytest

from synvita.world.captions import caption_of
from synvita.world.checker import followed, read, shows, smooth_background
from synvita.world.negatives import KINDS_FOR, negative
from synvita.world.render import render
from synvita.world.scenes import KINDS, Content, Thing, describes, draw_scene


@pytest.mark.parametrize("kind", KINDS)
def test_rendered_clips_are_read_rightly(kind):
    rng = np.random.default_rng([7, KINDS.index(kind)])
    scenes = [draw_scene(rng, kind) for _ in range(25)]
    right = [shows(render(scene, "clean", rng), caption_of(scene)) for scene in scenes]
    assert sum(right) >= 24, [caption_of(s) for s, r in zip(scenes, right, strict=True) if not r]


@pytest.mark.slow
@pytest.mark.parametrize("look", ["clean"])
@pytest.mark.parametrize("kind", KINDS)
def test_98_of_100_rendered_clips_of_every_kind_are_read_rightly(kind, look):
    rng = np.random.default_rng(8)
    scenes = [draw_scene(rng, kind) for _ in range(200)]
    assert np.mean([shows(render(scene, look, rng), caption_of(scene)) for scene in scenes]) >= 0.98


@pytest.mark.parametrize("misalignment", list(KINDS_FOR))
def test_a_clip_does_not_show_its_caption_with_one_thing_changed(misalignment):
    rng = np.random.default_rng(3)
    checked = 0
    while checked < 6:
        scene = draw_scene(rng, KINDS_FOR[misalignment][int(rng.integers(len(KINDS_FOR[misalignment])))])
        changed = negative(scene, misalignment, rng, towards_unseen=False)
        if changed is not None and not describes(changed, scene):
            assert not shows(render(scene, "clean", rng), caption_of(changed)), (scene, changed)
            checked += 1


def test_details_that_a_caption_leaves_open_may_be_anything():
    rng = np.random.default_rng(0)
    clip = render(Content(Thing("ring", "cyan", "small"), 1, ("moving up",)), "clean", rng)
    assert shows(clip, "an object moving up") and shows(clip, "a cyan object moving up")
    assert not shows(clip, "a large object moving up") and not shows(clip, "two objects moving up")


def test_noise_blobs_and_an_empty_picture_are_no_scene():
    rng = np.random.default_rng(1)
    grey = np.full((8, 32, 32, 3), 60, np.uint8)
    assert read(grey).objects == [] and read(grey).content() is None
    noise = rng.integers(0, 255, grey.shape, dtype=np.uint8)
    assert read(noise).content() is None
    blobs = grey.copy()
    blobs[:, 4:12, 4:9] = (200, 40, 40)  # an oblong
    assert read(blobs).content() is None and len(read(blobs).objects) == 1


def test_a_torn_object_and_one_that_appears_once_are_not_coherent():
    clip = render(Content(Thing("square", "red", "large"), 1, ("growing",)), "clean", np.random.default_rng(2))
    torn = clip.copy()
    torn[3, :6, :6] = (50, 170, 60)
    torn[5, 26:, 26:] = (50, 170, 60)
    assert read(clip).coherent and not read(torn).coherent


def test_the_background_is_found_behind_a_large_object():
    y, x = np.mgrid[0:32, 0:32] / 32
    truth = np.stack([0.1 + 0.1 * x, 0.2 + 0.05 * y, 0.3 - 0.1 * x * y], -1)
    pixels = np.repeat(truth[None], 8, 0)
    pixels[:, 6:26, 6:26] = 0.9
    np.testing.assert_allclose(smooth_background(pixels), truth, atol=0.02)


def test_an_object_keeps_its_track_through_frames_where_it_is_hidden():
    mask = np.zeros((8, 32, 32), bool)
    for t in (0, 2, 4, 6):
        mask[t, 10:14, 4 + t : 8 + t] = True
    tracks, stray = followed(mask)
    assert len(tracks) == 1 and stray == 0 and (tracks[0] == mask).all()
    mask[3, 25:28, 25:28] = True
    assert followed(mask)[1] == 9


def test_a_clip_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"a clip of shape \(8, 64, 64, 3\); the miniature's are"):
        read(np.zeros((8, 64, 64, 3), np.uint8))
    with pytest.raises(ValueError, match="not a caption"):
        shows(np.zeros((8, 32, 32, 3), np.uint8), "a man walks")
