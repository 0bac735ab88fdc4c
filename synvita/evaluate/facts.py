"""What training and asking wrote down about an arm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def arm_facts(run: Path, arm: str, seed: int) -> dict[str, Any]:
    """What `adapters/<arm>/<seed>/arm.json` says (the untrained model has none), and the model that was asked."""
    facts: dict[str, Any] = {"weights_from": "nothing trained"}
    for path in (run / "adapters" / arm / str(seed) / "arm.json", run / "pairs" / arm / str(seed) / "model.json"):
        if path.exists():
            facts |= json.loads(path.read_text())
    return facts
