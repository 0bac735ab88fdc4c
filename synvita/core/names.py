"""Names that become folder names: checked where they are read, so that no name leads out of a run folder."""

from __future__ import annotations

import re
from typing import Any

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def check_name(knob: str, value: Any) -> str:
    """`value`, if it can be a folder's name.

    Raises:
        ValueError: not text, too long, or with anything but letters, digits and _ . - (none of these first).
    """
    if not isinstance(value, str) or NAME.fullmatch(value) is None:
        raise ValueError(
            f"{knob}: {str(value)[:80]!r} cannot be a folder's name; "
            "take 1 to 64 letters, digits or _ . - and begin with a letter or digit"
        )
    return value


def hub_name(text: str) -> bool:
    """Whether it is written like a repository of a model hub, owner/name."""
    return HUB_NAME.fullmatch(text) is not None


def folder_name(backend: str, knob: str) -> str:
    """The name that a backend's files get: its own, or the last part of `module:Class`, `owner/name` or a path."""
    return check_name(knob, re.split(r"[:/\\]", backend.rstrip("/\\"))[-1])
