"""Configuration from YAML and dotted flags into frozen dataclasses, with errors that name the knob as it was typed."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import math
import reprlib
import types
import typing
from typing import Any, TypeVar

from synvita.core.reading import check_keys, parse_yaml

T = TypeVar("T")


OPEN = ("generators", "scorers", "models")  # sections whose entries have names and settings that nobody knows before
KINDS = {int: "a whole number", str: "text", bool: "true or false"}


def knob(path: str) -> str:
    """'train.shared_tokens' -> '--train.shared-tokens'."""
    return "--" + path.replace("_", "-")


def choose(knob: str, value: str, known: tuple[str, ...]) -> None:
    """ValueError: none of the known values."""
    if value not in known:
        raise ValueError(f"{knob}: unknown {value!r}; known: {', '.join(known)}")


def check_number(knob: str, value: float, zero: bool = True) -> None:
    """ValueError: NaN, infinite or negative; 0 unless `zero`. (Compared, not converted: integers may be huge.)"""
    if not -math.inf < value < math.inf:
        raise ValueError(f"{knob}: {value} is not a finite number")
    if value < 0 and zero:
        raise ValueError(f"{knob}: {value} is negative")
    if value <= 0 and not zero:
        raise ValueError(f"{knob}: {value} is not a positive number")


def build(kind: type[T], values: Any, path: str = "") -> T:
    """A dataclass from nested plain values; its own checks may raise ValueError.

    Raises:
        ValueError: unknown knob (with the nearest known one), or a value of the wrong type.
    """
    hints = typing.get_type_hints(kind)
    if not isinstance(values, dict):
        raise ValueError(f"{knob(path.rstrip('.'))}: expected settings by name, got {reprlib.repr(values)}")
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
    if hint is Any:
        return value
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
            raise ValueError(f"{knob(path)}: expected a list like a,b, got {reprlib.repr(value)}")
        return tuple(convert(arguments[0], item, path) for item in items)
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{knob(path)}: expected settings by name, got {reprlib.repr(value)}")
        return {key: convert(arguments[1], item, f"{path}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)  # YAML reads 1e-4 as text
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"{knob(path)}: expected a finite number, got {reprlib.repr(value)}")
        return number
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{knob(path)}: expected {KINDS.get(hint, hint.__name__)}, got {reprlib.repr(value)}")
    return value


def override(values: dict[str, Any], flags: list[str]) -> dict[str, Any]:
    """Nested values with dotted flags put in: ['--train.epochs', '8', '--weigh.criterion=hard'].

    A flag with settings by name (`--train.arms '{mine: {weights: learned}}'`) means what the same lines in a file mean:
    they are put over what is there.

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
        typed = name.split(".")
        open_ended = typed[0] in OPEN and len(typed) > 1
        *parents, last = [p if open_ended and i == 1 else p.replace("-", "_") for i, p in enumerate(typed)]
        into = values
        for depth, key in enumerate(parents):
            if open_ended:
                into.setdefault(key, {})
            if not isinstance(into.get(key), dict):
                raise ValueError(unknown_knob(".".join([*parents[: depth + 1], last]), sorted(dotted(values))))
            into = into[key]
        if last not in into and not open_ended:
            raise ValueError(unknown_knob(".".join([*parents, last]), sorted(dotted(values))))
        value = parse_yaml(text, flag)
        if isinstance(value, dict):
            check_keys(value, flag)
        into[last] = merge({last: into.get(last)}, {last: value})[last]
    return values


def merge(values: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """`given` over `values`, nested: what it does not name stays. Unknown knobs are found later by name."""
    merged = dict(values)
    for key, value in given.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def dotted(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested -> {"train.epochs": 4}."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
