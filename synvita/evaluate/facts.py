"""What training and asking wrote down about an arm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synvita.core.reading import read_json
from synvita.evaluate.from_table import arms_from_tables


def arm_facts(home: Path, arm: str, seed: int) -> dict[str, Any]:
    """What a base model's `adapters/<arm>/<seed>/arm.json` says (the untrained model has none), and who was asked, or
    which table its scores were read from.

    Raises:
        ValueError: one of the files is not a JSON object.
    """
    facts: dict[str, Any] = {"weights_from": "nothing trained"}
    for path in (home / "adapters" / arm / str(seed) / "arm.json", home / "pairs" / arm / str(seed) / "model.json"):
        if path.exists():
            facts |= read_json(path)
    table = arms_from_tables(home, seed).get(arm)
    if table is not None:
        facts["weights_from"] = f"nothing trained; {table['column']} of {Path(table['table']).name}"
        facts["scores_from"] = table
    return facts
