"""The example of examples/, as somebody runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_example_runs_from_its_first_cell_to_its_last_and_again(tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "python_api.py"), str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "weighted_video   open AUC 0." in first.stdout and "Aligner(model='mini-video-llava'" in first.stdout
    assert "(4, 2)" in first.stdout and (tmp_path / "run" / "report" / "index.html").is_file()
    again = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert again.stdout.split("open AUC")[1:] == first.stdout.split("open AUC")[1:]


def test_the_example_has_cells_that_compile():
    text = (ROOT / "examples" / "python_api.py").read_text()
    compile(text, "python_api.py", "exec")
    assert text.count("# %%\n") >= 4 and text.count("# %% [markdown]") >= 4
