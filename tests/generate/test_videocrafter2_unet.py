"""VideoCrafter2's network and DDIM step give what was recorded from the official code, from official names."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from synvita.generate.videocrafter2_scheduler import VideoCrafter2Scheduler
from synvita.generate.videocrafter2_unet import PREFIX, VideoCrafter2UNet, load_unet

GOLDEN = Path(__file__).parent.parent / "data" / "videocrafter2_unet_tiny"
CONFIG = json.loads((GOLDEN / "config.json").read_text())
META = json.loads((GOLDEN / "meta.json").read_text())
CASES = [case for case in META["cases"] if case["name"] != "mixed"]
RUNS = sorted(name for name in META["sampler"] if name.startswith("ddim5"))


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
    return load_unet(state_dict, CONFIG)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
@torch.no_grad()
def test_recorded_clips_come_out_alone_and_as_a_pair_for_guidance(unet, io, case):
    x, time, fps = io[case["batch1"]["x"]], torch.tensor([case["timestep"]]), int(case["name"].split("fps")[1])
    alone = unet(x, time, io["text_context"], fps)
    assert relative(alone, io[case["batch1"]["expected"]]) < 1e-5
    both = torch.cat([io["null_context"], io["text_context"]])
    pair = unet(torch.cat([x, x]), time, both, torch.tensor([fps]))
    assert relative(pair, io[case["batch2_cfg"]["expected"]]) < 1e-5


@torch.no_grad()
def test_clips_of_a_batch_have_their_own_timestep_and_frame_rate(unet, io):
    text = torch.cat([io["text_context"], io["null_context"]])
    out = unet(io["mixed.x"], torch.tensor([601, 33]), text, torch.tensor([8, 28]))
    assert relative(out, io["mixed.out"]) < 1e-5


@pytest.mark.parametrize("run", RUNS)
@torch.no_grad()
def test_the_recorded_sampler_traces_come_out(unet, io, run):
    trace, told = load_file(GOLDEN / "sampler_io.safetensors"), META["sampler"][run]
    scheduler = VideoCrafter2Scheduler()
    scheduler.set_timesteps(told["S"])
    assert scheduler.timesteps.tolist() == told["timesteps_in_order_visited"]
    x = trace[f"{run}.x_T"]
    for i, time in enumerate(scheduler.timesteps):
        text, null = (unet(x, time[None], io[f"{c}_context"], told["fps"]) for c in ("text", "null"))
        guided, noise = null + told["cfg_scale"] * (text - null), trace.get(f"{run}.noise_step{i}")
        x, original = scheduler.step(guided, time, x, told["eta"], noise)
        assert relative(x, trace[f"{run}.x_after_step{i}"]) < 1e-5
        if f"{run}.pred_x0_step{i}" in trace:
            assert relative(original, trace[f"{run}.pred_x0_step{i}"]) < 1e-5


def test_the_schedule_is_the_recorded_one():
    trace, scheduler = load_file(GOLDEN / "sampler_io.safetensors"), VideoCrafter2Scheduler()
    assert relative(scheduler.alphas_cumprod, trace["schedule.alphas_cumprod"]) < 1e-6
    assert relative(scheduler.scale, trace["schedule.scale_arr"][:1000]) < 1e-6
    scheduler.set_timesteps(50)
    assert scheduler.timesteps.tolist()[::-1] == META["sampler"]["ddim_50_step_timesteps_ascending"]


def test_a_velocity_network_that_is_right_leads_back_to_the_clip():
    scheduler = VideoCrafter2Scheduler(prediction_type="v_prediction", timestep_spacing="trailing", scale_b=0.7)
    rng = torch.Generator().manual_seed(0)
    clip, noise = (torch.randn(2, 4, 3, 5, 5, generator=rng) for _ in range(2))
    scheduler.set_timesteps(10)
    assert scheduler.timesteps.tolist() == list(range(999, 0, -100))
    for time in scheduler.timesteps:
        noisy = scheduler.add_noise(clip, noise, time[None])
        down, original = scheduler.step(scheduler.velocity(clip, noise, time[None]), time, noisy)
        assert relative(original, clip) < 1e-4
        lower = torch.tensor([max(int(time) - 100, 0)])
        assert relative(down, scheduler.add_noise(clip, noise, lower)) < 1e-4


def test_steps_that_do_not_divide_the_timesteps_are_refused_and_the_nearest_named():
    with pytest.raises(ValueError, match="num_inference_steps: 48 does not divide 1000; take 50"):
        VideoCrafter2Scheduler().set_timesteps(48)
    with pytest.raises(ValueError, match="timestep_spacing: 'linspace'; known: leading, trailing"):
        VideoCrafter2Scheduler(timestep_spacing="linspace")
    with pytest.raises(ValueError, match="prediction_type: 'sample'; known: epsilon, v_prediction"):
        VideoCrafter2Scheduler(prediction_type="sample")


def test_the_full_size_has_the_official_number_of_parameters_and_entries():
    with torch.device("meta"):
        full = VideoCrafter2UNet()
    assert round(sum(p.numel() for p in full.parameters()) / 1e6, 2) == 1413.28
    assert len(full.state_dict()) == 1484


@torch.no_grad()
def test_the_full_size_makes_clips_of_the_papers_size():
    with torch.device("meta"):
        latents, text = torch.empty(1, 4, 32, 40, 64), torch.empty(1, 77, 1024)
        assert VideoCrafter2UNet()(latents, torch.empty(1, dtype=torch.long), text, 8).shape == latents.shape


def test_the_network_is_found_in_a_complete_checkpoint_and_survives_save_and_load(unet, state_dict, tmp_path):
    rest = {"first_stage_model.encoder.conv_in.weight": torch.zeros(1), "betas": torch.zeros(1000)}
    complete = {PREFIX + key: value for key, value in state_dict.items()} | rest
    again = load_unet(complete, CONFIG)
    again.save_pretrained(tmp_path)
    stored = VideoCrafter2UNet.from_pretrained(tmp_path)
    for key, value in unet.state_dict().items():
        assert torch.equal(stored.state_dict()[key], value), key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda sd, c: sd.pop("out.2.bias"), "the file lacks 'out.2.bias'"),
        (lambda sd, c: sd.update({"a": sd["out.2.bias"], "b": sd["out.2.bias"]}), "the file has 'a' and 1 more"),
        (
            lambda sd, c: sd.update({"out.2.bias": torch.zeros(3)}),
            r"out.2.bias: shape \(3,\); this network needs \(4,\)",
        ),
        (
            lambda sd, c: c.update(use_relative_position=True),
            "use_relative_position: True; VideoCrafter2 is",
        ),
    ],
)
def test_another_network_is_one_line(state_dict, change, message):
    weights, config = dict(state_dict), dict(CONFIG)
    change(weights, config)
    with pytest.raises(ValueError, match=message):
        load_unet(weights, config)


@torch.no_grad()
def test_scale_and_shift_by_the_embedding_is_the_naive_formula():
    torch.manual_seed(0)
    sizes = {"model_channels": 8, "channel_mult": (1,), "num_res_blocks": 1, "num_head_channels": 8}
    network = VideoCrafter2UNet(**sizes, addition_attention=False, use_scale_shift_norm=True, norm_num_groups=4)
    block = network.middle_block[0]
    x, embedding = torch.randn(6, 8, 4, 4), torch.randn(6, 32)
    h = block.in_layers(x)
    groups = h.reshape(6, 4, -1)
    mean, variance = groups.mean(2, keepdim=True), groups.var(2, unbiased=False, keepdim=True)
    normed = ((groups - mean) / (variance + 1e-5).sqrt()).view_as(h)
    scale, shift = block.emb_layers(embedding)[:, :, None, None].chunk(2, 1)
    expected = x + block.out_layers[3](torch.nn.functional.silu(normed * (1 + scale) + shift))
    block.temopral_conv.forward = lambda x, frames: x
    np.testing.assert_allclose(block(x, embedding, 3).numpy(), expected.numpy(), atol=1e-5)
