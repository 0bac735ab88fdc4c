"""Every command that README and docs print can be typed: subcommands, flags, settings, modules, targets exist."""

import argparse
import re
import shlex
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from synvita.cli.parser import parser
from synvita.core.write_video import write_video
from synvita.recipes import recipe

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OF_PARTS = ("scorers", "generators", "models")  # sections whose entries have names of one's own
BEGINNINGS = ("synvita ", ".venv/bin/synvita ", "python -m synvita.", "python benchmarks/", "make ")


def blocks(page: Path) -> list[tuple[int, str]]:
    """(line number, line) of what stands in code blocks; continued lines are joined."""
    lines, inside, kept = page.read_text().splitlines(), False, []
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            inside = not inside
        elif inside or line.startswith("    "):
            if kept and kept[-1][1].endswith("\\"):
                kept[-1] = (kept[-1][0], kept[-1][1][:-1] + line.strip())
            else:
                kept.append((number, line.strip()))
    return kept


def commands() -> list[tuple[str, str]]:
    return [
        (f"{page.relative_to(ROOT)}:{number}", line)
        for page in PAGES
        for number, line in blocks(page)
        if line.startswith(BEGINNINGS)
    ]


def words(line: str) -> list[str]:
    """Without comment and without what stands in brackets, which may be left out."""
    return shlex.split(re.sub(r"\[[^]]*]", "", line), comments=True)


@lru_cache
def mini() -> dict:
    return recipe("mini").as_dict()


def unknown_setting(flag: str, values: dict) -> bool:
    section, *path = flag.removeprefix("--").split(".")
    if section not in values or not path:
        return True
    node = values[section]
    for key in path if section not in OF_PARTS else ():
        if not isinstance(node, dict) or key not in node:
            return True
        node = node[key]
    return False


def flags_of_source(path: Path) -> set[str]:
    return set(re.findall(r'"(--[a-z-]+)"', path.read_text()))


def problem(line: str) -> str:
    """Why a command cannot be typed as it stands; empty if it can."""
    first, *rest = words(line)
    if first == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return "" if rest[0] in targets else f"no target {rest[0]}"
    if first == "python":
        script = ROOT / (rest[1].replace(".", "/") + ".py" if rest[0] == "-m" else rest[0])
        if not script.is_file():
            return f"no {script.name}"
        lacking = {w for w in rest if w.startswith("--")} - flags_of_source(script)
        return f"{script.name} has no {sorted(lacking)}" if lacking else ""
    try:
        _, left = parser().parse_known_args(rest)
    except SystemExit:
        return "refused by the parser"
    values = mini()
    wrong = [flag for flag in left if flag.startswith("--") and unknown_setting(flag.partition("=")[0], values)]
    return f"no setting {wrong}" if wrong else ""


@pytest.mark.parametrize(("place", "line"), commands(), ids=lambda text: text[:60])
def test_a_printed_command_can_be_typed(place, line):
    assert problem(line) == "", f"{place}: {line}"


def test_commands_that_cannot_be_typed_are_noticed():
    for line in (
        "synvita trian --run DIR",
        "synvita weigh --run DIR --train.epoch 2",
        "synvita study",
        "python -m synvita.pretrain.towers --out T",
        "python benchmarks/scale.py --nothing 3",
        "make demos",
    ):
        assert problem(line), line
    assert not problem("synvita weigh --run DIR [--nothing] --scorers.mine.device cuda  # --nothing")


def commands_in_sentences():
    """(page, command) of what stands in backticks, also over a line's end."""
    for page in PAGES:
        for text in re.findall(r"`(synvita [a-z][^`]*)`", page.read_text()):
            yield page.name, " ".join(text.split())


def options_of(words):
    """Of a subcommand, or of a subcommand's subcommand (triplets import); None: there is none."""
    node, options = parser(), set()
    for word in words:
        groups = [action for action in node._actions if isinstance(action, argparse._SubParsersAction)]
        if not groups or word.startswith("-"):
            break
        if word not in groups[0].choices:
            return None
        node = groups[0].choices[word]
        options |= set(node._option_string_actions)
    return options


def test_commands_named_within_a_sentence_exist_and_so_do_their_flags():
    seen = 0
    for page, command in commands_in_sentences():
        words = command.split()[1:]
        options = options_of(words)
        assert options is not None, f"{page}: {command}"
        for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert flag in options or not unknown_setting(flag, mini()), f"{page}: {command}: {flag}"
            seen += 1
    assert seen > 20
    assert options_of(["trian"]) is None and "--scorers" in options_of(["weigh", "--run", "R"])


def test_the_readmes_python_runs(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    write_video(tmp_path / "clip.mp4", np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8), 8)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out.count(".") >= 4  # two alignments, two log-odds


def test_what_the_paper_map_names_is_there():
    named = re.findall(r"`([\w/]+\.py)` : `(\w+)", (ROOT / "docs" / "paper_map.md").read_text())
    assert len(named) > 15
    for path, name in named:
        file = next(p for p in (ROOT / "synvita" / path, ROOT / path) if p.exists())
        assert re.search(rf"^\s*(def|class) {name}\b|^{name}\b", file.read_text(), re.MULTILINE), f"{path}: {name}"
