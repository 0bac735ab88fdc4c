"""Pipelines of diffusers as generators: their noise, their batches, their profiles, and what is wrong with a folder."""

import json
import shutil
import subprocess
import sys

import diffusers
import numpy as np
import pytest
import torch
from tiny_pipelines import MAKE, SMALL, save

import synvita.generate
from synvita.generate.clips import generator_part
from synvita.generate.diffusers_folder import look_at
from synvita.generate.diffusers_generator import as_bytes
from synvita.generate.generator import load_generator
from synvita.generate.profiles import PROFILES, name_of

CAPTIONS, SEEDS = ["a red ring", "two blue cross moving left", "snow falls"], [1, 2, 2**62 + 5]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("pipelines")
    return {name: save(name, root / name) for name in MAKE}


def load(name, folder, **more):
    return synvita.generate.load({"wan22": "wan"}.get(name, name), checkpoint=str(folder), **SMALL | more)


@pytest.mark.parametrize("name", MAKE)
def test_a_clip_has_the_same_noise_and_nearly_the_same_pixels_however_it_is_batched(name, folders, monkeypatch):
    generator = load(name, folders[name])
    generator.load()
    kind, noise = type(generator.pipe), []
    real = kind.prepare_latents
    monkeypatch.setattr(kind, "prepare_latents", lambda *a, **k: noise.append(real(*a, **k)) or noise[-1])
    together = generator.generate(CAPTIONS, SEEDS)
    for i in range(3):
        (alone,) = generator.generate(CAPTIONS[i : i + 1], SEEDS[i : i + 1])
        assert torch.equal(noise[-1][0], noise[0][i])
        assert alone.shape == (9, 32, 32, 3) and alone.dtype == np.uint8
        assert (np.abs(alone.astype(int) - together[i]) <= 1).mean() >= 0.999
    assert not torch.equal(noise[0][0], noise[0][1])


