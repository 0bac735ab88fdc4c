"""Which small changes `make mutants` tries: a seeded sample of mutmut's, spread over the lines of a file.

What cannot matter is left out: annotations, docstrings, imports, decorators, names for type checkers, the wording of
errors, the case of an encoding's name.
"""

from __future__ import annotations

import ast
import difflib
import random
from collections import defaultdict
from dataclasses import dataclass

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_string

FOR_TYPE_CHECKERS = {"cast", "TypeVar", "isinstance", "len"}  # of the last two, any change is a TypeError


@dataclass(frozen=True)
class Mutant:
    module: str
    text: str  # the whole changed file

    def diff(self, original: str) -> str:
        lines = difflib.unified_diff(original.splitlines(), self.text.splitlines(), n=0, lineterm="")
        return "\n".join([f"synvita/{self.module}.py", *list(lines)[2:]])


class Changes(cst.CSTVisitor):
    """Collects (node, its replacement) by line."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.by_line: dict[int, list[tuple[cst.CSTNode, cst.CSTNode]]] = defaultdict(list)
        self.raising = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        if cannot_matter(node):
            return False
        self.raising += isinstance(node, cst.Raise)
        plain_call = isinstance(node, cst.Call) and called(node) in FOR_TYPE_CHECKERS
        for kind, operator in mutation_operators:
            if isinstance(node, kind) and not plain_call and not (self.raising and operator is operator_string):
                line = self.get_metadata(PositionProvider, node).start.line
                self.by_line[line] += [(node, new) for new in operator(node)]
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        self.raising -= isinstance(original_node, cst.Raise)


def called(node: cst.Call) -> str:
    """The last part of a called function's name."""
    name = node.func.attr if isinstance(node.func, cst.Attribute) else node.func
    return name.value if isinstance(name, cst.Name) else ""


def cannot_matter(node: cst.CSTNode) -> bool:
    if isinstance(node, (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom)):
        return True
    if isinstance(node, cst.Expr):
        return isinstance(node.value, (cst.SimpleString, cst.ConcatenatedString))
    if isinstance(node, cst.If):
        return isinstance(node.test, cst.Name) and node.test.value == "TYPE_CHECKING"
    if isinstance(node, cst.Assign):  # `Table = tuple[...]`, `T = TypeVar("T")`
        alias = isinstance(node.value, cst.Subscript) and isinstance(node.value.value, cst.Name)
        plain = alias and node.value.value.value in ("tuple", "list", "dict", "Callable", "Sequence", "Mapping")
        return plain or (isinstance(node.value, cst.Call) and called(node.value) == "TypeVar")
    return False


def meaning(text: str) -> str:
    """What a file's text says to Python: equal for equal code.

    None is as good as False for an argument, and as good as 0 from a function that returns nothing.
    """
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for argument in node.keywords if isinstance(node, ast.Call) else ():
            if isinstance(argument.value, ast.Constant) and argument.value.value is False:
                argument.value = ast.Constant(None)
        if isinstance(node, ast.Lambda) and isinstance(node.body, ast.Constant) and node.body.value == 0:
            node.body = ast.Constant(None)
    return ast.dump(tree).replace("'UTF-8'", "'utf-8'").replace("'SHA256'", "'sha256'")


def sample(module: str, text: str, count: int, seed: int) -> list[Mutant]:
    """`count` mutants of a file, spread over it: a second one of a line comes after one of every line."""
    tree, changes = MetadataWrapper(cst.parse_module(text)), Changes()
    tree.visit(changes)
    chance = random.Random(f"{seed} {module}")
    lines = [chance.sample(of_line, len(of_line)) for of_line in changes.by_line.values()]
    chosen: list[Mutant] = []
    known = {meaning(text)}
    while len(chosen) < count and any(lines):
        chance.shuffle(lines)
        for of_line in lines:
            if not of_line or len(chosen) == count:
                continue
            changed = tree.module.deep_replace(*of_line.pop())
            try:
                compile(changed.code, module, "exec")
                if meaning(changed.code) not in known:
                    known.add(meaning(changed.code))
                    chosen.append(Mutant(module, changed.code))
            except SyntaxError:
                continue
    return chosen
