"""Checkpoints that are damaged, hostile or not what they claim: one line, at once, and nothing outside is read."""

import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_chat_models import SAVE

from synvita.videollm.models import load_model
from synvita.videollm.protocol import Loading
from synvita.videollm.weights import read_file
from synvita.weigh.llava import Llava

KINDS = ["mini-video-llava", "mini-llava", "official", "mplug_owl", "internvl"]


@pytest.fixture(scope="module")
def internvl_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("internvl")
    SAVE["internvl"](folder).save_pretrained(folder)
    return folder


@pytest.fixture
def copy_of(request, tmp_path, checkpoints):
    """kind -> a copy of its folder, to be damaged."""

    def copied(kind):
        source = checkpoints / kind if kind.startswith("mini") else request.getfixturevalue(f"{kind}_folder")
        return Path(shutil.copytree(source, tmp_path / kind))

    return copied


def load(kind, folder):
    if kind == "mini-llava":
        return Llava(str(folder)).load()
    return load_model(folder)


def refusal(kind, folder):
    """The one line with which a checkpoint is refused."""
    with pytest.raises(ValueError) as caught:
        load(kind, folder)
    line = str(caught.value)
    assert "\n" not in line and line.startswith("--") and len(line) < 700
    return line


def change(folder, key, value):
    """Set a dotted key of config.json."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    *parents, last = key.split(".")
    into = config
    for name in parents:
        into = into[name]
    into[last] = value
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("kind", KINDS)
def test_an_undamaged_copy_loads(copy_of, kind):
    load(kind, copy_of(kind))


# ---- sizes


SIZES = [
    ("mini-video-llava", "text_config.num_hidden_layers"),
    ("mini-video-llava", "vision_config.num_hidden_layers"),
    ("mini-video-llava", "text_config.hidden_size"),
    ("mini-video-llava", "text_config.vocab_size"),
    ("mini-llava", "text_config.num_hidden_layers"),
    ("mini-llava", "vision_config.num_hidden_layers"),
    ("mini-llava", "text_config.intermediate_size"),
    ("official", "num_hidden_layers"),
    ("official", "num_attention_heads"),
    ("official", "vocab_size"),
    ("mplug_owl", "text_config.num_hidden_layers"),
    ("mplug_owl", "vision_config.num_hidden_layers"),
    ("mplug_owl", "visual_abstractor_config.num_hidden_layers"),
    ("internvl", "text_config.num_hidden_layers"),
    ("internvl", "vision_config.num_hidden_layers"),
    ("internvl", "vision_config.hidden_size"),
]


@pytest.mark.parametrize(("kind", "key"), SIZES)
def test_a_size_that_the_weights_do_not_have_is_refused_before_anything_is_built(copy_of, kind, key):
    folder = copy_of(kind)
    change(folder, key, 10**6)
    begin = time.monotonic()
    line = refusal(kind, folder)
    assert time.monotonic() - begin < 5
    assert f"config.json: {key} says 1000000, the weights have" in line


def test_a_tower_of_a_million_layers_is_refused_before_it_is_built(tmp_path, official_folder, languagebind_folder):
    tower = Path(shutil.copytree(languagebind_folder, tmp_path / "tower"))
    change(tower, "vision_config.num_hidden_layers", 10**6)
    begin = time.monotonic()
    with pytest.raises(ValueError, match=r"--tower: .*num_hidden_layers says 1000000, the weights have 3 numbered"):
        load_model(official_folder, Loading(tower=str(tower)))
    assert time.monotonic() - begin < 5


def test_a_tensor_with_a_high_number_does_not_vouch_for_a_million_layers(copy_of):
    folder = copy_of("mini-llava")
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"model.layers.999999.x": torch.zeros(1)}, folder / "model.safetensors", {"format": "pt"})
    change(folder, "text_config.num_hidden_layers", 10**6)
    assert "num_hidden_layers says 1000000, the weights have 4 numbered layers" in refusal("mini-llava", folder)


@pytest.mark.parametrize("kind", ["mini-llava", "internvl"])
def test_a_model_larger_than_its_weights_is_refused_before_memory_is_taken(copy_of, kind):
    folder = copy_of(kind)
    longest = {"mini-llava": 512, "internvl": 300}[kind]  # no longer than the longest side, but in every matrix
    change(folder, "text_config.hidden_size", longest)
    change(folder, "text_config.intermediate_size", longest)
    assert "config.json: describes a model of" in refusal(kind, folder)


@pytest.mark.parametrize("value", [-1, 0, 1.5, "many", True, [4]])
def test_a_size_that_is_no_whole_number_is_refused_by_its_name(copy_of, value):
    folder = copy_of("mini-video-llava")
    change(folder, "text_config.num_hidden_layers", value)
    want = f"{folder}/config.json: text_config.num_hidden_layers: {value!r} is not a whole number from 1 on"
    assert want in refusal("mini-video-llava", folder)


@pytest.mark.parametrize("value", [5, 0, -9, "last", None])
def test_a_hidden_layer_that_the_tower_does_not_have_is_refused(copy_of, value):
    folder = copy_of("mini-video-llava")
    change(folder, "vision_feature_layer", value)
    assert str(folder) in refusal("mini-video-llava", folder)


# ---- a way out of the folder


@pytest.mark.parametrize("kind", ["mini-video-llava", "mini-llava", "internvl"])
@pytest.mark.parametrize("place", ["../stolen.safetensors", "{}/stolen.safetensors", "sub/stolen.safetensors"])
def test_a_shard_outside_the_folder_is_refused(copy_of, tmp_path, kind, place):
    folder = copy_of(kind)
    whole = folder / "model.safetensors"
    names = list(load_file(whole))
    (folder / "sub").mkdir()
    for target in (tmp_path / "stolen.safetensors", folder / "sub" / "stolen.safetensors"):
        shutil.copy(whole, target)  # good weights: nothing else stops them
    whole.unlink()
    shard = place.format(tmp_path)
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, shard)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert f"index.json: names {shard!r}, which is no file in its folder" in refusal(kind, folder)


@pytest.mark.parametrize("shard", ["..", ".", "", ".hidden", 3, None, ["a"], "a\\b"])
def test_a_shard_that_is_no_file_name_is_refused(copy_of, shard):
    folder = copy_of("mini-video-llava")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": shard}}))
    assert "which is no file in its folder" in refusal("mini-video-llava", folder)


# ---- junk


@pytest.mark.parametrize("kind", ["mini-video-llava", "mini-llava", "internvl"])
@pytest.mark.parametrize("text", ["[]", "{", '"x"', "{}", "null", "7", '{"vision_config": 3, "model_type": "llava"}'])
def test_a_junk_config_is_one_line(copy_of, kind, text):
    folder = copy_of(kind)
    (folder / "config.json").write_text(text)
    assert str(folder) in refusal(kind, folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_that_is_not_utf8_is_named(copy_of, kind):
    folder = copy_of(kind)
    (folder / "config.json").write_bytes(b'{"model_type": "\xff"}')
    assert "config.json:1: byte 0xff is not UTF-8" in refusal(kind, folder)


@pytest.mark.parametrize("kind", ["mini-video-llava", "mini-llava"])
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([], "expected an object"),
        ({"image_mean": [1, 2]}, "image_mean"),
        ({"image_std": [0, 0, 0]}, "image_std"),
        ({"image_mean": "x"}, "image_mean"),
        ({"crop_size": {"height": "x"}}, "size: 'x'"),
        ({"crop_size": 10**6}, "size: 1000000"),
        ({"crop_size": 64}, "gives 64 pixels, the tower sees 30"),
        ({"crop_size": [30, 30]}, "size: [30, 30]"),
    ],
)
def test_a_preprocessor_config_that_cannot_be_is_refused_by_key(copy_of, kind, fields, said):
    folder = copy_of(kind)
    path = folder / "preprocessor_config.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | fields if isinstance(fields, dict) else fields))
    line = refusal(kind, folder)
    assert said in line and "preprocessor_config.json" in line


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("junk", [b"", b"junk", b"[]", b"{}", b"\x80\x02junk."])
def test_junk_tokenizer_files_are_one_line(copy_of, kind, junk):
    folder = copy_of(kind)
    for name in ("tokenizer.json", "tokenizer.model"):
        if (folder / name).exists():
            (folder / name).write_bytes(junk)
    assert str(folder) in refusal(kind, folder)


def test_a_tokenizer_that_is_not_utf8_is_no_usable_checkpoint(copy_of):
    folder = copy_of("mini-video-llava")
    text = (folder / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").write_bytes(text.replace(b'"type": "', b'"type": "\xc3(', 1))
    line = refusal("mini-video-llava", folder)
    assert str(folder) in line and "not a usable checkpoint" in line


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("junk", [b"", b"junk", b"\x80\x02junk.", b"PK\x03\x04", b"\xff" * 64, b"]q\x00."])
def test_junk_weights_are_one_line(copy_of, kind, junk):
    folder = copy_of(kind)
    for path in [*folder.glob("*.safetensors"), *folder.glob("*.bin")]:
        path.write_bytes(junk)
    line = refusal(kind, folder)
    assert str(folder) in line
    assert any(text in line for text in ("not a whole", "holds more than tensors", "does not hold tensors")), line


def test_a_pickled_file_of_anything_but_tensors_by_name_is_refused(tmp_path):
    for content in ([torch.zeros(1)], torch.zeros(1), {"epoch": 3}, "text"):
        torch.save(content, tmp_path / "pytorch_model.bin")
        with pytest.raises(ValueError, match=r"pytorch_model\.bin: does not hold tensors by name"):
            read_file(tmp_path / "pytorch_model.bin")


@pytest.mark.parametrize("kind", ["mini-video-llava", "mini-llava", "internvl"])
@pytest.mark.parametrize("text", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', "junk", '{"weight_map": 3}'])
def test_an_index_without_a_map_is_one_line(copy_of, kind, text):
    folder = copy_of(kind)
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / "model.safetensors.index.json").write_text(text)
    assert "model.safetensors.index.json" in refusal(kind, folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "expected an object"),
        ("{}", "lacks 'chat_template'"),
        ('{"chat_template": 3}', "chat_template is not text"),
        ("junk", "not JSON"),
    ],
)
def test_a_junk_chat_template_is_one_line(tmp_path, text, said):
    SAVE["llava_onevision"](tmp_path).save_pretrained(tmp_path)
    (tmp_path / "chat_template.json").write_text(text)
    line = refusal("llava_onevision", tmp_path)
    assert f"{tmp_path}/chat_template.json: {said}" in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "expected an object"),
        ('{"video_processor": [3]}', "video_processor is no object"),
        ('{"video_processor": {"resample": "x"}}', "resample: x"),
        ("junk", "not JSON"),
    ],
)
def test_a_junk_processor_config_is_one_line(copy_of, text, said):
    folder = copy_of("internvl")
    (folder / "processor_config.json").write_text(text)
    line = refusal("internvl", folder)
    assert "processor_config.json: " in line and said in line


def test_a_scorer_whose_weights_lack_a_tensor_is_refused_not_filled_with_noise(copy_of):
    folder = copy_of("mini-llava")
    tensors = load_file(folder / "model.safetensors")
    gone = next(name for name in tensors if "layers.2.mlp.up_proj" in name)
    save_file({n: t for n, t in tensors.items() if n != gone}, folder / "model.safetensors", {"format": "pt"})
    line = refusal("mini-llava", folder)
    assert "missing keys" in line and "layers.2.mlp.up_proj" in line


def test_too_little_memory_says_so_with_the_folder(copy_of, monkeypatch):
    def starve(*_, **__):
        raise MemoryError

    folder = copy_of("mini-video-llava")
    monkeypatch.setattr("synvita.videollm.families.video_llava.read_parts", starve)
    with pytest.raises(MemoryError, match=rf"--model: {folder}: not enough memory to load it; take a smaller model"):
        load_model(folder)


# ---- settings that a checkpoint has no use for


@pytest.mark.parametrize("kind", ["mini-video-llava", "mplug_owl", "internvl"])
@pytest.mark.parametrize("knob", ["tower", "base"])
def test_a_part_that_the_family_has_no_place_for_is_refused_by_name(copy_of, kind, knob):
    folder = copy_of(kind)
    with pytest.raises(ValueError, match=f"--{knob}: owner/part given, but .*holds all its parts.*; leave it out"):
        load_model(folder, Loading(**{knob: "owner/part"}))


def test_a_base_is_refused_where_the_checkpoint_holds_its_language_model(official_folder):
    with pytest.raises(ValueError, match=r"--base: owner/vicuna given, but .* holds its language model; leave it out"):
        load_model(official_folder, Loading(base="owner/vicuna"))


def test_another_number_of_frames_is_refused_with_the_reason_where_the_model_leaves_no_choice(
    official_folder, mplug_owl_folder
):
    for name in ("mini-video-llava", official_folder):
        with pytest.raises(ValueError, match="--frames: 4; this model takes exactly 8, the number that it was trained"):
            load_model(name, Loading(frames=4))
    with pytest.raises(ValueError, match="--frames: 1; mPLUG-Owl looks along time, give at least 2"):
        load_model(mplug_owl_folder, Loading(frames=1))
