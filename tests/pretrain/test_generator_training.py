"""The training of tiny generators: what they learn from, the optimiser, and that a stopped run ends as a whole one."""

import json

import numpy as np
import pytest
import torch

from synvita.core.records import Misalignment, Triplet
from synvita.core.store import write_records
from synvita.generate.videocrafter2_pipeline import VideoCrafter2Pipeline
from synvita.pretrain import generator, generator_clips, generator_measure
from synvita.pretrain.generator import Denoising, Objective, train
from synvita.pretrain.generator_clips import MIX, Batches, batches, draw_any, draw_clips, encode
from synvita.pretrain.generator_measure import main as measure
from synvita.pretrain.generator_measure import verdict
from synvita.pretrain.generator_models import caption_tokenizer, mini_videocrafter2
from synvita.pretrain.generator_run import GeneratorRun, Plan
from synvita.pretrain.muon import Muon, orthogonal
from synvita.world.captions import caption_of, parse_caption
from synvita.world.checker import read, shows
from synvita.world.render import render


@pytest.fixture(scope="module")
def pipeline():
    torch.manual_seed(0)
    return mini_videocrafter2()


def test_captions_are_true_of_their_clips_and_single_objects_come_first():
    frames, captions = draw_clips(0, 5, 24, singles=False)
    assert sum(shows(f, c) for f, c in zip(frames, captions, strict=True)) >= 23
    assert len({parse_caption(c).kind for c in captions}) > 2
    assert {parse_caption(c).kind for c in draw_clips(0, 5, 24, singles=True)[1]} == {"single"}


def test_no_caption_of_the_world_is_longer_than_the_text_encoder_reads():
    rng, tokenizer = np.random.default_rng(0), caption_tokenizer()
    for kind in MIX:
        for _ in range(60):
            ids = tokenizer(caption_of(draw_any(rng, kind)))["input_ids"]
            assert len(ids) <= tokenizer.model_max_length and ids[-1] == tokenizer.eos_token_id


def test_a_tenth_of_the_captions_are_empty_and_batches_are_the_same_from_workers():
    tokenizer = caption_tokenizer()
    data = Batches(tokenizer, 0, 40, 0)
    empty = encode(tokenizer, [""])
    dropped = sum(int((data[step][1] == empty).all(1).sum()) for step in range(3))
    assert 4 <= dropped <= 22  # 120 captions, 12 expected
    ahead = batches(Batches(tokenizer, 0, 3, 0), first=7, workers=1, pinned=False)
    for step in (7, 8):
        frames, ids = next(ahead)
        here = Batches(tokenizer, 0, 3, 0)[step]
        assert torch.equal(frames, here[0]) and torch.equal(ids, here[1])


def test_orthogonalised_matrices_keep_their_singular_vectors():
    torch.manual_seed(1)
    for shape in ((3, 8, 5), (2, 4, 9)):
        matrices = torch.randn(shape)
        u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
        kept = torch.einsum("nir,nij,njr->nr", u, orthogonal(matrices), vh.mT)
        assert float(kept.min()) > 0.6 and float(kept.max()) < 1.3
        assert float((orthogonal(matrices) - u @ torch.diag_embed(kept) @ vh).abs().max()) < 1e-3


def test_muon_moves_by_a_fifth_of_the_rate_whatever_the_gradients_size_and_lowers_a_loss():
    torch.manual_seed(2)
    weight = torch.nn.Parameter(torch.randn(6, 4, 3, 1))
    before = weight.detach().clone()
    optimizer = Muon([weight], lr=0.01, weight_decay=0.0)
    (1e4 * weight * torch.randn_like(weight)).sum().backward()
    optimizer.step()
    assert 0.7 < float((weight.detach() - before).square().mean().sqrt()) / (0.01 * 0.2) < 1.2
    target, losses = torch.randn_like(weight), []
    optimizer = Muon([weight], lr=0.2, weight_decay=0.0)
    for _ in range(60):
        optimizer.zero_grad()
        loss = (weight - target).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.1 * losses[0]


