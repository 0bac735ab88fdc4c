"""The tiny VideoCrafter2 that is shipped: it draws what it is asked, through the whole of stages 2 and 3."""

import numpy as np
import pytest
import yaml

from synvita.cli import main
from synvita.core.artefacts import read_clips, read_scores
from synvita.core.chosen import read_chosen
from synvita.core.records import Clip, Misalignment, Triplet
from synvita.core.store import write_records
from synvita.core.video import read_frames
from synvita.core.write_video import write_video
from synvita.generate import load
from synvita.recipes import recipe
from synvita.weigh.world_truth import WorldTruth
from synvita.world.captions import caption_of
from synvita.world.checker import shows
from synvita.world.dataset import UPSCALE
from synvita.world.render import FPS, render
from synvita.world.scenes import draw_scene

CAPTIONS = [
    "a large red circle moving left",
    "a small blue square moving up",
    "a large green ring shrinking",
    "a small yellow cross growing",
    "a large cyan triangle blinking",
    "a large pink square moving right then moving up",
    "a small white circle growing then blinking",
    "a large blue cross moving down then shrinking",
]


@pytest.fixture(scope="module")
def generator():
    return load("mini-videocrafter2")


@pytest.fixture(scope="module")
def drawn(generator):
    return generator.generate(CAPTIONS, range(len(CAPTIONS)))


def test_it_shows_single_objects_and_orders_of_events_as_asked(drawn):
    assert sum(shows(clip, text) for clip, text in zip(drawn, CAPTIONS, strict=True)) >= 7
    assert sum(shows(clip, text) for clip, text in zip(drawn, CAPTIONS[1:] + CAPTIONS[:1], strict=True)) == 0


def test_a_clip_is_its_seeds_whatever_shares_its_batch(generator, drawn):
    (alone,) = generator.generate(CAPTIONS[5:6], [5])
    assert (np.abs(alone.astype(int) - drawn[5]) <= 1).mean() >= 0.999
    (other,) = generator.generate(CAPTIONS[5:6], [6])
    assert (np.abs(other.astype(int) - drawn[5]) > 1).mean() > 0.2


def test_a_caption_of_another_world_is_refused_by_its_words(generator):
    with pytest.raises(ValueError, match=r"draws the miniature's captions only .*a dog runs"):
        generator.generate([CAPTIONS[0], "a dog runs"], [0, 1])


def test_the_oracle_reads_what_a_generator_drew(tmp_path):
    rng, oracle, right = np.random.default_rng(3), WorldTruth(), 0
    for i in range(12):
        scene, other = (draw_scene(rng, kind) for kind in ("single", "events"))
        path = tmp_path / f"{i}.mp4"
        write_video(path, render(scene, "clean", rng), FPS, UPSCALE)
        clip = Clip(f"c{i}", "a", "mini-videocrafter2", "1", {}, 0, str(path))
        right += oracle.score(clip, [caption_of(scene), caption_of(other)]) == [1.0, 0.0]
    assert right >= 11


def test_the_oracle_refuses_a_clip_of_another_world(tmp_path):
    clip = Clip("far", "a", "cogvideox", "1", {}, 0, str(tmp_path / "far.mp4"))
    write_video(tmp_path / "far.mp4", np.zeros((9, 48, 64, 3), np.uint8), 8)
    with pytest.raises(ValueError, match=r"clip far: 9 frames of 64 x 48; .*--weigh.oracle false"):
        WorldTruth().score(clip, ["a red ring growing"])


def test_its_clips_are_weighed_by_what_they_show(tmp_path):
    kinds = (Misalignment.ACTION, Misalignment.COUNT)
    triplets = [
        Triplet("a", "v.mp4", "a large red circle moving left", "a large red circle growing", kinds[0], split="train"),
        Triplet("b", "v.mp4", "two blue rings moving up", "three blue rings moving up", kinds[1], split="train"),
    ]
    write_records(tmp_path / "triplets.jsonl", triplets)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(recipe("own_triplets").as_dict()))
    run = ["--run", str(tmp_path)]
    assert main(["generate", *run, "--generators", "mini-videocrafter2"]) == 0
    assert main(["weigh", *run, "--scorers", "world_truth"]) == 0
    truth = {(row.clip_id, row.caption): row.score for row in read_scores(tmp_path)}
    assert len(truth) == 4
    for clip in read_clips(tmp_path).values():
        frames = read_frames(tmp_path / clip.file, range(8))[:, ::UPSCALE, ::UPSCALE]
        assert truth[clip.clip_id, clip.caption] == shows(frames, clip.caption)
        assert clip.settings["steps"] == 4 and clip.settings["guidance"] == 1.0


def test_the_best_of_three_shows_its_caption_wherever_one_of_them_does(tmp_path):
    texts = [
        "two blue rings moving up",
        "a small red cross left of a large pink ring moving up",
        "a large red circle growing",
    ]
    triplets = [Triplet(f"t{i}", "v.mp4", "a small cyan square blinking", text, Misalignment.OBJECT)
                for i, text in enumerate(texts)]  # fmt: skip
    write_records(tmp_path / "triplets.jsonl", triplets)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(recipe("own_triplets").as_dict()))
    run = ["--run", str(tmp_path)]
    assert main(["generate", *run, "--generators", "mini-videocrafter2", "--best-of", "3"]) == 0
    assert main(["weigh", *run, "--scorers", "world_truth", "--select", "best", "--judge", "world_truth"]) == 0
    clips, shown = read_clips(tmp_path), {}
    for clip in clips.values():
        frames = read_frames(tmp_path / clip.file, range(8))[:, ::UPSCALE, ::UPSCALE]
        shown.setdefault(clip.caption, {})[clip.clip_id] = shows(frames, clip.caption)
    assert sorted(map(len, shown.values())) == [3, 3, 3]
    for one, text in zip(read_chosen(tmp_path), texts, strict=True):
        assert shown[text][one.clip_id] == any(shown[text].values()) and one.judge == ["world_truth"]
