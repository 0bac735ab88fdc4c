"""Full-scale recipes run as commands, on tiny checkpoints in the official formats."""

import json
from pathlib import Path

import numpy as np
import pytest

from synvita.cli import main
from synvita.core.write_video import write_video

TABLE = Path(__file__).parent / "data" / "mplug_owl_tiny" / "objective_nle_order.csv"
HERE = ["--train.device", "cpu", "--train.dtype", "float32", "--train.warmup", "1", "--train.epochs", "2"]


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(["real/A", "real/B", "real/C", "syn/A_001", "syn/B_001"]):
        pixels = np.random.default_rng(i).integers(0, 255, (8, 4, 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
        write_video(tmp_path / f"{name}.mp4", pixels, 8)
    (tmp_path / "train.csv").write_bytes(TABLE.read_bytes())
    return tmp_path


def home_of(run):
    """The folder of the one base model that the run has."""
    (found,) = (run / "models").iterdir()
    return found


def test_the_authors_recipe_trains_on_the_authors_table_and_its_adapter_scores(folder, mplug_owl_folder, capsys):
    run = folder / "run"
    model = ["--train.model", str(mplug_owl_folder), "--train.batch", "2", "--train.micro-batch", "1"]
    assert (
        main(["triplets", "import", str(folder / "train.csv"), "--run", str(run), "--recipe", "authors_mplug_owl"]) == 0
    )
    assert main(["train", "--run", str(run), *HERE, *model]) == 0
    out = home_of(run) / "adapters" / "synvita" / "0"
    facts = json.loads((out / "arm.json").read_text())
    assert facts["weights_from"] == "the table's own" and facts["explanations"] == 1 and facts["with_clip"] == 2
    steps = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert len(steps) == 4 and any(step["consistency"] > 0 for step in steps) and steps[0]["rate"] == 1e-4
    capsys.readouterr()
    odds = []
    for adapter in ([], ["--adapter", str(out)]):
        command = ["score", str(folder / "real" / "A.mp4"), "a man juggles", "--model", str(mplug_owl_folder), *adapter]
        assert main(command) == 0
        odds.append(float(capsys.readouterr().out.splitlines()[1].split()[1]))
    assert all(np.isfinite(odds))


def test_the_papers_recipe_trains_on_triplets_with_clips_and_weights(folder, official_folder, capsys):
    run = folder / "run"
    (folder / "triplets.csv").write_text(
        "video,caption,negative_caption,misalignment,split\n"
        "real/A.mp4,a red ring,a blue ring,attribute,train\nreal/B.mp4,two dogs run,a dog runs,count,train\n"
        "real/C.mp4,a cross,a ring,object,test\n"
    )
    (folder / "clips.csv").write_text(
        "caption,file,generator\na blue ring,syn/A_001.mp4,lavie\na blue ring,syn/B_001.mp4,cogvideox\n"
        "a dog runs,syn/B_001.mp4,cogvideox\n"
    )
    command = ["--run", str(run)]
    assert main(["triplets", "import", str(folder / "triplets.csv"), *command, "--recipe", "paper_video_llava"]) == 0
    assert main(["generate", *command, "--clips", str(folder / "clips.csv")]) == 0
    llava = "{checkpoint: mini-llava, device: cpu, dtype: float32}"
    assert main(["weigh", *command, "--weigh.scorers", "[llava]", "--scorers.llava", llava]) == 0
    model = ["--train.model", str(official_folder), *HERE, "--train.batch", "2"]
    assert main(["train", *command, *model, "--generators", "cogvideox", "--synthetic-types", "count,attribute"]) == 0
    facts = json.loads((home_of(run) / "adapters" / "synvita" / "0" / "arm.json").read_text())
    assert facts["weights_from"] == "product of llava" and facts["temporal_attention"] is True
    assert (facts["with_clip"], facts["without_clip"], facts["clips"]) == (2, 0, 1)
    assert main(["evaluate", *command]) == 0
    said = capsys.readouterr().out
    assert "synvita" in said and "off_the_shelf" in said
    model_facts = json.loads((home_of(run) / "pairs" / "synvita" / "0" / "model.json").read_text())
    assert model_facts["temporal_attention"] is True


def test_several_processes_train_one_arm_by_one_command_and_end_with_it(folder, mplug_owl_folder):
    run = folder / "run"
    assert (
        main(["triplets", "import", str(folder / "train.csv"), "--run", str(run), "--recipe", "authors_mplug_owl"]) == 0
    )
    model = ["--train.model", str(mplug_owl_folder), "--train.batch", "2", "--train.micro-batch", "1"]
    assert main(["train", "--run", str(run), *HERE, *model, "--processes", "2", "--workers", "1"]) == 0
    facts = json.loads((home_of(run) / "adapters" / "synvita" / "0" / "arm.json").read_text())
    assert facts["processes"] == 2
