"""Training on a GPU: the CPU's numbers, the same bits after a kill, and 16 bits. Run by name: pytest -m gpu."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from small import HOME
from test_loop import ARM, CONFIG, adapter, assert_same_bits, kill_and_resume, log

from synvita.cli import main
from synvita.train.loop import train_arm
from synvita.videollm.lora import Lora

pytestmark = pytest.mark.gpu
QUIET = replace(CONFIG, epochs=1, lora=Lora(4, 8, 0.0))


def test_on_a_gpu_the_losses_are_those_of_the_cpu(run):
    want = log(train_arm(run, "cpu", ARM, QUIET, 0))
    got = log(train_arm(run, "gpu", ARM, replace(QUIET, device="cuda"), 0))
    for a, b in zip(got, want, strict=True):
        for part in ("loss", "real", "synthetic", "consistency"):
            assert a[part] == pytest.approx(b[part], rel=1e-3, abs=1e-5)


def test_on_a_gpu_a_kill_and_a_resume_give_the_same_bits(run):
    want = train_arm(run, "whole", ARM, replace(CONFIG, device="cuda"), 0)
    assert_same_bits(kill_and_resume(run, "killed", 5, "dict(device='cuda')"), want)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_on_a_gpu_16_bits_train_near_the_losses_of_fp32(run, checkpointing):
    want = log(train_arm(run, "fp32", ARM, replace(QUIET, device="cuda"), 0))
    changes = dict(device="cuda", dtype="bfloat16", gradient_checkpointing=checkpointing)
    folder = train_arm(run, "bf16", ARM, replace(QUIET, **changes), 0)
    assert [line["loss"] for line in log(folder)] == pytest.approx([line["loss"] for line in want], rel=0.05)
    assert all(torch.isfinite(v).all() for v in adapter(folder).values())


def test_an_arm_trained_and_asked_on_a_gpu_answers_as_one_of_the_cpu(small_run, tmp_path):
    whole, settings = tmp_path / "whole", ["--train.device", "cuda", "--arms", "real_only"]
    shutil.copytree(small_run, whole)
    for name in ("models", "results.json"):
        shutil.rmtree(whole / name, ignore_errors=True)
    for stage in ("train", "evaluate"):
        assert main([stage, "--run", str(whole), *settings]) == 0
    files = sorted((whole / HOME / "pairs" / "real_only").rglob("*.jsonl"))
    assert len(files) > 3
    for path in files:
        other = small_run / path.relative_to(whole)
        got, want = ([json.loads(line)["log_odds"] for line in file.open()] for file in (path, other))
        assert got == pytest.approx(want, abs=0.02) and np.ptp(want) > 0.1
