"""LaVie and VideoCrafter2 as parts of stage 2: Table 10 by default, what a folder says otherwise, errors by knob."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from official_files import write_lavie, write_videocrafter2

import synvita.generate
from synvita.generate.lavie import LaviePipeline
from synvita.generate.lavie_generator import Lavie
from synvita.generate.videocrafter2_generator import VideoCrafter2

SMALL = {"frames": 3, "height": 16, "width": 24, "steps": 2, "dtype": "float32"}
CAPTIONS = ["a red ring moving left", "two blue rings growing", "a cyan square"]


@pytest.fixture(scope="module")
def knobs(tmp_path_factory):
    root = tmp_path_factory.mktemp("official")
    lavie, ours = write_lavie(root / "lavie"), write_videocrafter2(root / "videocrafter2")
    return {
        "lavie": {"checkpoint": str(lavie), "base": str(lavie.parent / "base")},
        "videocrafter2": {"checkpoint": str(ours)},
    }


@pytest.mark.parametrize("name", ["lavie", "videocrafter2"])
def test_official_files_get_the_papers_settings_and_a_hub_name_fetches_nothing_to_say_so(name, knobs):
    table_10 = {"frames": 32, "height": 320, "width": 512, "steps": 50}
    more = {"lavie": {"guidance": 7.5}, "videocrafter2": {"guidance": 12.0, "eta": 1.0, "fps_condition": 8}}[name]
    for given in (knobs[name], {}):
        told = synvita.generate.load(name, **given).describe()
        json.dumps(told)
        assert (
            told["fps"] == 8
            and told["shape"] == [32, 320, 512]
            and told["settings"].items() >= (table_10 | more).items()
        )
    assert told["revision"] in ("Vchitect/LaVie", "VideoCrafter/VideoCrafter2")


@pytest.mark.parametrize("name", ["lavie", "videocrafter2"])
def test_clips_are_the_same_whatever_shares_their_batch(name, knobs):
    generator = synvita.generate.load(name, **knobs[name], **SMALL)
    together = generator.generate(CAPTIONS, [5, 6, 2**62 + 1])
    alone = [generator.generate([c], [seed])[0] for c, seed in zip(CAPTIONS, [5, 6, 2**62 + 1], strict=True)]
    for a, b in zip(together, alone, strict=True):
        assert a.shape == (3, 16, 24, 3) and a.dtype == np.uint8
        assert (np.abs(a.astype(int) - b) <= 1).mean() >= 0.999
    assert not np.array_equal(alone[0], generator.generate(CAPTIONS[:1], [6])[0])


def test_initial_noise_is_bit_for_bit_that_of_the_clips_own_seed(knobs, monkeypatch):
    generator = synvita.generate.load("lavie", **knobs["lavie"], **SMALL)
    generator.load()
    noise, real = [], type(generator.pipeline.unet).forward
    monkeypatch.setattr(
        type(generator.pipeline.unet), "forward", lambda s, x, *a: noise.append(x.clone()) or real(s, x, *a)
    )
    generator.generate(CAPTIONS, [5, 6, 7])
    for i, seed in enumerate((5, 6, 7)):
        expected = torch.randn(4, 3, 8, 12, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(noise[0][i], expected) and torch.equal(noise[0][3 + i], expected)


def test_a_folder_in_diffusers_format_says_itself_what_it_was_made_for(knobs, tmp_path):
    first = VideoCrafter2(**knobs["videocrafter2"], **SMALL)
    first.load()
    first.pipeline.register_to_config(num_frames=2, height=8, width=8, num_inference_steps=1, eta=0.0, fps=5)
    first.pipeline.save_pretrained(tmp_path)
    folder = VideoCrafter2(str(tmp_path), steps=2)
    settings = {"frames": 2, "height": 8, "width": 8, "steps": 2, "guidance": 12.0, "eta": 0.0, "fps_condition": 5}
    told = folder.describe()
    assert told["settings"] == {**settings, "dtype": "float32"} and told["fps"] == 5
    assert folder.generate(CAPTIONS[:1], [0])[0].shape == (2, 8, 8, 3)
    (tmp_path / "vae" / "config.json").write_text("{}")
    assert VideoCrafter2(str(tmp_path)).describe()["revision"] != told["revision"]


def test_settings_change_what_is_made_and_are_told(knobs):
    makes = {}
    for name, change in {
        "as it is": {},
        "guidance": {"guidance": 3.0},
        "eta": {"eta": 0.0},
        "fps": {"fps_condition": 28},
    }.items():
        generator = VideoCrafter2(**knobs["videocrafter2"], **SMALL | {"frames": 1} | change)
        assert change.items() <= generator.describe()["settings"].items()
        makes[name] = generator.generate(CAPTIONS[:1], [5])[0].tobytes()
    assert len(set(makes.values())) == len(makes)


def test_a_base_of_other_weights_is_another_revision_in_the_settings_wherever_it_lies(knobs, tmp_path):
    def told(base):
        return Lavie(knobs["lavie"]["checkpoint"], str(base)).describe()["settings"]["base"]

    shutil.copytree(knobs["lavie"]["base"], tmp_path / "base")
    assert told(tmp_path / "base") == told(knobs["lavie"]["base"])
    (tmp_path / "base" / "vae" / "config.json").write_text("{}")
    assert told(tmp_path / "base") != told(knobs["lavie"]["base"])
    assert Lavie().describe()["settings"]["base"] == "CompVis/stable-diffusion-v1-4"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("lavie", {"frames": 0}, "--generators.lavie.frames: 0; a positive whole number is needed"),
        ("lavie", {"guidance": -1}, "--generators.lavie.guidance: -1; a number from 0 on is needed"),
        ("lavie", {"fps": 7.5}, r"--generators.lavie.fps: 7\.5; a positive whole number"),
        ("lavie", {"scheduler": "euler"}, "--generators.lavie.scheduler: unknown 'euler'; known: ddpm, ddim"),
        ("lavie", {"dtype": "half"}, "--generators.lavie.dtype: unknown 'half'; known: float32"),
        ("lavie", {"device": "gpu"}, "--generators.lavie.device: unknown 'gpu'; known: cpu"),
        ("lavie", {"base": "no/such/base"}, "--generators.lavie.base: no/such/base: no such folder"),
        ("videocrafter2", {"checkpoint": "gone.ckpt"}, "checkpoint: gone.ckpt: no such file or folder; give the offi"),
        ("videocrafter2", {"eta": True}, "--generators.videocrafter2.eta: True; a number from 0 on"),
        ("videocrafter2", {"step": 3}, "--generators.videocrafter2.step: videocrafter2 takes no such setting"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line_with_its_knob(name, change, message, knobs):
    with pytest.raises(ValueError, match=message) as problem:
        synvita.generate.load(name, **knobs[name] | change)
    assert "\n" not in str(problem.value)


def test_a_size_that_the_model_cannot_do_is_refused_before_the_first_clip(knobs):
    with pytest.raises(ValueError, match=r"^--generators.lavie.height: 18; .* multiples of 4; the nearest is 16$"):
        Lavie(**knobs["lavie"], **SMALL | {"height": 18}).load()


def test_folders_of_something_else_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"neither model.ckpt nor model_index.json in this folder"):
        VideoCrafter2(str(tmp_path))
    index = {"_class_name": "LaviePipeline", "vae": ["diffusers", "AutoencoderKL"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="holds a LaviePipeline, not a VideoCrafter2Pipeline"):
        VideoCrafter2(str(tmp_path))
    with pytest.raises(ValueError, match="lacks the component vae; fetch it again"):
        Lavie(str(tmp_path))


@pytest.mark.parametrize("name", ["lavie", "videocrafter2"])
def test_captions_that_would_be_cut_are_counted_and_named(name, knobs):
    generator = synvita.generate.load(name, **knobs[name])
    just, over = "a" * 75, "a" * 76  # the tiny tokenizer spells; both ends make two more
    assert generator.too_long([just, over]) == {
        over: f"78 tokens with both ends; {name} reads 77, what is behind them is not seen"
    }
    assert generator.pipeline is None


@pytest.mark.parametrize("name", ["lavie", "videocrafter2"])
def test_half_precision_makes_nearly_the_same_clip(name, knobs):
    whole, half = (
        synvita.generate.load(name, **knobs[name], **SMALL | {"dtype": dtype})
        .generate(CAPTIONS[:1], [3])[0]
        .astype(int)
        for dtype in ("float32", "float16")
    )
    assert 0 < np.abs(whole - half).mean() < 2 < whole.std() / 10


def test_without_diffusers_the_extra_is_named(knobs, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match=r"^--generators.lavie: needs diffusers; pip install 'synvita\[generators\]'$"):
        Lavie(**knobs["lavie"]).load()


@pytest.mark.parametrize("name", ["lavie", "videocrafter2"])
def test_a_clip_whose_numbers_are_none_is_black_and_its_neighbours_are_not(name, knobs, monkeypatch):
    generator = synvita.generate.load(name, **knobs[name], **SMALL)
    generator.load()
    real = type(generator.pipeline.unet).forward

    def broken(self, latents, *more):
        out = real(self, latents, *more)
        out[1::2, 0, 0, 0, 0] = torch.nan  # of two clips, each without and with its text
        return out

    whole = generator.generate(CAPTIONS[:2], [1, 2])
    monkeypatch.setattr(type(generator.pipeline.unet), "forward", broken)
    clips = generator.generate(CAPTIONS[:2], [1, 2])
    assert np.array_equal(clips[0], whole[0]) and whole[1].any() and not clips[1].any()


def test_an_empty_caption_is_refused(knobs):
    with pytest.raises(ValueError, match="the caption is empty"):
        Lavie(**knobs["lavie"], **SMALL).generate(["a ring", " "], [1, 2])


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory"), MemoryError()]
)
def test_too_little_memory_names_the_knobs_that_help(error, knobs, monkeypatch):
    def full(*_, **__):
        raise error

    generator = Lavie(**knobs["lavie"], **SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(LaviePipeline, "to", full)
        with pytest.raises(MemoryError, match=r"^--generators.lavie.device: cpu has too little memory; lower --gen"):
            generator.load()
    generator.load()
    monkeypatch.setattr(LaviePipeline, "__call__", full)
    with pytest.raises(MemoryError, match=r"lower --generators.lavie.batch, --generators.lavie.dtype, --gen"):
        generator.generate(["a ring"], [1])


def test_another_error_of_the_pipeline_stays_what_it_is(knobs, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("something else")

    generator = Lavie(**knobs["lavie"], **SMALL)
    generator.load()
    monkeypatch.setattr(LaviePipeline, "__call__", broken)
    with pytest.raises(RuntimeError, match="something else"):
        generator.generate(["a ring"], [1])


def test_a_folders_own_scheduler_is_not_overruled_in_silence(knobs, tmp_path):
    by_method = {method: Lavie(**knobs["lavie"], **SMALL, scheduler=method) for method in ("ddpm", "ddim")}
    clips = [generator.generate(CAPTIONS[:1], [1])[0].tobytes() for generator in by_method.values()]
    assert clips[0] != clips[1]
    by_method["ddim"].pipeline.save_pretrained(tmp_path)
    folder = Lavie(str(tmp_path), **SMALL)
    folder.load()
    assert type(folder.pipeline.scheduler).__name__ == "DDIMScheduler"
    with pytest.raises(ValueError, match=r"--generators.lavie.scheduler: ddpm given, but .* has its own; leave it out"):
        Lavie(str(tmp_path), scheduler="ddpm")


def test_describing_videocrafter2_imports_no_torch():
    code = "import sys, synvita.generate as g; g.load('videocrafter2').describe(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", ["lavie", "videocrafter2"])
def test_guidance_in_two_passes_makes_the_same_clip_within_rounding_under_another_id(name, knobs, monkeypatch):
    made, asked = {}, {}
    for batched in (True, False):
        generator = synvita.generate.load(name, **knobs[name], **SMALL, guidance=9.0, batched_guidance=batched)
        generator.load()
        sizes, real = [], type(generator.pipeline.unet).forward

        def forward(self, x, *rest, sizes=sizes, real=real):
            sizes.append(len(x))
            return real(self, x, *rest)

        monkeypatch.setattr(type(generator.pipeline.unet), "forward", forward)
        made[batched], asked[batched] = np.stack(generator.generate(CAPTIONS[:2], [5, 6])), sizes
        monkeypatch.undo()
        assert generator.describe()["settings"].get("batched_guidance", True) is batched
    assert asked == {True: [4, 4], False: [2, 2, 2, 2]}
    assert (np.abs(made[True].astype(int) - made[False]) <= 1).mean() >= 0.999
    with pytest.raises(ValueError, match=rf"--generators\.{name}\.batched_guidance: 'no'; give true or false"):
        synvita.generate.load(name, **knobs[name], batched_guidance="no")


def test_with_no_guidance_there_is_one_pass_however_guidance_would_be_asked(knobs):
    one, two = (
        VideoCrafter2(**knobs["videocrafter2"], **SMALL, guidance=1.0, batched_guidance=batched).generate(
            CAPTIONS[:1], [5]
        )
        for batched in (True, False)
    )
    assert np.array_equal(one[0], two[0])
