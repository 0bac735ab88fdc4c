"""Recipes print as YAML and hold the values of the paper and of the authors' scripts."""

import pytest
import yaml

from synvita.cli import main
from synvita.recipes import RECIPES

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
LINEAR = [*ATTENTION, "gate_proj", "up_proj", "down_proj"]
# targets, schedule, rate, per GPU, GPUs, optimiser, decay, lambda, shared tokens, normaliser, grouping, criterion, base
TABLE = {
    "paper_mplug_owl": (
        ATTENTION, "cosine", 1e-4, 8, 4, "adam", 0.0, 0.01, "token", "global", "triplet", ["difference"], None,
    ),
    "paper_video_llava": (
        ATTENTION, "cosine", 5e-5, 4, 4, "adam", 0.0, 1.0, "token", "global", "triplet", ["product"], None,
    ),
    "authors_mplug_owl": (
        LINEAR, "linear", 1e-4, 8, 4, "adamw", 1e-4, 1.0, "digit", "authors", "item", None, None,
    ),
    "authors_video_llava": (
        LINEAR, "cosine", 5e-5, 4, 8, "adamw", 1e-4, 1.0, "digit", "authors", "item", None, "lmsys/vicuna-7b-v1.5",
    ),
}  # fmt: skip


def printed(capsys, name):
    assert main(["config", "--recipe", name]) == 0
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize("name", TABLE)
def test_the_full_scale_recipes_are_the_table(capsys, name):
    targets, schedule, rate, per_gpu, gpus, optimizer, decay, weight, tokens, normaliser, grouping, criteria, base = (
        TABLE[name]
    )
    config = printed(capsys, name)
    train = config["train"]
    assert train["lora"] == {"r": 32, "alpha": 32, "dropout": 0.05, "targets": targets}
    assert (train["schedule"], train["warmup"], train["rate"], train["epochs"]) == (schedule, 200, rate, 1)
    assert (train["micro_batch"], train["batch"] // train["micro_batch"]) == (per_gpu, gpus)
    assert (train["optimizer"], train["weight_decay"]) == (optimizer, decay)
    (arm,) = train["arms"].values()
    assert (arm["consistency_weight"], arm["margin"], arm["weights"]) == (weight, 0.2, "learned")
    assert (train["shared_tokens"], train["normaliser"], train["grouping"]) == (tokens, normaliser, grouping)
    assert criteria is None or config["weigh"]["criteria"] == criteria
    assert train["base"] == base and train["dtype"] == "bfloat16"
    assert train["training_prompt"] == (name == "authors_video_llava")


@pytest.mark.parametrize("name", ["videocon_mplug_owl", "videocon_video_llava"])
def test_the_baseline_uses_no_clips(capsys, name):
    train = printed(capsys, name)["train"]
    assert (train["epochs"], train["micro_batch"], train["rate"], train["schedule"], train["warmup"]) == (
        2, 16, 1e-4, "cosine", 200,
    )  # fmt: skip
    assert [arm["weights"] for arm in train["arms"].values()] == ["none"]


def test_every_recipe_survives_printing_and_reading(capsys, tmp_path):
    from synvita.core.settings import build
    from synvita.recipes import RunConfig

    for name, make in RECIPES.items():
        assert build(RunConfig, printed(capsys, name)).as_dict() == make().as_dict(), name


@pytest.mark.parametrize("arm", ["real_only", "synvita", "weighted_oracle"])
def test_the_miniatures_arms_are_recipes(capsys, arm):
    alone, all_of_them = printed(capsys, f"mini_{arm}"), printed(capsys, "mini")
    assert alone["train"]["arms"] == {arm: all_of_them["train"]["arms"][arm]}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--train.normaliser", "mean"], "--train.normaliser: unknown 'mean'; known: authors, global, weighted"),
        (["--train.grouping", "video"], "--train.grouping: unknown 'video'; known: item, triplet"),
        (["--train.schedule", "step"], "--train.schedule: unknown 'step'; known: constant, cosine, linear"),
        (["--train.keep", "best"], "--train.keep: best needs --train.held-out and --train.validate-steps"),
        (["--train.held-out", "1.5"], "--train.held-out: 1.5 is not a share"),
        (["--train.micro-batch", "-1"], "--train.micro-batch: -1 is negative"),
        (["--train.optimizer", "adam", "--train.weight-decay", "0.1"], "--train.weight-decay: 0.1 with adam"),
        (["--train.arms.real_only.consistency-weight", "1"], "the consistency loss needs synthetic clips"),
        (
            ["--train.arms.uniform.synthetic-types", "acting"],
            "--synthetic-types: unknown 'acting'; known: object",
        ),
        (["--train.epoch", "3"], "--train.epoch: unknown setting; did you mean --train.epochs?"),
    ],
)
def test_unknown_and_impossible_values_are_refused_by_name(capsys, flags, message):
    assert main(["config", *flags]) == 2
    assert message in capsys.readouterr().err
