"""The settings of a command for its `--help`, read from the source of the configuration classes: importing them would
import torch, which takes seconds."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CLASSES = {  # section of the configuration -> file and class
    "world": ("world/dataset.py", "WorldConfig"),
    "generate": ("generate/clips.py", "GenerateConfig"),
    "weigh": ("weigh/config.py", "WeighConfig"),
    "train": ("train/config.py", "TrainConfig"),
    "evaluate": ("evaluate/config.py", "EvaluateConfig"),
}
OF_COMMAND = {
    "make": ("world",),
    "generate": ("generate",),
    "weigh": ("weigh",),
    "train": ("train",),
    "arm": ("train", "evaluate"),
    "evaluate": ("evaluate",),
}


@dataclass(frozen=True)
class Setting:
    flag: str
    default: str
    text: str


def settings_of(section: str) -> list[Setting]:
    """In the order of the class; the text is the first sentence of what its docstring says of the field."""
    file, name = CLASSES[section]
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    told = texts(ast.get_docstring(found) or "")
    fields = [node for node in found.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    return [
        Setting(f"--{section}.{field.target.id.replace('_', '-')}", default_of(field.value), told[field.target.id])
        for field in fields
        if isinstance(field.target, ast.Name)
    ]


def texts(docstring: str) -> dict[str, str]:
    """Field -> its first sentence, of lines like `name: text.` that may go on further in."""
    lines = re.sub(r"\n\s{4,}", " ", docstring)
    return {
        match[1]: re.split(r"(?<=[a-z0-9)])\. ", match[2])[0].rstrip(".")
        for match in re.finditer(r"^(\w+): (.+)$", lines, re.M)
    }


def default_of(value: ast.expr | None) -> str:
    if isinstance(value, ast.Constant):
        plain = value.value
        return "none" if plain in (None, "") else str(plain).lower() if isinstance(plain, bool) else str(plain)
    if isinstance(value, ast.Tuple):
        return ",".join(str(ast.literal_eval(item)) for item in value.elts) or "none"
    return "see synvita config"


def settings_help(command: str) -> str:
    """A paragraph per section; empty where a command has no settings of its own."""
    found = [setting for section in OF_COMMAND.get(command, ()) for setting in settings_of(section)]
    if not found:
        return ""
    width = max(len(setting.flag) for setting in found) + 2
    lines = [f"  {s.flag:<{width}}{s.text} ({s.default})" for s in found]
    return "\n".join(["settings of this stage, with their defaults:", *lines, ""])
