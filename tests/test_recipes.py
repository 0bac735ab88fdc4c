"""Recipes print as YAML and hold the values of the paper and of the authors' scripts."""

import re
from pathlib import Path

import pytest
import yaml

from synvita.cli import main
from synvita.core.records import Triplet
from synvita.recipes import RECIPES
from synvita.train.examples import group, items_of
from synvita.train.schedule import plan

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
LINEAR = [*ATTENTION, "gate_proj", "up_proj", "down_proj"]
# targets, schedule, rate, examples per GPU, GPUs, optimiser, decay, lambda, shared tokens, normaliser, grouping,
# criterion, base
TABLE = {
    "paper_mplug_owl": (
        ATTENTION, "cosine", 1e-4, 4, 4, "adam", 0.0, 0.01, "token", "global", "triplet", ["difference"], None,
    ),
    "paper_video_llava": (
        ATTENTION, "cosine", 5e-5, 2, 4, "adam", 0.0, 1.0, "token", "global", "triplet", ["product"], None,
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
        2, 8, 1e-4, "cosine", 200,
    )  # fmt: skip
    assert [arm["weights"] for arm in train["arms"].values()] == ["none"]


# (real items per step, per GPU): the paper's "batch size of 8", "of 4", "of 16" on 4 GPUs; 8 GPUs are inferred
ITEMS = {
    "paper_mplug_owl": (4 * 8, 8),
    "paper_video_llava": (4 * 4, 4),
    "authors_mplug_owl": (4 * 8, 8),
    "authors_video_llava": (8 * 4, 4),
    "videocon_mplug_owl": (4 * 16, 16),
    "videocon_video_llava": (4 * 16, 16),
}


def real_items(examples):
    return sum(not line.synthetic and line.answer in ("Yes", "No") for example in examples for line in example.lines)


@pytest.mark.parametrize("name", ITEMS)
def test_a_step_of_a_full_scale_recipe_has_as_many_real_items_as_the_papers_and_the_docs_say_so(name):
    """Counted on the first batch of 100 triplets, as training draws it."""
    config = RECIPES[name]().train
    triplets = [Triplet(f"t{i}", f"{i}.mp4", f"{i} runs", f"{i} sits") for i in range(100)]
    items = [item for t in triplets for item in items_of(t, [(f"s{t.id}.mp4", 0.5)])]
    examples = group(items, config.grouping)
    first = [examples[i] for i in next(plan([e.id for e in examples], config.batch, config.epochs, config.seed))]
    per_step, per_gpu = ITEMS[name]
    assert (real_items(first), real_items(first[: config.micro_batch])) == (per_step, per_gpu)
    text = (Path(__file__).parent.parent / "docs" / "reproducing.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| `{name}` \| (\w+) \| (\d+) \| ([\d-]+) \| (\d+) \| (\d+) \| (\d+)", text, re.M)
    triplets_per_step = "-" if config.grouping == "item" else str(len(first))
    assert row[:3] == (config.grouping, str(config.batch), triplets_per_step)
    assert tuple(map(int, row[3:])) == (per_step, per_gpu, per_step // per_gpu)


def test_every_recipe_survives_printing_and_reading(capsys, tmp_path):
    from synvita.core.settings import build
    from synvita.recipes import RunConfig

    for name, make in RECIPES.items():
        assert build(RunConfig, printed(capsys, name)).as_dict() == make().as_dict(), name


def test_the_demo_draws_its_clips_with_the_diffusion_model_and_the_simulator_has_its_own_name(capsys):
    drawn, simulated = printed(capsys, "mini"), printed(capsys, "mini_simulator")
    assert drawn["generate"]["generator"] == "mini-videocrafter2"
    assert simulated["generate"]["generator"] == "world_simulator"
    assert drawn["train"]["arms"] == simulated["train"]["arms"]


@pytest.mark.parametrize("arm", ["real_only", "synvita", "weighted_oracle"])
def test_the_miniatures_arms_are_recipes(capsys, arm):
    alone, all_of_them = printed(capsys, f"mini_{arm}"), printed(capsys, "mini")
    assert alone["train"]["arms"] == {arm: all_of_them["train"]["arms"][arm]}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--train.normaliser", "mean"],
            "--train.normaliser: unknown 'mean'; known: authors, global, separate, weighted",
        ),
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
