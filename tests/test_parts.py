"""Every generator and scorer that is known by name keeps the same contract."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from naive_instructblip import write_checkpoint
from official_files import write_lavie, write_videocrafter2
from run_files import MINI
from tiny_pipelines import MAKE, SMALL, save
from tiny_qwen import tiny_checkpoint
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from synvita.core.backends import PLACE, Part
from synvita.core.records import Misalignment, Triplet
from synvita.core.video import sample_video
from synvita.core.write_video import write_video
from synvita.generate.clips import MakeClips
from synvita.generate.generator import GENERATORS, ask, load_generator
from synvita.weigh.scorer import FRAMES, SCORERS, checked, described, load_scorer

GOLDEN = Path(__file__).parent / "data" / "clip_flant5_tiny"
TRIPLET = Triplet("t", "v.mp4", "a red ring moving left", "a blue ring moving left", Misalignment.ATTRIBUTE)
OTHER = Triplet("u", "v.mp4", "a red ring moving left", "a small green cross moving left", Misalignment.OBJECT)


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """A tiny checkpoint for every scorer."""
    root = tmp_path_factory.mktemp("scorers")
    write_checkpoint(root / "instructblip")
    folder = root / "clip_flant5"
    folder.mkdir()
    shutil.copy(GOLDEN / "config.json", folder)
    shutil.copy(GOLDEN / "state_dict.safetensors", folder / "model.safetensors")
    words = [
        "<pad>",
        "</s>",
        "<unk>",
        "Yes",
        "No",
        *(TRIPLET.negative_caption + " red " + OTHER.negative_caption).split(),
    ]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>")
    fast.save_pretrained(folder)
    for name in ("qwen2_5_vl", "qwen3_vl"):
        tiny_checkpoint(root / name, name)
    made = ("instructblip", "clip_flant5", "qwen2_5_vl", "qwen3_vl")
    return {**MINI, **{name: {"checkpoint": str(root / name)} for name in made}}


@pytest.fixture(scope="module")
def tiny_generators(tmp_path_factory):
    """A tiny official file for every generator that has weights."""
    root = tmp_path_factory.mktemp("generators")
    small = {"dtype": "float32", "frames": 2, "height": 8, "width": 8, "steps": 2}
    lavie = write_lavie(root / "lavie")
    pipelines = {name: {"checkpoint": str(save(name, root / name)), **SMALL} for name in MAKE}
    return {
        **pipelines,
        "diffusers": pipelines["wan"],
        "lavie": {"checkpoint": str(lavie), "base": str(lavie.parent / "base"), **small},
        "videocrafter2": {"checkpoint": str(write_videocrafter2(root / "videocrafter2")), **small},
    }


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_makes_videos_that_caption_and_seed_decide(name, tiny_generators):
    part = Part.of("generators", name, tiny_generators)
    generator, told = load_generator(part), load_generator(part).describe()
    json.dumps(told)
    assert told["revision"] and told["fps"] >= 1
    stage = MakeClips(part, 0)
    requests = [stage.request(triplet) for triplet in (TRIPLET, OTHER)]
    captions, settings = [r.caption for r in requests], [r.settings for r in requests]
    both = ask(generator, captions, [1, 2], settings)
    assert all(v.dtype == np.uint8 and v.ndim == 4 and v.shape[-1] == 3 for v in both)
    again = ask(load_generator(part), captions, [1, 2], settings)
    assert all(np.array_equal(a, b) for a, b in zip(both, again, strict=True))
    alone = ask(generator, captions[1:], [2], settings[1:])
    assert (np.abs(alone[0].astype(int) - both[1]) <= 1).mean() >= 0.999  # whatever shares its batch
    assert not np.array_equal(ask(generator, captions[:1], [3], settings[:1])[0], both[0])


@pytest.mark.parametrize("name", [name for name in SCORERS if name != "world_truth"])
def test_a_scorer_gives_a_score_per_caption_whatever_shares_the_call(name, entries, tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mp4", frames, 8)
    scorer = load_scorer(Part.of("scorers", name, entries))
    told = described(scorer)
    json.dumps(told)
    assert told["revision"]
    scorer.load()
    video = sample_video(tmp_path / "a.mp4", getattr(scorer, "looks_at", FRAMES))
    captions = [TRIPLET.caption, TRIPLET.negative_caption, OTHER.negative_caption]
    scores = checked(scorer.score(video, captions), captions, "x", "c")
    assert len(set(scores)) == 3
    np.testing.assert_allclose(
        checked(scorer.score(video, captions[1:2]), captions[1:2], "x", "c")[0], scores[1], atol=1e-5
    )


@pytest.mark.parametrize("name", [name for name in SCORERS if name != "world_truth"])
def test_describing_a_scorer_loads_no_weights(name, entries, monkeypatch):
    import synvita.videollm.claims
    import synvita.videollm.models

    def refuse(*_, **__):
        raise AssertionError("weights were loaded")

    for module in (synvita.videollm.claims, synvita.videollm.models):
        monkeypatch.setattr(module, "load_whole" if module is synvita.videollm.claims else "load_model", refuse)
    assert described(load_scorer(Part.of("scorers", name, entries)))["revision"]


@pytest.mark.parametrize("key", PLACE)
def test_where_a_part_works_is_not_in_its_stamp_and_comes_from_the_configuration_of_the_day(key):
    entries = {"llava": {"checkpoint": "x", "dtype": "bfloat16"}}
    before = Part.of("scorers", "llava", entries)
    value = 4 if key == "batch" else "cuda"
    moved = {"llava": entries["llava"] | {key: value}}
    assert Part.of("scorers", "llava", moved).stamp == before.stamp
    back = Part.of_stamp("scorers", json.loads(json.dumps(before.stamp)), moved)
    assert back == Part.of("scorers", "llava", moved)


def test_a_scorer_is_loaded_by_its_name_with_its_settings():
    import synvita.weigh

    scorer = synvita.weigh.load("llava", checkpoint="mini-llava", frames=2)
    assert scorer.looks_at.count == 2 and scorer.quantity == "vqa_score"
    with pytest.raises(
        ValueError, match=r"^--scorers\.llava\.frame: llava takes no such setting; did you mean frames\?"
    ):
        synvita.weigh.load("llava", checkpoint="mini-llava", frame=2)
    with pytest.raises(ValueError, match="unknown 'lava'; did you mean 'llava'"):
        synvita.weigh.load("lava")
