"""One guarded reader each for text, JSON and YAML that people may have written: errors say file, line, way out.

Files that this program appends to (`core.store`) may end in a torn line, which is dropped; here a last line counts
with or without its newline, because people and their editors leave it out.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml


def read_text(path: Path) -> str:
    """UTF-8 or nothing: a guessed encoding would put wrong letters into captions without a word.

    Raises:
        FileNotFoundError; ValueError: not UTF-8, or a NUL byte, by file:line.
    """
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give a file")
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    nul = text.find("\x00")
    if nul >= 0:
        raise ValueError(f"{path}:{text.count(chr(10), 0, nul) + 1}: a NUL byte; the file is damaged or not UTF-8 text")
    return text


def not_a_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON; give a finite number or null")


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different: of two values, json would keep the last without a word."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} is there twice")
        found[key] = value
    return found


# Made once: `json.loads` with settings makes one per call, which a file of 350,000 lines feels.
DECODER = json.JSONDecoder(parse_constant=not_a_number, object_pairs_hook=unique_keys)


def parse_json(text: str, where: str) -> Any:
    """ValueError, with `where` and the line in it: not JSON, NaN or Infinity, a key twice, too deeply nested."""
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as error:
        place = f"{where}:{error.lineno}" if "\n" in text else where
        raise ValueError(f"{place}: not JSON ({error.msg}); mend or remove it") from None
    except RecursionError:
        raise ValueError(f"{where}: not usable JSON (nested too deeply)") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}; mend it") from None


def read_json(path: Path, keys: Sequence[str] = ()) -> dict[str, Any]:
    """The object in a JSON file, with at least these keys.

    Raises:
        FileNotFoundError; ValueError: not UTF-8, not JSON, not an object, a key that is missing.
    """
    found = parse_json(read_text(path), str(path))
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected an object like {{...}}, got {type(found).__name__}")
    missing = [key for key in keys if key not in found]
    if missing:
        raise ValueError(f"{path}: lacks {missing[0]!r}; the file was cut or edited, fetch or make it again")
    return found


# ---- YAML

YAML_DEPTH, YAML_VALUES = 50, 100_000  # anchors make a few lines endlessly deep, or billions of values


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice; of two values, YAML would keep the last without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            if isinstance(key, (dict, list)) or key in seen:
                why = "a key must be plain text" if isinstance(key, (dict, list)) else f"the key {key!r} is there twice"
                raise yaml.MarkedYAMLError(None, None, why, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, where: str) -> Any:
    """Plain values (a tree: no value holds itself). ValueError says where."""
    try:
        found = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark and "\n" in text else ""
        raise ValueError(f"{where}{line}: not YAML ({error.problem or error.context}); mend it") from None
    except (yaml.YAMLError, ValueError) as error:  # an impossible date is a plain ValueError
        raise ValueError(f"{where}: not YAML ({' '.join(str(error).split())}); mend it") from None
    except (RecursionError, TypeError):
        raise ValueError(f"{where}: not usable YAML (nested too deeply, or a key that is no text)") from None
    left = [(found, 0)]
    for number, (value, depth) in enumerate(left):  # the list grows while it is gone through
        if depth > YAML_DEPTH or number > YAML_VALUES:
            raise ValueError(f"{where}: a value that holds itself, or too much of it; write it out, without anchors")
        if isinstance(value, (dict, list)):
            left += [(item, depth + 1) for item in (value.values() if isinstance(value, dict) else value)]
    return found


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings in a YAML file; an empty file has none.

    Raises:
        FileNotFoundError; ValueError: not UTF-8, not YAML, a list or a single value, a key twice or not text.
    """
    found = parse_yaml(read_text(path), str(path))
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected settings by name (name: value), got {reprlib.repr(found)}")
    check_keys(found, str(path))
    return found


def check_keys(values: dict[Any, Any], where: str) -> None:
    """ValueError: a key, however deep, that is no text (`1: x`, `no: x`: YAML reads them as a number and a truth)."""
    for key, value in values.items():
        if not isinstance(key, str):
            raise ValueError(f"{where}: the key {key!r} is not text; write it in quotes")
        if isinstance(value, dict):
            check_keys(value, where)
