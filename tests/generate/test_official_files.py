"""Official files, complete and tiny, become pipelines that make videos; whatever is not theirs is one line."""

import hashlib
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from official_files import (
    BLOCKS,
    FORMS,
    WIDTH,
    in_form,
    ldm_vae_weights,
    open_clip_weights,
    videocrafter2_weights,
    write_lavie,
    write_videocrafter2,
)
from safetensors.torch import load_file, save_file
from torch.nn import functional

from synvita.core.video import read_frames
from synvita.core.write_video import write_video
from synvita.generate import official_pipelines
from synvita.generate.lavie import LaviePipeline
from synvita.generate.lavie_generator import Lavie
from synvita.generate.ldm_parts import ldm_vae, open_clip_text
from synvita.generate.official_pipelines import lavie_pipeline, videocrafter2_pipeline
from synvita.generate.videocrafter2_generator import VideoCrafter2

SMALL = {"frames": 4, "height": 16, "width": 24, "steps": 2, "dtype": "float32"}
CAPTION = "a red ring moving left"


@pytest.fixture(scope="module")
def videocrafter2_file(tmp_path_factory):
    return write_videocrafter2(tmp_path_factory.mktemp("videocrafter2"))


@pytest.fixture(scope="module")
def lavie_file(tmp_path_factory):
    return write_lavie(tmp_path_factory.mktemp("lavie"))


def words_of(path):
    return len(json.loads((path.parent / "tokenizer" / "tokenizer.json").read_text())["model"]["vocab"])


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_model_ckpt_gives_the_same_pipeline_with_every_weight_in_it(form, videocrafter2_file, tmp_path):
    path = write_videocrafter2(tmp_path, form)
    made = videocrafter2_pipeline(path, str(tmp_path / "tokenizer"))
    whole = videocrafter2_weights(words_of(videocrafter2_file))
    unet = {k.removeprefix("model.diffusion_model."): v for k, v in whole.items() if "diffusion_model" in k}
    assert made.unet.state_dict().keys() == unet.keys()
    assert all(torch.equal(value, unet[key]) for key, value in made.unet.state_dict().items())
    taken = sum(len(part.state_dict()) for part in (made.unet, made.vae, made.text_encoder))
    kept = sum(f"resblocks.{BLOCKS - 1}." not in key for key in whole) - 2 - 13  # two to compare texts, 13 buffers
    assert taken == kept + 4 * (BLOCKS - 1)  # a block's joint projection, weight and bias, becomes three
    assert made.vae.config.scaling_factor == 0.18215


@pytest.mark.parametrize("ema", [True, False])
def test_lavie_base_pt_is_read_with_and_without_averaged_weights(ema, lavie_file, tmp_path):
    path = write_lavie(tmp_path, ema)
    made = lavie_pipeline(path, tmp_path / "base")
    stored = torch.load(lavie_file, weights_only=True)["ema"]
    assert made.unet.state_dict().keys() == stored.keys()
    assert all(torch.equal(value, stored[key]) for key, value in made.unet.state_dict().items())


@pytest.mark.parametrize("name", ["lavie", "videocrafter2"])
def test_an_official_file_makes_an_mp4(name, lavie_file, videocrafter2_file, tmp_path):
    if name == "lavie":
        generator = Lavie(str(lavie_file), str(lavie_file.parent / "base"), **SMALL)
    else:
        generator = VideoCrafter2(str(videocrafter2_file.parent), **SMALL)  # the folder that it lies in
    video = generator.generate([CAPTION], [5])[0]
    assert video.shape == (4, 16, 24, 3) and video.dtype == np.uint8 and video.std() > 1
    write_video(tmp_path / "clip.mp4", video, generator.describe()["fps"])
    assert read_frames(tmp_path / "clip.mp4", range(4)).shape == video.shape


def test_the_vae_has_the_weights_that_diffusers_own_converter_makes():
    from diffusers import AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    weights = ldm_vae_weights(mult=(1, 2, 2), blocks=2)
    vae = ldm_vae(dict(weights))
    expected = convert_ldm_vae_checkpoint(dict(weights), dict(vae.config))
    theirs = AutoencoderKL.from_config(vae.config)
    theirs.load_state_dict(expected)
    for key, value in vae.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[key]), key
    assert vae.config.block_out_channels == (32, 64, 64) and vae.config.layers_per_block == 2


