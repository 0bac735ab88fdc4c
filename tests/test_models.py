"""Several base models on one run, and asking them by other executors."""

import json
import shutil

import pytest
import yaml
from small import HOME

from synvita.arms.left import Model
from synvita.cli import main
from synvita.core.settings import build
from synvita.core.stage import claim_folder
from synvita.recipes import RunConfig

WITHOUT = shutil.ignore_patterns("report", "results.json", "checkpoints")


def results_of(run):
    return json.loads((run / "results.json").read_text())


def bytes_of(folder):
    """All files but the model cards, which show the figures of the day."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "README.md"}


@pytest.fixture
def run(small_run, tmp_path):
    """The small run with two arms of its base model."""
    folder = tmp_path / "run"

    def left_out(where, names):
        others = [n for n in names if n not in ("off_the_shelf", "real_only")]
        return others if where.endswith(("/adapters", "/pairs")) else WITHOUT(where, names)

    shutil.copytree(small_run, folder, ignore=left_out)
    return folder


def test_a_second_base_model_stands_beside_the_first_and_the_same_weights_give_the_same_figures(
    run, checkpoints, tmp_path, capsys
):
    twin = shutil.copytree(checkpoints / "mini-video-llava", tmp_path / "twin")
    before = bytes_of(run / HOME)
    assert main(["train", "--run", str(run), "--model", str(twin), "--arms", "real_only"]) == 0
    adapter = "adapters/real_only/0/adapter_model.safetensors"
    assert (run / "models/twin" / adapter).read_bytes() == (run / HOME / adapter).read_bytes()
    capsys.readouterr()
    assert main(["evaluate", "--run", str(run), "--tasks", "open,qa", "--arms", "real_only"]) == 0
    found = results_of(run)
    assert found["model"] == "mini-video-llava" and set(found["models"]) == {"twin"}
    mine, other = found["arms"], found["models"]["twin"]["arms"]
    assert set(mine) == set(other) == {"real_only"}
    for arm in mine:
        assert mine[arm]["open"] == other[arm]["open"] and mine[arm]["qa"] == other[arm]["qa"]
        assert "retrieval_events" not in mine[arm]
    assert bytes_of(run / HOME) == before  # nothing asked again
    shown = capsys.readouterr().out
    assert sum(line.startswith("real_only ") for line in shown.splitlines()) == 2 and "\ntwin\n" in shown
    assert main(["report", "--run", str(run)]) == 0
    page = (run / "report/index.html").read_text()
    assert "The same with the base model twin" in page
    assert main(["status", "--run", str(run)]) == 0
    lines = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in capsys.readouterr().out.splitlines()}
    assert lines["models/twin: real_only"] == "trained, 2 tasks asked"
    assert lines["models/twin: synvita"] == "missing, 0 tasks asked"


def test_a_base_model_of_the_configuration_has_its_own_settings_and_other_ones_are_refused(run, capsys):
    entry = "{rate: 1.0e-3, model: mini-video-llava}"
    assert main(["status", "--run", str(run), "--models.slow", entry]) == 0
    config = build(RunConfig, yaml.safe_load((run / "config.yaml").read_text()))
    claim_folder(run, Model.of(config.of_model("slow").train))
    (run / "models/slow/adapters/real_only/0").mkdir(parents=True)
    stamp = json.loads((run / "models/slow/stamp.json").read_text())
    assert stamp["rate"] == 1e-3 and json.loads((run / HOME / "stamp.json").read_text())["rate"] == 4e-3
    before = (run / "config.yaml").read_bytes()
    capsys.readouterr()
    for flags, message in (
        (["--models.slow.rate", "0.1"], "models/slow was made otherwise (rate: 0.001 -> 0.1)"),
        (["--train.rate", "0.1"], "models/mini-video-llava was made otherwise (rate: 0.004 -> 0.1)"),
        (["--models.slow.ratte", "0.1"], "--models.slow.ratte: unknown setting; did you mean --models.slow.rate?"),
    ):
        assert main(["status", "--run", str(run), *flags]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert (run / "config.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--arms", "synvita"], "has no trained arm 'synvita' of seed 0; first run: synvita train --run"),
        (["--arms", "synvta"], "--arms: unknown 'synvta'; did you mean 'synvita'?"),
        (["--tasks", "opn"], "--tasks: unknown 'opn'; did you mean 'open'?"),
        (["--models", "nowhere"], "--train.model: nowhere: no such folder"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line_and_writes_nothing(run, capsys, flags, message):
    before = sorted(p for p in run.rglob("*") if p.suffix != ".lock")
    assert main(["evaluate", "--run", str(run), *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert sorted(p for p in run.rglob("*") if p.suffix != ".lock") == before


@pytest.mark.slow
def test_asking_in_shards_or_with_ray_leaves_the_bytes_of_one_process(run, tmp_path):
    asking = ["--arms", "off_the_shelf", "--tasks", "open,retrieval_events", "--evaluate.rows-at-once", "4"]
    found = {}
    for how in ("alone", "ray", "shards"):
        copy = tmp_path / how
        shutil.copytree(run, copy)
        shutil.rmtree(copy / HOME / "pairs")
        command = ["evaluate", "--run", str(copy), *asking]
        if how == "shards":
            assert [main([*command, "--shard", part]) for part in ("2/2", "1/2")] == [0, 0]
            assert main(["merge", "--run", str(copy)]) == 0
        assert main([*command, *(["--executor", "ray", "--workers", "2"] if how == "ray" else [])]) == 0
        folder = copy / HOME / "pairs/off_the_shelf/0"
        found[how] = {p.name: p.read_bytes() for p in folder.iterdir()} | {"r": (copy / "results.json").read_bytes()}
    assert found["alone"] == found["ray"] == found["shards"]
    assert set(found["alone"]) == {"open.jsonl", "retrieval_events.jsonl", "stamp.json", "model.json", "r"}


def test_a_benchmark_that_was_edited_is_asked_again_and_measured_anew(run):
    """The right option is moved to the next one; accuracy is counted by hand."""
    path = run / "benchmarks/qa.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    labels = [row["label"] for row in rows]
    for i, row in enumerate(rows):
        row["label"] = labels[i - 1]  # every question has its five options in a row, and one of them is right
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["evaluate", "--run", str(run), "--tasks", "qa", "--arms", "real_only"]) == 0
    asked = [json.loads(line) for line in (run / HOME / "pairs/real_only/0/qa.jsonl").read_text().splitlines()]
    assert {(r["query"], r["caption"], r["label"]) for r in asked} == {
        (r["query"], r["caption"], r["label"]) for r in rows
    }
    right = dropped = 0
    for query in {row["query"] for row in asked}:
        options = [row for row in asked if row["query"] == query]
        if sum(row["label"] for row in options) != 1:
            dropped += 1
        else:
            right += max(options, key=lambda row: row["log_odds"])["label"]
    found = results_of(run)["arms"]["real_only"]["qa"]
    assert found["questions_dropped"] == dropped and found["questions"] + dropped == 8
    assert found["accuracy"] == pytest.approx(right / found["questions"])
