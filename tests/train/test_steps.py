"""One optimiser step at a time: what reaches the optimiser, on a run with one triplet (every batch is the same)."""

import json
import warnings
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from synvita.train import loop, trainer
from synvita.train.arms import Arm
from synvita.train.config import TrainConfig
from synvita.train.loop import train_arm
from synvita.videollm.lora import Lora

ARM = Arm("uniform", 1.0)
STEPS = TrainConfig(epochs=3, batch=1, warmup=0, lora=Lora(4, 8, 0.0), clip=0.0, checkpoint_minutes=0)
STILL = replace(STEPS, rate=1e-30)  # moves no weight, so that steps differ by nothing but dropout


@pytest.fixture
def gradients(monkeypatch):
    """What the optimiser was given, one vector per step, oldest first."""
    seen, real = [], torch.optim.AdamW.step

    def step(self, *arguments, **named):
        seen.append(torch.cat([p.grad.flatten() for group in self.param_groups for p in group["params"]]))
        return real(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    return seen


def adapter(folder, part):
    return {k: v for k, v in load_file(folder / "adapter_model.safetensors").items() if f"lora_{part}" in k}


def alike(a, b):
    """Cosine of two gradients: 1 if they are the same."""
    return torch.nn.functional.cosine_similarity(a, b, dim=0).item()


# ---- dropout


def test_without_dropout_every_step_of_the_same_batch_has_the_same_gradient(single, gradients):
    train_arm(single, "arm", ARM, STILL, 0)
    assert len(gradients) == 3 and gradients[0].norm() > 0
    assert min(alike(gradients[0], g) for g in gradients) > 1 - 1e-6


def test_dropout_is_on_in_training_and_draws_another_mask_for_every_step(single, gradients):
    train_arm(single, "quiet", ARM, replace(STILL, epochs=1), 0)
    train_arm(single, "noisy", ARM, replace(STILL, lora=Lora(4, 8, 0.5)), 0)
    quiet, *noisy = gradients
    assert all(alike(quiet, g) < 0.999 for g in noisy)
    assert all(alike(a, b) < 0.999 for a, b in ((noisy[0], noisy[1]), (noisy[1], noisy[2]), (noisy[0], noisy[2])))


def test_dropout_depends_on_the_seed_and_on_nothing_else(single, gradients, monkeypatch):
    real = loop.add_lora

    def same_start(*arguments):
        torch.manual_seed(0)
        return real(*arguments)

    monkeypatch.setattr(loop, "add_lora", same_start)
    for name, dropout, seed in (("a", 0.5, 0), ("b", 0.5, 0), ("c", 0.5, 1), ("d", 0.0, 0), ("e", 0.0, 1)):
        train_arm(single, name, ARM, replace(STILL, epochs=1, lora=Lora(4, 8, dropout)), seed)
    first, again, other, *quiet = gradients
    assert alike(*quiet) > 1 - 1e-6
    assert torch.equal(first, again) and alike(first, other) < 0.999


def test_validation_asks_without_dropout_and_training_goes_on_with_it(run, monkeypatch):
    ask, train, answers, dropping = trainer.area, trainer.objective, [], []

    def area(model, store, examples):
        answers.append([odds(model, store, examples) for _ in range(2)])
        return ask(model, store, examples)

    def objective(model, *rest):
        dropping.append(any(m.training for m in model.language.modules() if isinstance(m, torch.nn.Dropout)))
        return train(model, *rest)

    monkeypatch.setattr(trainer, "area", area)
    monkeypatch.setattr(trainer, "objective", objective)
    config = replace(STEPS, epochs=1, batch=14, rate=0.02, held_out=0.3, validate_steps=1, lora=Lora(4, 8, 0.5))
    train_arm(run, "arm", Arm(), config, 0)
    assert len(answers) == len(dropping) >= 2
    assert all(torch.equal(*twice) for twice in answers)  # the same question, the same answer to the last bit
    assert all(dropping)


def odds(model, store, examples):
    from synvita.videollm.scoring import score_captions

    line = examples[0].lines[0]
    return torch.as_tensor(score_captions(model, store.media([line.video]), [[line.caption]])[0])


# ---- clipping, decay, start


def test_gradients_are_clipped_to_the_largest_norm_and_keep_their_direction(single, gradients):
    train_arm(single, "free", ARM, replace(STILL, epochs=1), 0)
    train_arm(single, "clipped", ARM, replace(STILL, epochs=1, clip=0.01), 0)
    free, clipped = gradients
    assert free.norm() > 0.02
    assert clipped.norm().item() == pytest.approx(0.01, rel=1e-3) and alike(free, clipped) > 1 - 1e-6


def test_weight_decay_shrinks_the_adapter_by_rate_times_decay(single):
    """At the start B is zero, so A has no gradient: AdamW's first step multiplies A by 1 - rate * decay."""
    config = replace(STEPS, epochs=1, rate=0.01)
    plain = adapter(train_arm(single, "plain", ARM, config, 0), "A")
    shrunk = adapter(train_arm(single, "shrunk", ARM, replace(config, weight_decay=5.0), 0), "A")
    assert plain
    for name, value in plain.items():
        torch.testing.assert_close(shrunk[name], value * (1 - 0.01 * 5.0))


def test_loras_start_depends_on_the_seed_alone(single):
    """A keeps its start in the first step (see above)."""
    config = replace(STEPS, epochs=1)
    first, again, other = (
        adapter(train_arm(single, n, ARM, config, s), "A") for n, s in (("a", 0), ("b", 0), ("c", 1))
    )
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not any(torch.equal(first[k], other[k]) for k in first)


def test_the_margin_and_lambda_of_an_arm_reach_the_loss(single):
    """At margin 1 no term of Eq. 6 is cut off, so the two of a pair of weight 1 differ from 2 m by less than at 0.2."""
    losses = {}
    for margin in (0.2, 1.0):
        arm = Arm("uniform", 0.5, margin=margin)
        out = train_arm(single, f"margin_{margin}", arm, replace(STEPS, epochs=1), 0)
        losses[margin] = parts = json.loads((out / "log.jsonl").read_text().splitlines()[0])
        want = parts["real"] + parts["synthetic"] + 0.5 * parts["consistency"]
        assert parts["loss"] == pytest.approx(want, rel=1e-6)
    assert 0 < losses[1.0]["consistency"] - losses[0.2]["consistency"] <= 2 * 0.8 + 1e-6


def test_the_real_part_weighs_half_beside_one_clip_under_global_and_all_under_separate(single):
    """The untrained model's own losses, so that arms can be compared: with one clip real tokens are half of all."""
    first = {}
    for name, arm, normaliser in (
        ("alone", Arm(), "global"),
        ("both", Arm("uniform"), "global"),
        ("apart", Arm("uniform"), "separate"),
    ):
        out = train_arm(single, name, arm, replace(STEPS, epochs=1, normaliser=normaliser), 0)
        first[name] = json.loads((out / "log.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first["both"]["real"] == pytest.approx(first["alone"]["real"] / 2, rel=1e-5)
    assert first["apart"]["real"] == pytest.approx(first["alone"]["real"], rel=1e-5)
    assert first["apart"]["synthetic"] == pytest.approx(2 * first["both"]["synthetic"], rel=1e-5)


# ---- warm-up


def test_a_training_of_one_step_learns_at_the_full_rate_and_says_so_once(single):
    with pytest.warns(UserWarning, match=r"--train.warmup: 20 steps of a training of 1; warmed up for 1 inst") as said:
        out = train_arm(single, "short", ARM, replace(STEPS, epochs=1, warmup=20, rate=0.01), 0)
    assert len([w for w in said if "warmup" in str(w.message)]) == 1
    (line,) = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert line["rate"] == 0.01
    moved = torch.cat([v.flatten().abs() for v in adapter(out, "B").values()]).max()
    assert moved.item() == pytest.approx(0.01, rel=1e-3)  # Adam's first step is the rate


def test_every_step_has_the_schedules_rate_and_no_warning_about_it(single, monkeypatch):
    rates, real = [], torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW, "step", lambda self: rates.extend(g["lr"] for g in self.param_groups) or real(self)
    )
    config = replace(STEPS, epochs=6, warmup=2, rate=0.08, schedule="linear")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train_arm(single, "long", ARM, config, 0)
    assert rates == pytest.approx([0.04, 0.08, 0.08, 0.06, 0.04, 0.02])