@torch.no_grad()
def test_the_text_encoder_is_open_clips_penultimate_layer_after_the_final_norm():
    weights = open_clip_weights(60)
    ids = torch.randint(60, (2, 77), generator=torch.Generator().manual_seed(0))
    x, causal = weights["token_embedding.weight"][ids] + weights["positional_embedding"], torch.ones(77, 77).tril()
    norm = lambda x, name: functional.layer_norm(x, (WIDTH,), weights[f"{name}.weight"], weights[f"{name}.bias"])  # noqa: E731
    for n in range(BLOCKS - 1):
        block = f"transformer.resblocks.{n}"
        layer = lambda x, name, b=block: x @ weights[f"{b}.{name}weight"].T + weights[f"{b}.{name}bias"]  # noqa: E731
        q, k, v = layer(norm(x, f"{block}.ln_1"), "attn.in_proj_").chunk(3, -1)
        scores = (q @ k.transpose(1, 2) / WIDTH**0.5).masked_fill(causal == 0, -torch.inf)
        x = x + layer(scores.softmax(-1) @ v, "attn.out_proj.")
        x = x + layer(functional.gelu(layer(norm(x, f"{block}.ln_2"), "mlp.c_fc.")), "mlp.c_proj.")
    made = open_clip_text(weights)(ids).last_hidden_state
    torch.testing.assert_close(made, norm(x, "ln_final"), rtol=1e-4, atol=1e-4)


def test_videocrafter2s_texts_are_padded_with_the_first_word_and_lavies_with_the_end(videocrafter2_file, lavie_file):
    ours = videocrafter2_pipeline(videocrafter2_file, str(videocrafter2_file.parent / "tokenizer")).tokenizer
    theirs = lavie_pipeline(lavie_file, lavie_file.parent / "base").tokenizer
    end = len(ours) - 1
    for tokenizer, pad in ((ours, 0), (theirs, end)):
        ids = tokenizer(["red"], padding="max_length", max_length=10)["input_ids"][0]
        assert ids[0] == end - 1 and ids[4] == end and ids[5:] == [pad] * 5


# ---- once


def test_a_file_is_converted_once_and_its_sha256_recorded(lavie_file, tmp_path, monkeypatch):
    path = tmp_path / "lavie_base.pt"
    shutil.copy(lavie_file, path)
    knobs = {"checkpoint": str(path), "base": str(lavie_file.parent / "base"), **SMALL}
    first = Lavie(**knobs).generate([CAPTION], [1])[0]
    folder = tmp_path / "lavie_base.pt-converted"
    assert json.loads((folder / "official.json").read_text())["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (folder / "unet" / "diffusion_pytorch_model.safetensors").is_file()
    assert {p.name for p in tmp_path.iterdir()} == {path.name, folder.name, f".{folder.name}.lock"}
    assert LaviePipeline.from_pretrained(folder).unet.config.cross_attention_dim == 32
    with monkeypatch.context() as patch:
        patch.setattr(official_pipelines, "read_official", None)
        patch.setattr(official_pipelines, "alone", None)  # a folder that cannot be written will do, then
        assert np.array_equal(Lavie(**knobs).generate([CAPTION], [1])[0], first)
    before = Lavie(**knobs).describe()["revision"]
    weights = torch.load(path, weights_only=True)
    weights["ema"]["conv_out.weight"] *= 2
    torch.save(weights, path)
    other = Lavie(**knobs)
    assert other.describe()["revision"] != before
    assert not np.array_equal(other.generate([CAPTION], [1])[0], first)


def test_processes_that_want_the_same_file_wait_for_the_first(lavie_file, tmp_path):
    path, made = tmp_path / "lavie_base.pt", []
    shutil.copy(lavie_file, path)

    def make():
        made.append(path)
        time.sleep(0.3)
        return lavie_pipeline(path, lavie_file.parent / "base")

    with ThreadPoolExecutor(3) as pool:
        folders = list(pool.map(lambda _: official_pipelines.converted(path, {}, make), range(3)))
    assert len(made) == 1 and len(set(folders)) == 1 and (folders[0] / "model_index.json").is_file()


def test_a_conversion_that_fails_leaves_nothing_behind(lavie_file, tmp_path, monkeypatch):
    path = tmp_path / "lavie_base.pt"
    shutil.copy(lavie_file, path)

    def full(self, folder):
        folder.mkdir()
        (folder / "half").write_bytes(b"x")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LaviePipeline, "save_pretrained", full)
    generator = Lavie(str(path), str(lavie_file.parent / "base"), **SMALL)
    with pytest.raises(ValueError, match=r"--generators.lavie.checkpoint: .*No space left on device\); make room \("):
        generator.load()
    assert {p.name for p in tmp_path.iterdir()} <= {path.name, ".lavie_base.pt-converted.lock"}


# ---- what is not theirs


