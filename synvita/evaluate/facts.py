"""What training and asking wrote down about an arm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synvita.core.reading import read_json


def arm_facts(run: Path, arm: str, seed: int) -> dict[str, Any]:
    """What `adapters/<arm>/<seed>/arm.json` says (the untrained model has none), and the model that was asked.

    Raises:
        ValueError: one of the files is not a JSON object.
    """
    facts: dict[str, Any] = {"weights_from": "nothing trained"}
    for path in (run / "adapters" / arm / str(seed) / "arm.json", run / "pairs" / arm / str(seed) / "model.json"):
        if path.exists():
            facts |= read_json(path)
    return facts
