"""The released sizes, built on the meta device, have the known numbers of tensors and values."""

import pytest
import torch

from synvita.videollm.families.languagebind import VideoTower
from synvita.videollm.families.mplug_owl import Eyes
from synvita.videollm.lora import ALL_LINEAR, Lora, add_lora

LANGUAGEBIND = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
    "image_size": 224, "patch_size": 14, "hidden_act": "gelu", "layer_norm_eps": 1e-5, "num_frames": 8,
}  # fmt: skip


class Meta:
    """Just enough of a `VideoLLM` for `add_lora`."""

    def __init__(self):
        from transformers import LlamaConfig, LlamaModel

        with torch.device("meta"):
            self.language = LlamaModel(LlamaConfig())  # the defaults are LLaMA-7B's

    def put_language(self, module):
        self.language = module


def test_the_temporal_part_of_the_tower_has_264_tensors():
    with torch.device("meta"):
        tower = VideoTower(LANGUAGEBIND, add_time_attn=True)
    temporal = [p for name, p in tower.named_parameters() if "temporal_" in name]
    assert len(temporal) == 264 and sum(p.numel() for p in temporal) == 101_007_360


def test_lora_on_the_seven_projections_of_llama_7b_has_79953920_parameters():
    with torch.device("meta"):
        wrapped = add_lora(Meta(), Lora(r=32, alpha=32, dropout=0.05, targets=ALL_LINEAR))
    trained = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
    assert trained == 79_953_920


def test_the_abstractors_inner_width_and_queries_are_the_official_ones():
    with torch.device("meta"):
        eyes = Eyes({}, 4096)
    assert eyes.query_tokens.shape == eyes.temporal_query_tokens.shape == (1, 64, 1024)
    mlp = eyes.abstractor.encoder.layers[0].crossattention.output.mlp
    assert mlp.w1.weight.shape == (2816, 1024)
    assert len(eyes.abstractor.encoder.layers) == 6 and len(eyes.vision_model.encoder.layers) == 24


@pytest.mark.parametrize("frames", [4, 16])
def test_a_full_size_tower_takes_exactly_its_number_of_frames(frames):
    with torch.device("meta"):
        tower = VideoTower(LANGUAGEBIND, add_time_attn=True)
        with pytest.raises(ValueError, match="exactly 8 frames"):
            tower(torch.empty(2, 3, frames, 224, 224))
        assert tower(torch.empty(2, 3, 8, 224, 224)).shape == (2, 8, 257, 1024)
