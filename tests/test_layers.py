"""The import table of docs/architecture.md: stages never import each other; they meet in files."""

import ast
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "synvita"
STAGES = {"triplets", "generate", "weigh", "videollm", "train", "evaluate", "report"}
ALLOWED = {
    "core": set(),
    "world": {"core"},
    "triplets": {"core", "world"},
    "generate": {"core", "world"},
    "videollm": {"core", "world"},
    "weigh": {"core", "world", "videollm"},
    "train": {"core", "videollm"},
    "evaluate": {"core", "videollm"},
    "report": {"core"},
    "executors": {"core"},
    "ranking": {"core", "how", "report", "weigh"},
    "recipes": STAGES | {"core", "world"},
    "children": set(),
    "arms": STAGES | {"core", "executors", "how", "publish", "recipes", "children"},
    "how": {"core", "executors", "videollm", "weigh"},
    "inventory": STAGES | {"core", "executors", "recipes", "arms"},
    "stages": STAGES | {"core", "world", "executors", "publish", "recipes", "arms", "inventory", "how"},
    "publish": {"core"},
    "app": {"core"},
    "api": STAGES | {"core", "executors", "recipes", "arms", "inventory", "stages", "how", "ranking"},
    "cli": STAGES
    | {"core", "world", "recipes", "children", "arms", "inventory", "stages", "study", "how", "executors", "ranking"}
    | {"api", "app", "publish"},
    "clip_studies": {"core", "recipes", "train"},
    "study": STAGES | {"core", "how", "recipes", "arms", "stages", "clip_studies"},
    "pretrain": STAGES | {"core", "world"},
}


def imported(path: Path) -> set[str]:
    """Parts of synvita that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""] + [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("synvita.")}
    return found - {"__version__"}


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_each_part_imports_only_what_the_table_allows(part):
    files = [ROOT / f"{part}.py"] if (ROOT / f"{part}.py").exists() else sorted((ROOT / part).rglob("*.py"))
    assert files
    for path in files:
        assert imported(path) <= ALLOWED[part] | {part}, path


def test_every_part_of_the_package_is_in_the_table():
    parts = {p.stem for p in ROOT.iterdir() if p.is_dir() or p.suffix == ".py"} - {"__init__", "__pycache__"}
    assert parts == set(ALLOWED)


def test_the_engine_of_video_llms_imports_no_family():
    names = {"mplug_owl.py", "video_llava.py"}  # old import paths of two families
    for path in sorted((ROOT / "videollm").glob("*.py")):
        family = re.search(r"^\s*(import|from) synvita\.videollm\.families\b", path.read_text(), re.M)
        assert bool(family) == (path.name in names), path


def test_only_four_modules_of_core_use_the_decoder():
    users = [p for p in ROOT.rglob("*.py") if re.search(r"^\s*(import|from) av\b", p.read_text(), re.M)]
    files = {"video_file.py", "video.py", "write_video.py", "decoder.py"}
    assert {p.relative_to(ROOT).as_posix() for p in users} == {f"core/{name}" for name in files}


def test_importing_the_package_and_its_cli_takes_under_a_second_and_no_torch():
    code = "import sys, synvita, synvita.cli; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    best = 9.0
    for _ in range(3):
        start = time.monotonic()
        assert subprocess.run([sys.executable, "-c", code]).returncode == 0
        best = min(best, time.monotonic() - start)
    assert best < 1.0
