"""Stage 2: a synthetic video for each negative caption."""

from __future__ import annotations

from typing import Any


def load(name: str, **settings: Any) -> Any:
    """A generator (`generate.generator.Generator`) by its name, or one's own module:Class; `settings` go to its class.

    ValueError: nobody knows it, or it takes no such setting.
    """
    from synvita.generate.clips import generator_part
    from synvita.generate.generator import load_generator

    return load_generator(generator_part(name, {name: settings}))
