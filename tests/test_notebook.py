"""The notebook of examples/, cell by cell, in a fresh process; what it prints is what stands in it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOK = EXAMPLES / "first_steps.ipynb"
RUNNER = """
import contextlib, io, json, sys
names, printed = {"__name__": "__main__"}, []
for cell in json.loads(sys.stdin.read()):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(cell, "cell", "exec"), names)
    printed.append(out.getvalue())
print(json.dumps(printed))
"""


def cells(kind):
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == kind]


def stored(cell):
    return "".join("".join(out["text"]) for out in cell["outputs"])


def without_numbers(text):
    """Scores differ in their digits from machine to machine."""
    return re.sub(r"\d+(\.\d+)?", "#", text)


@pytest.mark.slow  # a minute
def test_every_cell_runs_and_prints_what_the_notebook_shows(tmp_path):
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("runs"))
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(["".join(cell["source"]) for cell in cells("code")]),
        capture_output=True, text=True, cwd=tmp_path / "examples", env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    for cell, printed in zip(cells("code"), json.loads(done.stdout.splitlines()[-1]), strict=True):
        assert without_numbers(printed) == without_numbers(stored(cell))


def test_the_notebook_compiles_shows_its_output_and_names_no_path_of_a_machine():
    assert len(cells("code")) >= 6 and len(cells("markdown")) >= 5
    for cell in cells("code"):
        compile("".join(cell["source"]), "cell", "exec")
        assert stored(cell) and all(out["name"] == "stdout" for out in cell["outputs"])
    text = NOTEBOOK.read_text()
    assert not re.search(r"/(home|root|tmp|Users|work)/", text) and len(text) < 50_000
