"""Configuration from YAML and dotted flags into frozen dataclasses, with errors that name the knob as it was typed."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import types
import typing
from typing import Any, TypeVar

import yaml

T = TypeVar("T")


def knob(path: str) -> str:
    """'train.shared_tokens' -> '--train.shared-tokens'."""
    return "--" + path.replace("_", "-")


def build(kind: type[T], values: Any, path: str = "") -> T:
    """A dataclass from nested plain values; its own checks may raise ValueError.

    Raises:
        ValueError: unknown knob (with the nearest known one), or a value of the wrong type.
    """
    hints = typing.get_type_hints(kind)
    if not isinstance(values, dict):
        raise ValueError(f"{knob(path)}: expected settings by name, got {values!r}")
    unknown = [key for key in values if key not in hints]
    if unknown:
        raise ValueError(unknown_knob(f"{path}{unknown[0]}", [f"{path}{name}" for name in hints]))
    return kind(**{key: convert(hints[key], value, f"{path}{key}") for key, value in values.items()})


def unknown_knob(path: str, known: list[str]) -> str:
    near = difflib.get_close_matches(path, known, 1)
    hint = f"; did you mean {knob(near[0])}?" if near else f"; known: {', '.join(knob(k) for k in known)}"
    return f"{knob(path)}: unknown setting{hint}"


def convert(hint: Any, value: Any, path: str) -> Any:
    """A plain value as the type that a field declares."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return convert(next(a for a in arguments if a is not type(None)), value, path)
    if dataclasses.is_dataclass(hint):
        kind = typing.cast(type, hint)
        return value if isinstance(value, kind) else build(kind, value, path + ".")
    if origin is tuple:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise ValueError(f"{knob(path)}: expected a list like a,b, got {value!r}")
        return tuple(convert(arguments[0], item, path) for item in items)
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{knob(path)}: expected settings by name, got {value!r}")
        return {key: convert(arguments[1], item, f"{path}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):  # YAML reads 1e-4 as text
        try:
            return float(value)
        except ValueError:
            raise ValueError(f"{knob(path)}: expected a number, got {value!r}") from None
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{knob(path)}: expected {hint.__name__}, got {value!r}")
    return value


def override(values: dict[str, Any], flags: list[str]) -> dict[str, Any]:
    """Nested values with dotted flags put in: ['--train.epochs', '8', '--weigh.criterion=hard'].

    Raises:
        ValueError: a flag without a value, something that is no flag.
    """
    values = copy.deepcopy(values)
    rest = list(flags)
    while rest:
        flag = rest.pop(0)
        if not flag.startswith("--") or "." not in flag:
            raise ValueError(f"{flag}: unknown argument; settings look like --train.epochs 8 (see --help)")
        name, equals, text = flag[2:].partition("=")
        if not equals:
            if not rest:
                raise ValueError(f"{flag}: needs a value")
            text = rest.pop(0)
        *parents, last = name.replace("-", "_").split(".")
        into = values
        for depth, key in enumerate(parents):
            if not isinstance(into.get(key), dict):
                raise ValueError(unknown_knob(".".join([*parents[: depth + 1], last]), sorted(dotted(values))))
            into = into[key]
        if last not in into and parents[-1] not in ("models",):
            raise ValueError(unknown_knob(".".join([*parents, last]), sorted(dotted(values))))
        into[last] = yaml.safe_load(text)
    return values


def dotted(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested -> {"train.epochs": 4}."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
