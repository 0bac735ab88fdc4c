"""How large the base models are, so that a figure is read with the size of the model that gave it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from synvita.core.reading import read_json
from synvita.videollm.checkpoints import find_checkpoint
from synvita.videollm.claims import stored_shapes


def model_sizes(run: Path, homes: Sequence[str]) -> dict[str, int]:
    """Base model's name -> numbers in its checkpoint, from its headers; one that is not at hand is left out.

    Args:
        homes: the base models' folders, like `models/NAME`.
    """
    sizes = {}
    for home in homes:
        path = run / home / "stamp.json"
        name = read_json(path).get("model") if path.exists() else None
        if not isinstance(name, str):
            continue
        try:
            shapes = stored_shapes(find_checkpoint(name, fetch=False))
        except (ValueError, OSError):
            continue  # moved or not fetched here: the figures are what they are
        sizes[home.removeprefix("models/")] = sum(math.prod(shape) for shape in shapes.values())
    return sizes
