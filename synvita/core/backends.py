"""Parts that somebody may replace, by name: a generator, a scorer. What a configuration says of one stands under its
name:

    scorers:
      mine: {use: "my_module:MyScorer", checkpoint: some/folder, dtype: bfloat16, device: cuda}

`use` is a name that is known here or one's own module:Class (default: the part's own name); the rest goes to the class
as arguments. Modules are loaded only when a part is made, so a typo costs nothing.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from synvita.core.names import folder_name

# Where and how fast a part works: no part of what it makes, so it may differ from call to call.
PLACE = ("device", "device_map", "batch", "offload", "slicing")


def load_backend(table: Mapping[str, str], name: str, knob: str) -> Any:
    """The class that `table[name]` points at, or `name` itself if it is "module:Class".

    Raises:
        ValueError: unknown name; says the knob as typed, the nearest and all known names, how to plug in an own one.
    """
    check_known(table, name, knob)
    target = table.get(name, name)
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{knob}: cannot load {target!r}: {error}") from None


def check_known(table: Mapping[str, str], name: str, knob: str) -> None:
    """ValueError: neither in the table nor a module:Class."""
    if name not in table and ":" not in name:
        near = difflib.get_close_matches(name, table, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join(sorted(table))
        raise ValueError(f"{knob}: unknown {name!r}; {hint}known: {known}; or your own as 'module:Class'")


@dataclass(frozen=True)
class Part:
    """One named part of a configuration.

    section: where it stands, `generators` or `scorers`. knob: as somebody typed it, for errors.
    options: arguments of its class. batch: how many items it gets at once.
    """

    section: str
    name: str
    use: str
    options: dict[str, Any] = field(default_factory=dict)
    batch: int = 1
    knob: str = ""

    @classmethod
    def of(cls, section: str, name: str, entries: Mapping[str, Mapping[str, Any]], knob: str = "") -> Part:
        """`knob`: what names it, for errors where it has no entry of its own.

        Raises:
            ValueError: `batch` is no positive number, `use` no text.
        """
        options, own = dict(entries.get(name, {})), f"--{section}.{name}"
        use, batch = options.pop("use", name), options.pop("batch", 1)
        if not isinstance(use, str):
            raise ValueError(f"{own}.use: {use!r} is no name; give a known one or 'module:Class'")
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise ValueError(f"{own}.batch: {batch!r} is not a positive number")
        return cls(section, name, use, options, batch, own if name in entries or not knob else f"{knob}: {name}")

    @property
    def folder(self) -> str:
        """The name that its files get."""
        return folder_name(self.name, f"--{self.section}")

    @property
    def stamp(self) -> dict[str, Any]:
        """What it is by its configuration: the same name with another stamp is another part."""
        options = {key: value for key, value in sorted(self.options.items()) if key not in PLACE}
        return {"name": self.name, "use": self.use, "options": options}

    @classmethod
    def of_stamp(cls, section: str, stamp: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]]) -> Part:
        """The part that left a stamp, at the place where the configuration has it."""
        now = cls.of(section, stamp["name"], entries)
        place = {key: value for key, value in now.options.items() if key in PLACE}
        return cls(section, stamp["name"], stamp["use"], stamp["options"] | place, now.batch, now.knob)

    def make(self, table: Mapping[str, str], needs: tuple[str, ...]) -> Any:
        """An object of its class.

        Args:
            needs: methods that it must have.
        Raises:
            ValueError: it cannot be loaded; an argument that its class does not take or that is missing; a method that
                is missing.
        """
        kind = load_backend(table, self.use, self.knob)
        try:
            known = [name for name in inspect.signature(kind).parameters if name not in ("args", "kwargs")]
        except (TypeError, ValueError):
            raise ValueError(f"{self.knob}: {self.use} is no class") from None
        unknown = next((key for key in self.options if key not in known), None)
        if unknown is not None:
            near = difflib.get_close_matches(unknown, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known) or 'none'}"
            raise ValueError(f"{self.knob}.{unknown}: {self.use} takes no such setting; {hint}")
        try:
            made = kind(**self.options)
        except TypeError as error:
            raise ValueError(f"{self.knob}: {self.use} cannot be made: {error}") from error
        lacking = next((name for name in needs if not callable(getattr(made, name, None))), None)
        if lacking is not None:
            raise ValueError(f"{self.knob}: {self.use} has no {lacking}(); it needs {', '.join(needs)}")
        return made
