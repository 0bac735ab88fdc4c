"""What people give to functions: a value of a wrong type is refused with the argument's name and the way out."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def refuse(name: str, value: Any, way_out: str) -> ValueError:
    shape = getattr(value, "shape", None)
    array = f"{getattr(value, 'dtype', '')} {type(value).__name__} of shape {shape and tuple(shape)}".strip()
    kind = reprlib.repr(value) if shape is None else array
    return ValueError(f"{name}: {kind} given; give {way_out}")


def path(name: str, value: Any, way_out: str = "a path, as text or pathlib.Path") -> Path:
    """ValueError: neither text nor a path, or empty."""
    if not isinstance(value, (str, os.PathLike)) or not str(value):
        raise refuse(name, value, way_out)
    return Path(value)


def text(name: str, value: Any, way_out: str = "text") -> str:
    if not isinstance(value, str) or not value:
        raise refuse(name, value, way_out)
    return value


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise refuse(name, value, "True or False")
    return value


def whole(name: str, value: Any, least: int = 1) -> int:
    """A number that counts something."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise refuse(name, value, f"a whole number from {least} on")
    return value


def names(name: str, value: Any) -> list[str] | None:
    """A list of names, or None; one string is a list of one."""
    if value is None:
        return None
    some = [value] if isinstance(value, str) else value
    if not isinstance(some, Iterable) or isinstance(some, (bytes, dict)) or not (listed := list(some)):
        raise refuse(name, value, 'names like ["a", "b"], or None for all')
    return list(dict.fromkeys(text(f"{name}[{i}]", one, "a name") for i, one in enumerate(listed)))


def captions(name: str, value: Any) -> list[str]:
    """A list of texts; one string is a list of one. ValueError: none, or one that is no text, by its place."""
    some = [value] if isinstance(value, str) else value
    if not isinstance(some, Iterable) or isinstance(some, (bytes, dict)):
        raise refuse(name, value, "a caption or a list of captions")
    listed = list(some)
    if not listed:
        raise ValueError(f"{name}: none given; give at least one")
    for number, one in enumerate(listed):
        if not isinstance(one, str):
            raise ValueError(f"{name}[{number}]: {reprlib.repr(one)} is not text; give a caption")
    return listed
