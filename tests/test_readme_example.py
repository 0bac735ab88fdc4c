"""The eight-row example that README runs."""

import json
import re
from pathlib import Path

import pytest

from synvita.cli import main
from synvita.weigh.world_truth import pixels
from synvita.world.checker import shows

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "examples" / "triplets.csv"


def test_the_examples_videos_show_their_captions_and_not_the_negative_ones():
    for line in TABLE.read_text().splitlines()[1:]:
        video, caption, negative, *_ = line.split(",")
        frames = pixels(TABLE.parent / video, video)
        assert shows(frames, caption) and not shows(frames, negative), line


def test_the_example_is_a_table_without_bad_rows(capsys):
    assert main(["triplets", "check", str(TABLE)]) == 0
    assert "8" in capsys.readouterr().out


@pytest.mark.slow  # 60 s
def test_the_readmes_six_commands_take_the_example_to_a_report(tmp_path, monkeypatch):
    section = (ROOT / "README.md").read_text().split("## Train on my triplets")[1].split("\n## ")[0]
    commands = re.findall(r"^    synvita (.*)$", section, re.MULTILINE)
    assert [line.split()[0] for line in commands] == ["triplets", "generate", "weigh", "train", "evaluate", "report"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(TABLE.parent)
    for line in commands:
        assert main(line.split("#")[0].split()) == 0, line
    arms = json.loads((tmp_path / "runs" / "example" / "results.json").read_text())["arms"]
    assert set(arms) == {"off_the_shelf", "real_only", "uniform", "weighted", "synvita"}
    assert (tmp_path / "runs" / "example" / "report" / "index.html").exists()
