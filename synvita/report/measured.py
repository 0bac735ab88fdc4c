"""What was measured: which videos, how many seeds, how large a model, and what was set aside on the way."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from synvita.core.artefacts import read_clips
from synvita.core.records import Triplet
from synvita.core.run_folder import again
from synvita.core.run_tasks import with_own
from synvita.core.set_aside import read_set_aside
from synvita.core.vocabulary import arm_title, tasks
from synvita.report.pairs import seed_of, settings_of
from synvita.report.table import at

EXISTING = "existing"  # the generator that `generate --clips` writes down


def size(parameters: int) -> str:
    """2,054,528 -> 2.1 million"""
    for unit, name in ((10**9, "billion"), (10**6, "million")):
        if parameters >= unit:
            return f"{parameters / unit:.1f} {name}"
    return f"{parameters:,}"


def videos_text(run: Path) -> str:
    """Empty where the run does not say."""
    world = settings_of(run).get("world", "")
    if isinstance(world, dict):
        return f"the miniature's, a simulated world of moving coloured shapes (seed {world.get('seed', 0)})"
    return "real ones, of your own" if world is None else ""


def measured(run: Path, results: dict[str, Any], triplets: list[Triplet]) -> list[tuple[str, str]]:
    """(name, value) of the line under the verdict."""
    model = results.get("model", "")
    sizes = results.get("parameters") or {}
    parameters = f", {size(sizes[model])} parameters" if model in sizes else ""
    arms = results["arms"]
    tested = [t for t in with_own(tasks(), arms) if any(at(arm, t.name) for arm in arms.values())]
    pairs = sum(max((at(arm, t.name) or {}).get("expected", 0) for arm in arms.values()) for t in tested)
    training = sum(t.split == "train" for t in triplets)
    told = [f"{training:,} triplets for training"] if training or not pairs else []
    told += [f"{pairs:,} test pairs of {len(tested)} test{'s' if len(tested) > 1 else ''}"] if pairs else []
    trained = not all(arm.get("weights_from", "").startswith("nothing trained") for arm in results["arms"].values())
    repeat = "; synvita study repeats it" if settings_of(run).get("world") else ""
    seed = f"one (training seed {seed_of(run)}), so read it as a direction{repeat}" if trained else ""
    rows = [
        ("Videos", videos_text(run)),
        ("Model", f"{model}{parameters}" if model else ""),
        ("Seeds", seed),
        ("Data", ", ".join(told)),
        ("Clips", clips_text(run)),
    ]
    return [(name, value) for name, value in rows if value]


def clips_text(run: Path) -> str:
    """How many clips each generator made. Empty where there is none."""
    made = Counter(clip.generator for clip in read_clips(run).values())
    texts = {name: "that were there before" if name == EXISTING else f"by {name}" for name in made}
    return ", ".join(f"{number:,} {texts[name]}" for name, number in made.items())


def made_by(run: Path) -> str:
    return f"synvita report --run {shlex.quote(str(run))}"


# ---- set aside


def split_reason(reason: str) -> tuple[str, str]:
    """`file: what is wrong; the way out` -> (what is wrong, the way out); the way out is empty where none is given."""
    what, _, way_out = reason.rpartition("; ")
    return (what, way_out) if what else (reason, "")


def aside_rows(run: Path, arms: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(where, how many, the first one's reason, the way out), a row per stage and per arm that left videos out."""
    by_stage: dict[str, list[tuple[str, str]]] = {}
    for row in read_set_aside(run):
        by_stage.setdefault(row["stage"], []).append((row["id"], row["reason"]))
    for name, arm in arms.items():
        for row in arm.get("set_aside", []):
            by_stage.setdefault(f"train, {arm_title(name)}", []).append((row["video"], row["reason"]))
    found = []
    for stage, entries in by_stage.items():
        (reason, way_out), _ = Counter(split_reason(text) for _, text in entries).most_common(1)[0]
        command = stage.split()[0].rstrip(",")
        same = sum(split_reason(text) == (reason, way_out) for _, text in entries)
        more = f" (and {len(entries) - same:,} for other reasons)" if same < len(entries) else ""
        way_out = way_out or f"then once more: {again(command, run)}"
        found.append((stage, f"{len(entries):,}", reason.replace(f"{run}/", "") + more, way_out))
    return found
