"""The LanguageBind video tower gives the numbers recorded from the official code, with and without time attention."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from synvita.videollm.families.languagebind import VideoTower, tower_from_official

GOLDEN = Path(__file__).parents[2] / "data" / "languagebind_video_tiny"
PREFIX = "model.video_tower.video_tower."


@pytest.fixture(scope="module")
def recorded():
    return {name: load_file(GOLDEN / f"{name}_tensors.safetensors") for name in ("time_attn", "no_time_attn")}


@pytest.fixture(scope="module")
def video(recorded):
    return recorded["time_attn"]["input.video_T8"]


def weights(name):
    return load_file(GOLDEN / f"{name}_state_dict.safetensors")


def assert_equal(got, want):
    assert got.shape == want.shape
    assert ((got - want).abs().max() / want.abs().max()).item() <= 1e-5


@pytest.mark.parametrize("name", ["time_attn", "no_time_attn"])
def test_hidden_states_and_output_are_the_recorded_ones(recorded, video, name):
    tower = tower_from_official(weights(name), GOLDEN / "config.json", name == "time_attn")
    for i, state in enumerate(tower.hidden_states(video, 3)):
        assert_equal(state, recorded[name][f"T8.hidden_states.{i}"])
    assert_equal(tower(video), recorded[name]["T8.tower_output"])


def cut(tensors, frames):
    return {k: v[:, :frames].clone() if k.endswith("temporal_embedding") else v for k, v in tensors.items()}


def test_towers_of_other_lengths_are_the_recorded_ones(recorded, video):
    four = tower_from_official(cut(weights("time_attn"), 4), GOLDEN / "config.json", True)
    assert_equal(four(video[:, :, :4]), recorded["time_attn"]["T4_num_frames_4.tower_output"])
    one = tower_from_official(cut(weights("time_attn"), 1), GOLDEN / "config.json", True)
    assert_equal(one(video[:, :, :1]), recorded["time_attn"]["T1_num_frames_1_4d_input.tower_output"])
    plain = tower_from_official(weights("no_time_attn"), GOLDEN / "config.json", False)
    assert_equal(plain(video[:, :, :4]), recorded["no_time_attn"]["T4.tower_output"])


def test_another_number_of_frames_is_refused_instead_of_mixing_two_videos(video):
    tower = tower_from_official(weights("time_attn"), GOLDEN / "config.json", True)
    with pytest.raises(ValueError, match="exactly 8 frames"):
        tower(video[:, :, :4])


def test_missing_and_foreign_tensors_are_named():
    tensors = weights("time_attn")
    with pytest.raises(ValueError, match="which the model has no place for"):
        tower_from_official(tensors, GOLDEN / "config.json", add_time_attn=False)  # nothing would take them
    del tensors[PREFIX + "encoder.layers.1.temporal_attn.q_proj.weight"]
    with pytest.raises(ValueError, match=r"lacks the tensor encoder\.layers\.1\.temporal_attn\.q_proj\.weight"):
        tower_from_official(tensors, GOLDEN / "config.json", add_time_attn=True)


def test_a_config_without_its_activation_is_refused(tmp_path):
    stored = json.loads((GOLDEN / "config.json").read_text())
    del stored["vision_config"]["hidden_act"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"hidden_act is None; known: gelu, quick_gelu"):
        tower_from_official(weights("time_attn"), tmp_path / "config.json", True)


def test_at_full_size_the_temporal_part_has_264_tensors_and_101007360_values():
    config = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    config |= {"image_size": 224, "patch_size": 14, "num_frames": 8, "hidden_act": "gelu", "layer_norm_eps": 1e-5}
    with torch.device("meta"):
        tower = VideoTower(config, True)
    temporal = [p for name, p in tower.named_parameters() if ".temporal_" in name]
    assert len(temporal) == 264 and sum(p.numel() for p in temporal) == 101_007_360
