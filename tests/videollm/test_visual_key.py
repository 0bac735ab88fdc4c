"""What visual features depend on besides the file: each of it alone gives other features another folder."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_chat_models import SAVE

from synvita.videollm.models import load_model
from synvita.videollm.protocol import Loading


@pytest.fixture(scope="module")
def internvl_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("internvl")
    SAVE["internvl"](folder).save_pretrained(folder)
    return folder


FAMILIES = ["hf", "official", "mplug_owl", "internvl"]


@pytest.fixture(params=FAMILIES)
def folder_of(request):
    return request.getfixturevalue(f"{request.param}_folder")


def key_of(folder, **how):
    return load_model(folder, Loading(**how)).visual_key


def shifted(path):
    """Add 1 to one number of a file's vision weights."""
    tensors = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    name = next(n for n, t in tensors.items() if ("vision" in n or "video_tower" in n) and t.is_floating_point())
    tensors[name] = tensors[name].clone()
    tensors[name].view(-1)[0] += 1
    save_file(tensors, path, {"format": "pt"}) if path.suffix == ".safetensors" else torch.save(tensors, path)


def test_another_precision_does_not_share_features(folder_of):
    keys = [key_of(folder_of, dtype=dtype) for dtype in (torch.float32, torch.bfloat16, torch.float16)]
    assert len(set(keys)) == 3 and keys[0] == key_of(folder_of)


def test_other_weights_do_not_share_features(folder_of, tmp_path):
    copy = Path(shutil.copytree(folder_of, tmp_path / "copy"))
    assert key_of(copy) == key_of(folder_of)  # the same weights elsewhere do
    shifted(next(p for p in copy.iterdir() if p.suffix in (".safetensors", ".bin")))
    assert key_of(copy) != key_of(folder_of)


def test_another_tower_does_not_share_features(official_folder, languagebind_folder, tmp_path):
    tower = Path(shutil.copytree(languagebind_folder, tmp_path / "tower"))
    assert key_of(official_folder, tower=str(tower)) == key_of(official_folder)
    shifted(tower / "pytorch_model.bin")
    assert key_of(official_folder, tower=str(tower)) != key_of(official_folder)


def test_another_number_of_frames_does_not_share_features(mplug_owl_folder, internvl_folder):
    for folder in (mplug_owl_folder, internvl_folder):
        assert len({key_of(folder, frames=n) for n in (4, 8, 16)}) == 3


@pytest.mark.parametrize("family", ["hf", "mplug_owl"])
def test_other_pixel_values_do_not_share_features(request, family, tmp_path):
    """Of hub snapshots, whose revision is a commit: the settings are looked at, not only the files' digest."""
    keys = []
    for number, mean in enumerate(([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1])):
        folder = tmp_path / str(number) / "snapshots" / ("a" * 40)
        shutil.copytree(request.getfixturevalue(f"{family}_folder"), folder)
        path = folder / "preprocessor_config.json"
        stored = json.loads(path.read_text()) if path.exists() else {"crop_size": 224}
        path.write_text(json.dumps(stored | {"image_mean": mean}))
        keys.append(key_of(folder))
    assert keys[0] == keys[1] != keys[2]