def test_noise_levels_are_normal_around_one_in_the_logarithm(pipeline):
    objective = Objective(pipeline, "cpu")
    objective.rng.manual_seed(0)
    levels = objective.levels[objective.timesteps(20000)]
    inside = (levels > -2.5) & (levels < 4.0)
    assert abs(float(levels.median()) - 1.0) < 0.15 and 0.9 < float(inside.float().mean()) < 0.995


def test_the_loss_of_a_network_that_knows_the_clip_is_nothing(pipeline):
    objective = Objective(pipeline, "cpu")
    frames, ids = Batches(pipeline.tokenizer, 0, 2, 0)[0]
    clean = objective.latents(frames)
    assert torch.equal(clean[:, 0, :, 3, 5], frames[:, :, 6, 10, 0] / 127.5 - 1)

    class Knows(torch.nn.Module):
        def forward(self, noisy, at, ids):
            a, s = (v[at].view(-1, 1, 1, 1, 1) for v in (pipeline.scheduler.alphas_cumprod, pipeline.scheduler.scale))
            noise = (noisy - a.sqrt() * s * clean) / (1 - a).sqrt()
            return a.sqrt() * noise - (1 - a).sqrt() * s * clean

    assert float(objective(Knows(), frames, ids, 1)) < 1e-6
    assert float(objective(Denoising(pipeline), frames, ids, 1)) > 0.1


def test_a_stopped_training_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, monkeypatch):
    plan = Plan(steps=3, minutes=None, batch=2, singles=1, save_every=1, warm=2, log_every=1)
    whole = train("mini-videocrafter2", tmp_path / "whole", plan, 4, "cpu", workers=0)
    real = generator_clips.draw_clips
    monkeypatch.setattr(generator_clips, "draw_clips", lambda s, step, *a: 1 / 0 if step == 2 else real(s, step, *a))
    with pytest.raises(ZeroDivisionError):
        train("mini-videocrafter2", tmp_path / "parts", plan, 4, "cpu", workers=0)
    monkeypatch.setattr(generator_clips, "draw_clips", real)
    parts = train("mini-videocrafter2", tmp_path / "parts", plan, 4, "cpu", workers=0)
    for name in ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()
    logs = [[json.loads(x)["loss"] for x in (f / "training.jsonl").read_text().splitlines()] for f in (whole, parts)]
    assert logs[0] == logs[1] and len(logs[0]) == 3
    weights = sum(file.stat().st_size for file in whole.rglob("*.safetensors"))
    assert weights < 16 * 2**20


def test_a_student_learns_from_what_guidance_makes_of_its_teacher(tmp_path, pipeline):
    teacher = tmp_path / "teacher"
    torch.manual_seed(5)
    own = mini_videocrafter2()
    torch.nn.init.normal_(own.unet.out[-1].weight, std=0.05)
    for block in own.unet.modules():
        if hasattr(block, "proj_out"):
            torch.nn.init.normal_(block.proj_out.weight, std=0.5)
    own.save_pretrained(teacher)
    empty = encode(own.tokenizer, [""])
    objective = Objective(own, "cpu", Denoising(own), guidance=3.0, empty=empty)
    noisy, at = torch.randn(2, 12, 8, 16, 16), torch.tensor([900, 500])
    ids = encode(own.tokenizer, ["a red ring moving left", "two blue squares growing"])
    model = Denoising(own)
    with torch.no_grad():
        plain, none = model(noisy, at, ids), model(noisy, at, empty.expand_as(ids))
    assert float((plain - none).abs().max()) > 1e-3
    torch.testing.assert_close(objective.guided(noisy, at, ids), none + 3 * (plain - none), rtol=1e-3, atol=1e-4)
    plan = Plan(steps=1, minutes=None, batch=2)
    folder = train("mini-videocrafter2", tmp_path / "student", plan, 0, "cpu", workers=0, teacher=teacher)
    assert VideoCrafter2Pipeline.from_pretrained(folder, dtype=torch.float32).config.guidance_scale == 1.0


