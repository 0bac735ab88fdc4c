"""LaVie's network and its two samplers give what was recorded from the official code, from official names."""

import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from synvita.generate.lavie import LavieUNet, lavie_scheduler
from synvita.generate.lavie_blocks import position_buckets

GOLDEN = Path(__file__).parent.parent / "data" / "lavie_unet_tiny"
CONFIG = json.loads((GOLDEN / "config.json").read_text())
META = json.loads((GOLDEN / "meta.json").read_text())
CASES = [case for case in META["cases"] if case["name"] != "mixed"]


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).abs().max() / b.double().abs().max())


@pytest.fixture(scope="module")
def io():
    return load_file(GOLDEN / "io.safetensors")


@pytest.fixture(scope="module")
def state_dict():
    return load_file(GOLDEN / "state_dict.safetensors")


@pytest.fixture(scope="module")
def unet(state_dict):
    return LavieUNet.from_official(state_dict, CONFIG)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
@torch.no_grad()
def test_recorded_clips_come_out_alone_and_as_a_pair_for_guidance(unet, io, case):
    x, time = io[case["batch1"]["sample"]], torch.tensor([case["timestep"]])
    assert relative(unet(x, time, io["text_embeds"]), io[case["batch1"]["expected"]]) < 1e-5
    pair = unet(torch.cat([x, x]), time, torch.cat([io["null_embeds"], io["text_embeds"]]))
    assert relative(pair, io[case["batch2_cfg"]["expected"]]) < 1e-5


@torch.no_grad()
def test_clips_of_a_batch_have_their_own_timestep(unet, io):
    text = torch.cat([io["text_embeds"], io["null_embeds"]])
    assert relative(unet(io["mixed.latents"], torch.tensor([601, 33]), text), io["mixed.out"]) < 1e-5


@pytest.mark.parametrize("method", ["ddpm", "ddim"])
@torch.no_grad()
def test_the_recorded_sampler_traces_come_out(unet, io, method, monkeypatch):
    trace, told, run = load_file(GOLDEN / "sampler_io.safetensors"), META["sampler"][f"{method}5"], f"{method}5"
    drawn = [trace[key] for key in sorted(trace) if key.startswith(f"{run}.noise")]
    assert len(drawn) == told["noise_draws"]
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, **__: drawn.pop(0))
    scheduler = lavie_scheduler(method)
    scheduler.set_timesteps(told["steps"])
    assert scheduler.timesteps.tolist() == told["timesteps"]
    x, context = trace[f"{run}.latents_init"], torch.cat([io["null_embeds"], io["text_embeds"]])
    for i, time in enumerate(scheduler.timesteps):
        null, text = unet(torch.cat([x, x]), time[None], context).chunk(2)
        x = scheduler.step(null + told["guidance_scale"] * (text - null), time, x).prev_sample
        assert relative(x, trace[f"{run}.latents_after_step{i}"]) < 1e-5
    assert not drawn


@pytest.mark.parametrize("method", ["ddpm", "ddim"])
def test_fifty_steps_visit_the_timesteps_of_the_official_library(method):
    scheduler = lavie_scheduler(method)
    scheduler.set_timesteps(50)
    assert scheduler.timesteps.tolist() == META["sampler"][f"{method}_50_step_timesteps"]
    trace = load_file(GOLDEN / "sampler_io.safetensors")
    assert relative(scheduler.alphas_cumprod, trace[f"{method}5.alphas_cumprod"]) < 1e-6


def test_distances_between_frames_share_buckets_as_the_rule_says():
    buckets = position_buckets(40)
    for query, key in ((0, 0), (7, 0), (8, 0), (15, 0), (16, 0), (39, 0), (0, 7), (0, 8), (0, 31), (0, 39)):
        distance = abs(key - query)
        far = next((b for b in range(15, 7, -1) if distance >= 8 * 4 ** ((b - 8) / 8) - 1e-9), distance)
        assert buckets[query, key] == (distance if distance < 8 else far) + 16 * (key > query), (query, key)


def test_the_full_size_has_the_official_number_of_parameters_and_entries():
    with torch.device("meta"):
        full = LavieUNet()
    assert round(sum(p.numel() for p in full.parameters()) / 1e6, 2) == 909.12
    assert len(full.state_dict()) == 830
    assert sum("temp" in key for key in full.state_dict()) == 144


@torch.no_grad()
def test_the_full_size_makes_clips_of_the_papers_size():
    with torch.device("meta"):
        latents, text = torch.empty(1, 4, 32, 40, 64), torch.empty(1, 77, 768)
        assert LavieUNet()(latents, torch.empty(1, dtype=torch.long), text).shape == latents.shape


@torch.no_grad()
def test_half_precision_turns_frames_by_whole_angles(unet):
    block = unet.mid_block.attentions[0].transformer_blocks[0].attn_temp.rotary_emb
    x = torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.view_as_complex(x.unflatten(-1, (16, 2)).clone())
    for frame in range(32):
        for pair in range(16):
            angle = torch.tensor(frame * 10000 ** (-2 * pair / 32), dtype=torch.float64)
            expected[:, frame, pair] *= torch.polar(torch.tensor(1.0, dtype=torch.float64), angle)
    turned = torch.view_as_real(expected).flatten(-2)
    assert relative(copy.deepcopy(block).half()(x.half()), turned) < 2e-3  # 1e-2 with rounded frequencies


def test_the_network_survives_save_and_load(unet, tmp_path):
    unet.save_pretrained(tmp_path)
    stored = LavieUNet.from_pretrained(tmp_path)
    for key, value in unet.state_dict().items():
        assert torch.equal(stored.state_dict()[key], value), key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda sd, c: sd.pop("conv_out.bias"), "no weights of this LaVie network: the file lacks 'conv_out.bias'"),
        (lambda sd, c: sd.update({"a": sd["conv_out.bias"], "b": sd["conv_out.bias"]}), "the file has 'a' and 1 more"),
        (
            lambda sd, c: sd.update({"conv_out.bias": torch.zeros(3)}),
            r"conv_out.bias: shape \(3,\); this network needs \(4,\)",
        ),
        (
            lambda sd, c: sd.update({k: v * 2 for k, v in sd.items() if "up_blocks.1" in k and "freqs" in k}),
            "up_blocks.1.*freqs: not the frequencies that LaVie turns frames with",
        ),
        (
            lambda sd, c: c.update(use_linear_projection=True),
            "unet config: use_linear_projection: True; LaVie is built with False",
        ),
    ],
)
def test_another_network_is_one_line(state_dict, change, message):
    weights, config = dict(state_dict), dict(CONFIG)
    change(weights, config)
    with pytest.raises(ValueError, match=message):
        LavieUNet.from_official(weights, config)


def test_stable_diffusions_own_config_file_describes_the_network_as_well(unet, state_dict):
    types = [name.replace("3D", "2D") for name in CONFIG["down_block_types"]]
    theirs = CONFIG | {"_class_name": "UNet2DConditionModel", "down_block_types": types, "class_embed_type": None}
    again = LavieUNet.from_official(state_dict, theirs)
    assert again.config.down_block_types == tuple(types)
