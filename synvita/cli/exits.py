"""Exit statuses: their words for `--help`, and who left something out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from synvita.core.reading import read_json

EXIT = """
exit status: 0 done; 1 the machine failed (disk, memory); 2 wrong input; 3 done, but something was set aside, each with
its reason; 130 interrupted (run the same command again to go on).
"""


def left_out(run: Path, stage: str | None = None) -> int:
    """3, and a line on stderr, if a stage (default: any) set something aside; else 0."""
    from synvita.core.set_aside import read_set_aside

    rows = [row for row in read_set_aside(run) if stage is None or row["stage"].split()[0] == stage]
    if rows:
        sys.stderr.write(f"synvita: {len(rows)} set aside, named with their reasons in {run / 'set_aside.jsonl'}\n")
    return 3 if rows else 0


def trained_without(run: Path, config: Any, arms: list[str] | None = None, seed: int | None = None) -> int:
    """3, and a line on stderr, if videos or clips that arms were to be trained on could not be read; else 0."""
    from synvita.train.arm_folder import set_aside_by

    seed = config.train.seed if seed is None else seed
    home = config.train.home
    trained = [arm for arm in config.train.arms if arms is None or arm in arms]
    by_arm = {arm: reasons for arm in trained if (reasons := set_aside_by(run, home, arm, seed))}
    if by_arm:
        number = len({video for reasons in by_arm.values() for video in reasons})
        where = run / home / "adapters" / next(iter(by_arm)) / str(seed) / "arm.json"
        sys.stderr.write(f"synvita: {number} videos could not be trained on, named with their reasons in {where}\n")
    return 3 if by_arm else 0


def holes(run: Path) -> int:
    """3, and a line on stderr, if pairs or parts of a benchmark are missing from the figures; else 0."""
    results = read_json(run / "results.json", ["arms"])
    models = [results, *results.get("models", {}).values()]
    arms = [arm for model in models for arm in model["arms"].values()]
    entries = [entry for tasks in arms for entry in tasks.values() if isinstance(entry, dict)]
    missing = max((entry.get("missing", 0) for entry in entries), default=0)
    if missing:
        sys.stderr.write(f"synvita: {missing} pairs could not be scored; the reasons are in {run / 'models'}\n")
    short = {
        f"{size['n']} of {size['of']} {size['unit']}"
        for e in entries
        if (size := e.get("benchmark")) and size["n"] < size["of"]
    }
    for text in sorted(short):
        sys.stderr.write(f"synvita: a benchmark's files have {text}; the rest is in no figure\n")
    return 3 if missing or short else 0