def without(prefix):
    return lambda w: [w.pop(key) for key in list(w) if key.startswith(prefix)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w.update({"model_ema.decay": torch.zeros(1)}),
            "holds 'model_ema.decay', which this model has no place",
        ),
        (without("first_stage_model."), r"lacks the VAE: no first_stage_model\.\*"),
        (without("cond_stage_model."), r"lacks the text encoder: no cond_stage_model\.model\.\*"),
        (
            without("model.diffusion_model.fps"),
            "no weights of this VideoCrafter2 network: the file lacks 'fps_embedding",
        ),
        (
            lambda w: w.update({"first_stage_model.encoder.more": torch.zeros(1)}),
            "no weights of this VAE network: the file has 'encoder.more'",
        ),
        (
            lambda w: w.update({"cond_stage_model.model.visual.proj": torch.zeros(1)}),
            "no weights of this OpenCLIP text network: the file has 'visual.proj'",
        ),
        (lambda w: w.update(scale_arr=torch.ones(1400)), "scale_arr: not VideoCrafter2's schedule"),
    ],
)
def test_a_model_ckpt_of_something_else_is_one_line_that_says_what(change, message, videocrafter2_file, tmp_path):
    folder = tmp_path / "v"
    shutil.copytree(videocrafter2_file.parent, folder, ignore=shutil.ignore_patterns("*converted*"))
    weights = videocrafter2_weights(words_of(videocrafter2_file))
    change(weights)
    torch.save(in_form(weights, "bare"), folder / "model.ckpt")
    with pytest.raises(ValueError, match=message) as problem:
        VideoCrafter2(str(folder), **SMALL).load()
    line = str(problem.value)
    assert line.startswith("--generators.videocrafter2.checkpoint: ") and "\n" not in line and "model.ckpt" in line
    assert not (folder / "model.ckpt-converted").exists()


class Code:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda p: torch.save({"state_dict": {}, "x": Code()}, p),
            "holds more than tensors, and such a file is never run",
        ),
        (lambda p: p.write_bytes(b"junk" * 100), "fetch it again|never run"),
        (lambda p: torch.save({"state_dict": {"a": 1}}, p), "does not hold tensors by name"),
        (lambda p: torch.save([torch.zeros(1)], p), "does not hold tensors by name"),
        (lambda p: p.write_bytes(p.read_bytes()[:5000]), "not a whole checkpoint"),
    ],
)
def test_a_file_that_holds_no_weights_is_one_line_and_nothing_in_it_runs(write, message, lavie_file, tmp_path, capsys):
    path = tmp_path / "lavie_base.pt"
    shutil.copy(lavie_file, path)
    write(path)
    with pytest.raises(ValueError, match=message) as problem:
        Lavie(str(path), str(lavie_file.parent / "base"), **SMALL).load()
    assert "\n" not in str(problem.value) and "run\n" not in capsys.readouterr().out


def test_a_base_that_lacks_a_component_is_named(lavie_file, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(lavie_file.parent / "base", base)
    shutil.rmtree(base / "vae")
    path = tmp_path / "lavie_base.pt"
    shutil.copy(lavie_file, path)
    with pytest.raises(ValueError, match=r"base: .*: lacks vae; give Stable Diffusion 1.4 in diffusers' format"):
        Lavie(str(path), str(base), **SMALL).load()


def test_a_base_with_weights_missing_is_named_and_none_are_drawn(lavie_file, tmp_path):
    for name, tensor in (
        ("vae/diffusion_pytorch_model", "quant_conv.bias"),
        ("text_encoder/model", "final_layer_norm.bias"),
    ):
        base = tmp_path / name.replace("/", "-")
        shutil.copytree(lavie_file.parent / "base", base)
        weights = load_file(base / f"{name}.safetensors")
        del weights[tensor]
        save_file(weights, base / f"{name}.safetensors", metadata={"format": "pt"})
        with pytest.raises(ValueError, match=rf"lacks the tensor {tensor} \(1 in all\); fetch it again"):
            lavie_pipeline(lavie_file, base)
        (base / f"{name}.safetensors").unlink()
        with pytest.raises(ValueError, match=r"^base: .*: cannot be read \(.*\); fetch it again$"):
            lavie_pipeline(lavie_file, base)


def test_a_damaged_pipeline_folder_is_one_line(lavie_file, tmp_path):
    lavie_pipeline(lavie_file, lavie_file.parent / "base").save_pretrained(tmp_path)
    weights = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"^--generators.lavie.checkpoint: ") as problem:
        Lavie(str(tmp_path)).load()
    assert "\n" not in str(problem.value)
