"""Settings that would train something else than they say, or lead out of the run folder, are refused by name."""

import math
from dataclasses import replace

import pytest

from synvita.cli import main
from synvita.train.arms import Arm
from synvita.train.config import TrainConfig
from synvita.videollm.lora import Lora

NOT_NUMBERS = (math.nan, math.inf, -math.inf)
POSITIVE = ("epochs", "batch", "rate", "cache_gb", "decode_timeout")
NOT_NEGATIVE = (
    "frames", "micro_batch", "warmup", "weight_decay", "clip", "checkpoint_steps", "checkpoint_minutes",
    "validate_steps",
)  # fmt: skip


@pytest.mark.parametrize("value", NOT_NUMBERS)
@pytest.mark.parametrize("name", [*POSITIVE, *NOT_NEGATIVE, "held_out"])
def test_no_number_of_training_may_be_nan_or_infinite(name, value):
    with pytest.raises(ValueError, match=rf"^--train\.{name.replace('_', '-')}: {value} is not a "):
        TrainConfig(**{name: value})


@pytest.mark.parametrize(("name", "value"), [*((n, 0) for n in POSITIVE), *((n, -3) for n in POSITIVE)])
def test_what_must_be_positive_is(name, value):
    with pytest.raises(ValueError, match=rf"^--train\.{name.replace('_', '-')}: {value} is not a positive number$"):
        TrainConfig(**{name: value})


@pytest.mark.parametrize("name", NOT_NEGATIVE)
def test_what_may_be_zero_is_not_negative(name):
    assert getattr(TrainConfig(**{name: 0}), name) == 0
    with pytest.raises(ValueError, match=rf"^--train\.{name.replace('_', '-')}: -3 is negative$"):
        TrainConfig(**{name: -3})


def test_every_number_among_the_settings_is_in_one_of_these_lists():
    """A new one must be put into one of them, else NaN and negative values pass."""
    numbers = {name for name, value in vars(TrainConfig()).items() if type(value) in (int, float)}
    assert numbers == {*POSITIVE, *NOT_NEGATIVE, "held_out", "seed"}


@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_no_number_of_an_arm_or_adapter_may_be_nan_or_infinite(value):
    for bad in ({"consistency_weight": value}, {"margin": value}):
        with pytest.raises(
            ValueError, match=r"^--arm: consistency_weight must be a number >= 0 and margin in \[0, 1\]"
        ):
            Arm("uniform", **bad)
    with pytest.raises(ValueError, match="dropout in"):
        Lora(4, 8, value)


@pytest.mark.parametrize(
    "name", ["/abs/victim", "../../rel", "..", ".hidden", "a/b", "a\\b", "", "x" * 65, "-a", "a\n", 3, None]
)
def test_an_arm_that_cannot_be_a_folder_is_refused(name):
    with pytest.raises(ValueError, match=r"^--train\.arms: .* cannot be a folder's name"):
        TrainConfig(arms={name: Arm()})


def test_an_arm_is_not_called_as_the_untrained_model():
    with pytest.raises(ValueError, match=r"^--train\.arms: 'off_the_shelf' is the name of the model before training"):
        TrainConfig(arms={"off_the_shelf": Arm()})
    assert TrainConfig(arms={"synvita-1.0_b": Arm()}).arms


@pytest.mark.parametrize("seed", [-1, 1.5, True, "../x", 2**63])
def test_a_seed_is_a_whole_number_that_is_not_negative(seed):
    with pytest.raises(ValueError, match=r"^--train\.seed: .* is not a whole number from 0"):
        TrainConfig(seed=seed)
    assert replace(TrainConfig(), seed=2**63 - 1).seed == 2**63 - 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--train.frames", "-3"], "--train.frames: -3 is negative"),
        (["--train.decode-timeout", "-1"], "--train.decode-timeout: -1.0 is not a positive number"),
        (["--train.seed", "-1"], "--train.seed: -1 is not a whole number"),
    ],
)
def test_the_command_refuses_them_in_one_line(capsys, flags, message):
    assert main(["config", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
