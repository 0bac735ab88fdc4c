"""The training loop: what it depends on, how it resumes, and what stops it."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small import HOME

from synvita.train import checkpoint, loop, trainer
from synvita.train.arm_folder import set_aside_by
from synvita.train.arms import Arm
from synvita.train.config import TrainConfig
from synvita.train.loop import train_arm
from synvita.videollm.lora import Lora

ARM = Arm("uniform", 1.0)
CONFIG = TrainConfig(epochs=2, batch=14, warmup=2, lora=Lora(4, 8, 0.05), checkpoint_steps=2, checkpoint_minutes=0)


CLIPS = "clips/world_simulator/clips.jsonl"


def adapter(folder):
    return load_file(folder / "adapter_model.safetensors")


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def assert_same_bits(a, b):
    assert adapter(a).keys() == adapter(b).keys()
    assert all(torch.equal(adapter(a)[k], adapter(b)[k]) for k in adapter(a))
    assert log(a) == log(b)


# ---- what the numbers do not depend on


@pytest.mark.parametrize("normaliser", ["global", "separate"])
def test_accumulated_micro_batches_give_the_loss_curve_of_whole_batches(run, normaliser):
    quiet = replace(CONFIG, epochs=1, lora=Lora(4, 8, 0.0), normaliser=normaliser)  # dropout depends on the split
    whole = train_arm(run, "whole", ARM, quiet, 0)
    parts = train_arm(run, "parts", ARM, replace(quiet, micro_batch=4), 0)
    for a, b in zip(log(whole), log(parts), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)


def test_the_authors_normaliser_is_that_of_the_micro_batch(run):
    quiet = replace(CONFIG, epochs=1, lora=Lora(4, 8, 0.0))
    whole = train_arm(run, "whole", ARM, quiet, 0)
    authors = train_arm(run, "authors", ARM, replace(quiet, micro_batch=4, normaliser="authors"), 0)
    assert log(authors)[0]["loss"] != pytest.approx(log(whole)[0]["loss"], rel=1e-4)


PROCESS = textwrap.dedent("""
    import sys
    import time
    from dataclasses import replace
    from pathlib import Path
    import torch
    sys.path.insert(0, sys.argv[1])
    torch.set_num_threads(1)
    from test_loop import ARM, CONFIG
    from synvita.train.loop import train_arm
    from synvita.videollm.lora import Lora
    changes = eval(sys.argv[4])
    tick = lambda *_: (print(".", end="", flush=True), time.sleep(0.3))  # a signal arrives before the last step
    train_arm(Path(sys.argv[2]), sys.argv[3], ARM, replace(CONFIG, **changes), 0, tick)