def test_frames_are_those_of_the_pipeline_itself(folders):
    pipe = diffusers.WanPipeline.from_pretrained(folders["wan"])
    pipe.set_progress_bar_config(disable=True)
    size = {"height": 32, "width": 32, "num_frames": 9, "num_inference_steps": 2, "guidance_scale": 5.0}
    want = pipe(CAPTIONS[0], generator=torch.Generator().manual_seed(1), output_type="pt", **size).frames[0]
    (got,) = load("wan", folders["wan"]).generate(CAPTIONS[:1], SEEDS[:1])
    assert np.array_equal(got, (want * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())


def test_cogvideox_is_asked_as_table_10_says(folders):
    told = synvita.generate.load("cogvideox", checkpoint=str(folders["cogvideox"])).describe()
    want = {"height": 480, "width": 720, "frames": 49, "fps": 8, "guidance": 6.0, "steps": 50, "dtype": "float16"}
    assert want.items() <= told["settings"].items() and told["fps"] == 8
    generator = load("cogvideox", folders["cogvideox"])
    generator.load()
    assert isinstance(generator.pipe.scheduler, diffusers.CogVideoXDDIMScheduler)  # the folder has another


@pytest.mark.parametrize(
    ("kind", "index", "transformer", "vae", "want"),
    [
        ("CogVideoXPipeline", {}, {}, {}, "cogvideox-2b"),
        ("CogVideoXPipeline", {}, {"use_rotary_positional_embeddings": True}, {}, "cogvideox-5b"),
        ("CogVideoXPipeline", {}, {"patch_size_t": 2, "use_rotary_positional_embeddings": True}, {}, "cogvideox1.5"),
        ("WanPipeline", {"boundary_ratio": None}, {}, {"scale_factor_spatial": 8}, "wan2.1"),
        ("WanPipeline", {"boundary_ratio": 0.875}, {}, {}, "wan2.2"),
        ("WanPipeline", {}, {}, {"scale_factor_spatial": 16}, "wan2.2-5b"),
        ("LTXPipeline", {}, {}, {}, "ltx"),
        ("LTXImageToVideoPipeline", {}, {}, {}, "ltx"),
        ("WanImageToVideoPipeline", {}, {}, {}, "wan2.1"),
        ("WanImageToVideoPipeline", {"boundary_ratio": 0.9}, {}, {}, None),
        ("CogVideoXImageToVideoPipeline", {}, {}, {}, "cogvideox-5b-i2v"),
        ("CogVideoXImageToVideoPipeline", {}, {"patch_size_t": 2}, {}, None),
        ("MochiPipeline", {}, {}, {}, None),
    ],
)
def test_the_profile_is_chosen_by_what_the_files_say(kind, index, transformer, vae, want):
    assert name_of(kind, index, transformer, vae) == want
    if want and want.startswith("cogvideox"):
        assert PROFILES[want].dtype == ("float16" if want.endswith("2b") else "bfloat16")


def test_a_folder_by_its_path_is_a_generator_and_its_settings_are_in_its_clips_ids(folders):
    part = generator_part(f"diffusers:{folders['ltx']}", {f"diffusers:{folders['ltx']}": SMALL})
    generator = load_generator(part)
    assert part.folder == "ltx" and generator.describe()["settings"]["pipeline"] == "LTXPipeline"
    other = load("ltx", folders["ltx"], steps=3).describe()["settings"]
    assert other != generator.describe()["settings"]
    for place in ({"slicing": False}, {"device": "cuda"}, {"device": "cuda", "offload": "model"}):
        assert load("ltx", folders["ltx"], **place).describe() == load("ltx", folders["ltx"]).describe()
        assert generator_part("ltx", {"ltx": SMALL | place}).stamp == generator_part("ltx", {"ltx": SMALL}).stamp


def test_other_weights_are_another_revision(folders, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folders["ltx"], copy)
    before = load("ltx", copy).describe()["revision"]
    assert before == load("ltx", folders["ltx"]).describe()["revision"]
    weights = copy / "transformer/diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert load("ltx", copy).describe()["revision"] != before


@pytest.mark.parametrize(
    ("name", "more", "reason"),
    [
        ("cogvideox", {"height": 100}, "height: 100 is no multiple of 16; the nearest that it can do is 96"),
        ("ltx", {"width": 100}, "width: 100 is no multiple of 32; the nearest that it can do is 96"),
        ("wan", {"frames": 48}, r"frames: 48 is no multiple of 4 plus 1; the nearest that it can do is 49"),
        ("ltx", {"frames": 2}, r"frames: 2 is no multiple of 8 plus 1; the nearest that it can do is 1"),
        ("wan", {"steps": 0}, "steps: 0 is not a positive whole number"),
        ("wan", {"dtype": "int8"}, "dtype: 'int8' is none of float32, float16, bfloat16"),
        ("wan", {"guidance": "high"}, "guidance: 'high' is no number"),
        ("wan", {"offload": "all"}, "offload: 'all' is none of none, model, sequential"),
        ("wan", {"offload": "model"}, "offload: model moves weights between a card and memory; give a device"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line_with_the_nearest_that_can(name, more, reason, folders):
    with pytest.raises(ValueError, match=rf"^--generators\.{name}\.{reason}") as caught:
        load(name, folders[name], **more)
    assert "\n" not in str(caught.value)


def broken(folders, tmp_path, change):
    shutil.copytree(folders["wan"], tmp_path / "copy")
    index = json.loads((tmp_path / "copy/model_index.json").read_text())
    change(tmp_path / "copy", index)
    (tmp_path / "copy/model_index.json").write_text(json.dumps(index))
    return tmp_path / "copy"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder, _: shutil.rmtree(folder / "vae"), "lacks its component 'vae' \\(AutoencoderKLWan\\)"),
        (
            lambda _, index: index.update(_class_name="LTXImageToVideoPipeline"),
            "which starts from a picture; give from_first",
        ),
        (lambda _, index: index.update(_class_name="FluxPipeline"), "which is not text-to-video"),
        (lambda _, index: index.update(_class_name="NobodysPipeline"), "which diffusers does not have"),
        (lambda _, index: index.pop("_class_name"), "names no pipeline"),
        (
            lambda _, index: index.update(_class_name="MochiPipeline"),
            r"no profile for a MochiPipeline \(lacks fps, gui",
        ),
    ],
)
def test_a_folder_that_is_no_such_pipeline_is_one_line(change, reason, folders, tmp_path):
    with pytest.raises(ValueError, match=rf"^--generators\.diffusers\.checkpoint: .*{reason}") as caught:
        load("diffusers", broken(folders, tmp_path, change))
    assert "\n" not in str(caught.value)


def test_a_pipeline_without_a_profile_runs_by_its_settings(folders, monkeypatch):
    monkeypatch.setattr("synvita.generate.diffusers_generator.name_of", lambda *_: None)
    with pytest.raises(ValueError, match=r"write one as settings of the generator: generators: \{mine: \{use: diff"):
        load("diffusers", folders["wan"])
    generator = load("diffusers", folders["wan"], fps=8, guidance=5.0)
    assert generator.generate(CAPTIONS[:1], [1])[0].shape == (9, 32, 32, 3)


def test_a_name_does_not_take_another_pipelines_checkpoint(folders):
    with pytest.raises(ValueError, match=r"^--generators\.cogvideox\.checkpoint: .* is a LTXPipeline, not a CogVideoX"):
        load("cogvideox", folders["ltx"])


def test_a_repo_that_cannot_be_fetched_is_one_line(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no\nnetwork")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(
        ValueError, match=r"checkpoint: 'a/b' is no folder and cannot be fetched as a repo \(no network\)"
    ):
        look_at("a/b")


def test_damaged_weights_are_one_line(folders, tmp_path):
    def cut(folder, _):
        (folder / "transformer/diffusion_pytorch_model.safetensors").write_bytes(b"junk")

    with pytest.raises(ValueError, match=r"checkpoint: .* cannot be loaded") as caught:
        load("wan", broken(folders, tmp_path, cut)).load()
    assert "\n" not in str(caught.value)


def test_out_of_memory_names_the_knobs_that_need_less(folders, monkeypatch):
    generator = load("wan", folders["wan"])
    generator.load()

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(type(generator.pipe), "__call__", full)
    with pytest.raises(MemoryError, match=r"batch.*offload.*tiling.*dtype"):
        generator.generate(CAPTIONS[:1], [1])


def test_long_prompts_are_counted_and_an_empty_one_is_refused(folders):
    generator = load("ltx", folders["ltx"])
    edge, over = " ".join(["snow"] * 127), " ".join(["snow"] * 128)
    assert generator.too_long([edge]) == {}
    assert generator.too_long([edge, over])[over].startswith("129 tokens with its end; the model reads 128")
    with pytest.raises(ValueError, match="the caption is empty"):
        generator.generate([" "], [1])


def test_numbers_that_are_none_give_a_black_clip(folders, monkeypatch):
    generator = load("wan", folders["wan"])
    generator.load()
    with torch.no_grad():
        next(generator.pipe.vae.decoder.parameters()).fill_(float("nan"))
    assert not generator.generate(CAPTIONS[:1], [1])[0].any()


def test_one_number_that_is_none_makes_the_whole_clip_black():
    video = np.full((2, 4, 4, 3), 0.5, np.float32)
    assert (as_bytes(video) == 128).all()
    video[1, 0, 0, 0] = np.nan
    assert not as_bytes(video).any()


def test_a_pipeline_runs_without_torchvision(folders):
    code = (
        "import sys; sys.modules['torchvision'] = None; import synvita.generate as g;"
        f"print(g.load('ltx', checkpoint={str(folders['ltx'])!r}, **{SMALL}).generate(['snow falls'], [1])[0].shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "(9, 32, 32, 3)", done.stderr


def test_the_second_network_of_wan_2_2_has_a_guidance_of_its_own(folders):
    made = {}
    for name, scales in {"as upstream": {}, "the same": {"guidance_2": 4.0}, "both 3": {"guidance": 3.0}}.items():
        generator = load("wan22", folders["wan22"], **scales)
        made[name] = generator.generate(CAPTIONS[:1], SEEDS[:1])[0]
        assert generator.describe()["settings"]["guidance_2"] == scales.get("guidance_2", 3.0)
    pipe = diffusers.WanPipeline.from_pretrained(folders["wan22"])
    pipe.set_progress_bar_config(disable=True)
    size = {"height": 32, "width": 32, "num_frames": 9, "num_inference_steps": 2}
    own = torch.Generator().manual_seed(SEEDS[0])
    want = pipe(CAPTIONS[0], generator=own, output_type="np", guidance_scale=4.0, guidance_scale_2=3.0, **size).frames
    assert np.array_equal(made["as upstream"], as_bytes(np.asarray(want[0])))
    assert len({video.tobytes() for video in made.values()}) == 3
    assert "guidance_2" not in load("wan", folders["wan"]).describe()["settings"]
