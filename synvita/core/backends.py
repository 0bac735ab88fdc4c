"""Load "module:Class" lazily, so that importing synvita needs no model library and a typo lists what exists."""

from __future__ import annotations

import importlib
from typing import Any


def load_backend(table: dict[str, str], name: str, knob: str) -> Any:
    """The class that `table[name]` points at, or `name` itself if it is "module:Class".

    Raises:
        ValueError: unknown name; says the knob as typed, the known names, and how to plug in an own one.
    """
    target = table.get(name, name if ":" in name else None)
    if target is None:
        known = ", ".join(sorted(table))
        raise ValueError(f"{knob}: unknown {name!r}; known: {known}; or your own as 'module:Class'")
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{knob}: cannot load {target!r}: {error}") from None
