"""Settings from files and flags: one meaning, right types, and errors that name the knob as it was typed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

from synvita.core.settings import build, convert, dotted, knob, merge, override


@dataclass(frozen=True)
class Arm:
    weights: str = "none"
    share: float = 1.0


@dataclass(frozen=True)
class Train:
    epochs: int = 2
    learning_rate: float = 1e-4
    resume: bool = True
    frames: int | None = None
    layers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    arms: dict[str, Arm] = field(default_factory=dict)
    optimizer: Arm = Arm()


VALUES = {"train": {"epochs": 2, "shared_tokens": True, "arms": {"mine": {"weights": "none"}}}, "weigh": {"models": {}}}


@pytest.mark.parametrize(
    ("name", "value", "becomes"),
    [
        ("epochs", 3, 3),
        ("learning_rate", 1, 1.0),
        ("learning_rate", "1e-5", 1e-5),  # YAML 1.1 reads 1e-5 as text
        ("resume", False, False),
        ("frames", None, None),
        ("frames", 8, 8),
        ("layers", [1, 2], (1, 2)),
        ("names", "a,b", ("a", "b")),
        ("names", ["a"], ("a",)),
        ("arms", {"a": {"weights": "x"}}, {"a": Arm("x")}),
        ("optimizer", {"share": 0}, Arm(share=0.0)),
        ("optimizer", Arm("x"), Arm("x")),
    ],
)
def test_a_value_becomes_what_the_field_declares(name, value, becomes):
    got = getattr(build(Train, {name: value}), name)
    assert got == becomes and type(got) is type(becomes)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("epochs", 2.5, "expected a whole number, got 2.5"),
        ("epochs", True, "expected a whole number, got True"),
        ("epochs", None, "expected a whole number, got None"),
        ("epochs", "3", "expected a whole number, got '3'"),
        ("learning_rate", "fast", "expected a finite number, got 'fast'"),
        ("learning_rate", float("nan"), "expected a finite number, got nan"),
        ("learning_rate", "-inf", "expected a finite number, got '-inf'"),
        ("learning_rate", 10**400, "expected a finite number, got 1000"),
        ("learning_rate", True, "expected"),
        ("learning_rate", [1], "expected"),
        ("resume", 1, "expected true or false, got 1"),
        ("frames", "all", "expected a whole number, got 'all'"),
        ("layers", 3, "expected a list like a,b, got 3"),
        ("layers", ["x"], "expected a whole number, got 'x'"),
        ("names", {"a": 1}, "expected a list like a,b, got {'a': 1}"),
        ("arms", ["a"], "expected settings by name, got ['a']"),
        ("optimizer", "adam", "expected settings by name, got 'adam'"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_its_knob(name, value, says):
    with pytest.raises(ValueError, match=f"^{re.escape(knob('train.' + name))}: {re.escape(says)}"):
        build(Train, {name: value}, "train.")


def test_a_wrong_value_deep_inside_is_named_with_its_whole_path():
    with pytest.raises(ValueError, match=r"^--train.arms.mine.share: expected a finite number, got 'much'"):
        build(Train, {"arms": {"mine": {"share": "much"}}}, "train.")
    with pytest.raises(
        ValueError, match=r"^--train.arms.mine.wieghts: unknown setting; did you mean --train.arms.mine.w"
    ):
        build(Train, {"arms": {"mine": {"wieghts": "x"}}}, "train.")
    with pytest.raises(ValueError, match=r"^--train.layers: expected a whole number"):
        build(Train, {"layers": "1,2"}, "train.")


def test_an_unknown_knob_gets_the_nearest_one_or_all_of_them():
    with pytest.raises(ValueError, match=r"^--train.epoch: unknown setting; did you mean --train.epochs\?$"):
        build(Train, {"epoch": 3}, "train.")
    with pytest.raises(ValueError, match=r"^--qqqqqq: unknown setting; known: --epochs, --learning-rate, --resume, "):
        build(Train, {"qqqqqq": 3})


def test_a_long_wrong_value_is_not_repeated_in_full():
    with pytest.raises(ValueError) as error:
        convert(int, "x" * 10_000, "a")
    assert len(str(error.value)) < 200


# ---- flags


@pytest.mark.parametrize(
    ("flags", "name", "value"),
    [
        (["--train.epochs", "8"], "train.epochs", 8),
        (["--train.epochs=8"], "train.epochs", 8),
        (["--train.epochs=8", "--train.epochs", "9"], "train.epochs", 9),
        (["--train.shared-tokens", "false"], "train.shared_tokens", False),
        (["--train.arms.mine.weights=a=b"], "train.arms.mine.weights", "a=b"),
        (["--scorers.my-own.batch_size", "4"], "scorers.my-own.batch_size", 4),
        (["--scorers.my-own", "{batch_size: 4}"], "scorers.my-own.batch_size", 4),
        (["--models.b.arms.mine.margin", "0.4"], "models.b.arms.mine.margin", 0.4),
        (["--train.epochs", "-3"], "train.epochs", -3),
    ],
)
def test_a_flag_sets_one_value_and_leaves_the_given_ones_alone(flags, name, value):
    before = repr(VALUES)
    assert dotted(override(VALUES, flags)) == {**dotted(VALUES), name: value}
    assert repr(VALUES) == before


def test_settings_by_name_in_a_flag_are_put_over_what_is_there_as_in_a_file():
    given = {"other": {}, "mine": {"share": 0.5}}
    by_flag = override(VALUES, ["--train.arms", "{other: {}, mine: {share: 0.5}}"])
    assert by_flag["train"]["arms"] == {"mine": {"weights": "none", "share": 0.5}, "other": {}}
    assert by_flag == merge(VALUES, {"train": {"arms": given}})


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["train.epochs", "8"], "train.epochs: unknown argument; settings look like --train.epochs 8"),
        (["--epochs", "8"], "--epochs: unknown argument"),
        (["--train.epochs"], "--train.epochs: needs a value"),
        (["--train.epoch", "8"], "--train.epoch: unknown setting; did you mean --train.epochs?"),
        (["--trian.epochs", "8"], "--trian.epochs: unknown setting; did you mean --train.epochs?"),
        (["--train.epochs.more", "8"], "--train.epochs.more: unknown setting"),
        (["--train.arms", "{a: b"], "--train.arms: not YAML"),
        (["--train.arms", "{1: {}}"], "--train.arms: the key 1 is not text"),
        (["--train.arms", "{a: {}, a: {}}"], "--train.arms: not YAML (the key 'a' is there twice)"),
    ],
)
def test_a_wrong_flag_is_named_as_it_was_typed(flags, says):
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        override(VALUES, flags)


def test_merging_keeps_what_is_not_named_and_lists_are_replaced():
    assert merge({"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"c": [2]}, "e": 3}) == {
        "a": {"b": 1, "c": [2]},
        "d": 2,
        "e": 3,
    }
    assert merge({"a": {"b": 1}}, {"a": 5}) == {"a": 5} and merge({"a": 5}, {"a": {"b": 1}}) == {"a": {"b": 1}}


def test_nested_settings_have_dotted_names():
    assert dotted({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {"a.b.c": 1, "a.d": [2], "e": None}