""")


def start(run, name, changes="{}", launch=()):
    script = run / "process.py"
    script.write_text(PROCESS)
    here = Path(__file__).parent
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{here.parent}:{here.parent.parent}"}
    command = [sys.executable, *launch, script, here, run, name, changes]
    return subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


LAUNCH = (
    "-m", "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no",
    "--dynamo_backend", "no", "--main_process_port", "0",
)  # fmt: skip


@pytest.mark.parametrize("kind", [pytest.param("copies", marks=pytest.mark.slow), "shards"])
def test_two_processes_give_the_loss_curve_of_one(run, kind):
    """Each with the whole model (DDP's way), and with the decoder's layers sharded (FSDP)."""
    # 42 = 15 + 15 + 12: unequal shares, too
    changes = "dict(epochs=1, batch=15, lora=Lora(4, 8, 0.0), normaliser='separate')"
    alone = train_arm(run, "one", ARM, replace(CONFIG, **eval(changes)), 0)
    both = start(run, "two", changes, (*LAUNCH, "--use_fsdp" if kind == "shards" else "--multi_gpu"))
    _, errors = both.communicate(timeout=120)
    assert both.returncode == 0, errors.decode()[-2000:]
    out = run / HOME / "adapters" / "two" / "0"
    facts = json.loads((out / "arm.json").read_text())
    assert facts["processes"] == 2 and facts["sharded"] == (kind == "shards")
    assert [line["step"] for line in log(out)] == [1, 2, 3]
    for a, b in zip(log(out), log(alone), strict=True):
        for part in ("loss", "real", "synthetic", "consistency"):
            assert a[part] == pytest.approx(b[part], rel=1e-4, abs=1e-6)
    largest = max(v.abs().max() for v in adapter(alone).values())
    for name, value in adapter(alone).items():
        assert (adapter(out)[name] - value).abs().max() < 1e-3 * largest


# ---- checkpoints


def kill_and_resume(run, name, steps, changes="{}"):
    """Kill a training of its own process after so many steps; then train to the end here."""
    process = start(run, name, changes)
    for _ in range(steps):
        assert process.stdout.read(1) == b"."
    process.kill()
    process.communicate()
    return train_arm(run, name, ARM, replace(CONFIG, **eval(changes)), 0)


def test_a_kill_in_the_second_epoch_and_a_resume_give_the_same_bits(run):
    want = train_arm(run, "whole", ARM, CONFIG, 0)
    got = kill_and_resume(run, "killed", 5)  # 3 steps an epoch; the last checkpoint is at 4
    assert_same_bits(got, want)
    assert not (run / HOME / "checkpoints" / "killed" / "0").exists()


@pytest.mark.slow
def test_twenty_random_kills_give_the_same_bits(run):
    """Also while a checkpoint is being written: one is written after every step."""
    changes = "dict(checkpoint_steps=1)"
    want = train_arm(run, "whole", ARM, CONFIG, 0)
    random = np.random.default_rng(0)
    for turn in range(20):
        process = start(run, "killed", changes)
        process.stdout.read(1)
        time.sleep(random.uniform(0, 4.0))
        process.kill()
        process.communicate()
        kept = [p.name for p in checkpoint.saved_states(run / HOME / "checkpoints" / "killed" / "0")]
        got = train_arm(run, "killed", ARM, replace(CONFIG, checkpoint_steps=1), 0)
        assert_same_bits(got, want)
        print(turn, "killed at", kept[-1:] or "no checkpoint", "-> same bits")
        shutil.rmtree(got)


def test_sigterm_finishes_the_step_and_writes_a_checkpoint(run):
    want = train_arm(run, "whole", ARM, CONFIG, 0)
    process = start(run, "stopped", "dict(checkpoint_steps=0)")
    process.stdout.read(2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 143
    folder = run / HOME / "checkpoints" / "stopped" / "0"
    (kept,) = checkpoint.saved_states(folder)
    assert int(kept.name[5:]) == len(log(folder)) >= 2
    assert {p.name for p in kept.iterdir()} == {"adapter.safetensors", "optimizer.pt", "state.json"}
    assert_same_bits(train_arm(run, "stopped", ARM, replace(CONFIG, checkpoint_steps=0), 0), want)


def state(step):
    tensor = {"a": torch.full((3,), float(step))}
    return checkpoint.State(step, tensor, {"state": {0: tensor}, "param_groups": []}, {})


def test_a_checkpoint_cut_off_while_it_is_written_leaves_the_one_before(tmp_path, monkeypatch):
    checkpoint.save_state(tmp_path, state(1))

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", die)
    monkeypatch.setattr(checkpoint, "remove", lambda *_: None)  # a kill removes nothing
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save_state(tmp_path, state(2))
    assert list(tmp_path.glob(".step-000002*"))
    monkeypatch.undo()
    assert checkpoint.load_state(tmp_path).step == 1
    assert not list(tmp_path.glob(".step*"))


def test_a_full_disk_leaves_the_checkpoint_before_and_says_so(tmp_path, monkeypatch):
    checkpoint.save_state(tmp_path, state(1))

    def full(*_):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"step-000002: the checkpoint could not be written \(PytorchStreamWriter"):
        checkpoint.save_state(tmp_path, state(2))
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["step-000001"] and checkpoint.load_state(tmp_path).step == 1


def test_only_the_last_two_checkpoints_are_kept(tmp_path):
    for step in (1, 2, 3, 10):
        checkpoint.save_state(tmp_path, state(step))
    assert [p.name for p in checkpoint.saved_states(tmp_path)] == ["step-000003", "step-000010"]
    assert torch.equal(checkpoint.load_state(tmp_path).adapter["a"], torch.full((3,), 10.0))


def test_other_settings_or_data_are_refused_with_what_changed(run, monkeypatch):
    def stop(self, step):
        raise SystemExit(1)

    monkeypatch.setattr(trainer.Watch, "due", stop)
    with pytest.raises(SystemExit):
        train_arm(run, "arm", ARM, CONFIG, 0)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"began otherwise \(rate: 0\.002 -> 0\.001\); remove this folder"):
        train_arm(run, "arm", ARM, replace(CONFIG, rate=1e-3), 0)
    with pytest.raises(ValueError, match=r"arm\.margin: 0\.2 -> 0\.4"):
        train_arm(run, "arm", replace(ARM, margin=0.4), CONFIG, 0)
    lines = (run / "triplets.jsonl").read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if '"train"' in line)
    gone = json.loads(lines[at])["id"]
    (run / "triplets.jsonl").write_text("".join(lines[:at] + lines[at + 1 :]))
    with pytest.raises(ValueError, match=rf"1 examples gone, the first is {gone}"):
        train_arm(run, "arm", ARM, CONFIG, 0)


# ---- what stops a training, and what watches it


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_with_the_batchs_ids(run, monkeypatch, value):
    real = trainer.objective

    def broken(*arguments):
        parts = real(*arguments)
        return parts | {"loss": parts["loss"] * value}

    monkeypatch.setattr(trainer, "objective", broken)
    with pytest.raises(FloatingPointError, match=r"on triplets \S+, \S+.*; lower --train\.rate"):
        train_arm(run, "arm", ARM, CONFIG, 0)


def test_short_of_memory_the_passes_are_halved_once_and_the_numbers_stay(run, monkeypatch):
    quiet = replace(CONFIG, epochs=1, lora=Lora(4, 8, 0.0))
    want = train_arm(run, "whole", ARM, quiet, 0)
    real, sizes = trainer.objective, []

    def tight(model, batch, *rest):
        sizes.append(len(batch))
        if len(batch) > 7:
            raise torch.OutOfMemoryError
        return real(model, batch, *rest)

    monkeypatch.setattr(trainer, "objective", tight)
    with pytest.warns(UserWarning, match="out of memory: from now on 7 examples at a time, not 14"):
        got = train_arm(run, "tight", ARM, quiet, 0)
    assert sizes == [14] + [7] * 6
    for a, b in zip(log(got), log(want), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
    monkeypatch.setattr(trainer, "objective", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError))
    with (
        pytest.warns(UserWarning, match="7 examples at a time"),
        pytest.raises(MemoryError, match=r"with 7 examples at a time; lower --train\.micro-batch"),
    ):
        train_arm(run, "nothing", ARM, quiet, 0)


def test_held_out_triplets_choose_the_best_adapter(run):
    config = replace(CONFIG, held_out=0.3, validate_steps=1, keep="best", rate=0.5, clip=0.0)
    out = train_arm(run, "best", Arm(), config, 0)
    facts, lines = json.loads((out / "arm.json").read_text()), log(out)
    assert 4 <= facts["held_out"] <= 22 and facts["triplets"] + facts["held_out"] == 42
    best = max(lines, key=lambda line: line["held_out_auc"])
    assert facts["best"]["step"] == best["step"] and facts["best"]["auc"] == pytest.approx(best["held_out_auc"])
    last = train_arm(run, "last", Arm(), replace(config, keep="last"), 0)
    assert best["step"] == len(lines) or not all(torch.equal(adapter(out)[k], adapter(last)[k]) for k in adapter(out))


def test_a_tracker_that_is_not_installed_names_the_extra(run):
    if "trackio" in sys.modules:
        pytest.skip("trackio is there")
    with pytest.raises(
        ValueError, match=r"--train\.tracker: trackio is not installed; pip install 'synvita\[trackio\]'"
    ):
        train_arm(run, "arm", Arm(), replace(CONFIG, tracker="trackio"), 0)


def test_clips_that_cannot_be_read_leave_their_real_part(run, monkeypatch):
    lines = [json.loads(line) for line in (run / CLIPS).read_text().splitlines()]
    lines[0]["file"] = "clips/gone.mp4"
    (run / CLIPS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    facts = json.loads((train_arm(run, "arm", ARM, replace(CONFIG, epochs=1), 0) / "arm.json").read_text())
    assert facts["triplets"] == 42 and facts["with_clip"] < 42
    reasons = set_aside_by(run, HOME, "arm", 0)
    assert list(reasons) == ["clips/gone.mp4"] and "gone.mp4: " in reasons["clips/gone.mp4"]
    monkeypatch.setattr(loop, "load_model", lambda *_: pytest.fail("trained again"))
    train_arm(run, "arm", ARM, replace(CONFIG, epochs=1), 0)  # finished: is not tried again, but still answers
    assert set_aside_by(run, HOME, "arm", 0) == reasons
