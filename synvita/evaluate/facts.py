"""What training wrote down about an arm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def arm_facts(run: Path, arm: str, seed: int) -> dict[str, Any]:
    """What `adapters/<arm>/<seed>/arm.json` says; the untrained model has none."""
    path = run / "adapters" / arm / str(seed) / "arm.json"
    return json.loads(path.read_text()) if path.exists() else {"weights_from": "nothing trained"}