def test_the_rate_warms_up_stands_and_falls_over_the_last_third_by_steps_or_by_time():
    plan = Plan(steps=300, minutes=None, warm=10)
    factors = [plan.factor(step, plan.progress(step, 0)) for step in (0, 9, 100, 199, 250, 300)]
    assert factors == pytest.approx([0.1, 1, 1, 1, 0.5, 0])
    timed = Plan(steps=None, minutes=2, warm=1)
    assert [timed.progress(7, s) for s in (0, 60, 120)] == [0, 0.5, 1]


def test_the_average_follows_the_weights(tmp_path, pipeline):
    layer = torch.nn.Linear(3, 2)
    run = GeneratorRun(tmp_path, layer, Plan(steps=5, minutes=None, warm=1, average=0.5), "cpu")
    expected = layer.weight.detach().clone()
    for step in run.steps():
        run.update(layer(torch.ones(1, 3)).square().sum())
        expected.lerp_(layer.weight.detach(), 1 - min(0.5, (1 + step) / (10 + step)))
    run.average_into(layer)
    torch.testing.assert_close(layer.weight.detach(), expected)


def test_a_rendered_clip_has_everything_right_and_another_one_what_they_share():
    rng = np.random.default_rng(4)
    scene, other = parse_caption("a small red ring moving left"), parse_caption("a small red cross moving left")
    assert all(verdict(scene, read(render(scene, "clean", rng))).values())
    wrong = verdict(scene, read(render(other, "clean", rng)))
    assert {k for k, v in wrong.items() if not v} == {"shape", "count", "whole"}


def test_the_measuring_command_writes_shares_and_sheets(tmp_path, pipeline, capsys):
    pipeline.save_pretrained(tmp_path / "folder")
    asked = ["--clips", "2", "--kinds", "single,relation", "--steps", "1", "--guidance", "1"]
    measure([str(tmp_path / "folder"), "--out", str(tmp_path / "out"), *asked])
    told = json.loads((tmp_path / "out" / "fidelity.json").read_text())
    assert told["settings"] == {"num_inference_steps": 1, "guidance_scale": 1.0}
    assert set(told["kinds"]) == {"single", "relation"} and told["kinds"]["single"]["whole"] == 0
    assert "relation" in told["kinds"]["relation"] and "relation" not in told["kinds"]["single"]
    assert (tmp_path / "out" / "single.png").exists() and "| single |" in capsys.readouterr().out


def test_the_command_asks_for_one_length(capsys):
    with pytest.raises(SystemExit):
        generator.main(["mini-videocrafter2", "--out", "x", "--steps", "1", "--minutes", "2"])
    assert "not allowed with" in capsys.readouterr().err


def test_clips_of_negative_captions_are_judged_by_what_they_show(tmp_path, monkeypatch, capsys):
    real, wanted = "a small red ring moving left", "a small red ring moving up"
    triplets = [Triplet(f"t{i}", "v", real, wanted, Misalignment.ACTION, split="train") for i in range(3)]
    triplets += [Triplet("t3", "v", real, "a small red ring growing", Misalignment.ACTION, split="train")]
    write_records(tmp_path / "triplets.jsonl", [*triplets, Triplet("t4", "v", real, wanted, Misalignment.ACTION)])
    shown = [wanted, real, "a small blue cross moving up", "a small red ring growing", wanted]
    clips = np.stack([render(parse_caption(t), "clean", np.random.default_rng(i)) for i, t in enumerate(shown)])
    monkeypatch.setattr(generator_measure, "load", lambda name, device: None)
    monkeypatch.setattr(generator_measure, "sample", lambda made, texts, *more, **settings: clips[: len(texts)])
    measure(["x", "--clips", "4", "--out", str(tmp_path / "out"), "--triplets", str(tmp_path)])
    told = json.loads((tmp_path / "out" / "fidelity.json").read_text())["kinds"]
    assert told["action"] == {"target": 0.5, "original": 0.25, "chance": 0.25, "clips": 4}
    assert set(told) == {"action"} and "| action | 50 | 25 | 25 | 4 |" in capsys.readouterr().out
