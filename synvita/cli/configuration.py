"""The configuration of a command: recipe or the folder's own, then --config, then flags."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any


def settled(arguments: argparse.Namespace, flags: list[str], claim: bool = True) -> Any:
    """The run's configuration: recipe or the folder's own, then --config, then flags; claims the folder if asked."""
    from synvita.api.configuration import settle
    from synvita.core.identity import VERIFY

    if arguments.verify:
        os.environ[VERIFY] = "1"
    return settle(
        arguments.run,
        arguments.command,
        arguments.recipe,
        arguments.config,
        flags,
        claim=claim,
        default="own_triplets" if getattr(arguments, "what", None) in ("import", "negatives") else "mini",
        restrict=lambda values: restrict(values, arguments),
    )


def restrict(values: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Flags that stand for other settings: `train --synthetic-types` and `--generators` are of every arm that uses
    synthetic clips, `weigh --device` is of every scorer that has a model."""
    if arguments.command == "generate" and arguments.best_of is not None:
        values["generate"] = dict(values.get("generate") or {}) | {"best_of": arguments.best_of}
    if arguments.command == "generate" and arguments.from_first_frame:
        names = (arguments.generators or values.get("generate", {}).get("generator", "")).split(",")
        entries = values.setdefault("generators", {})
        entries |= {name: dict(entries.get(name, {})) | {"from_first_frame": True} for name in names if name}
    if arguments.command == "weigh":
        select(values, arguments)
    if arguments.command == "weigh" and arguments.device is not None:
        place(values, arguments)
    if arguments.command != "train":
        return values
    for name in ("synthetic_types", "generators"):
        given: str = getattr(arguments, name, None) or ""
        train = values.get("train")
        arms = train.get("arms") if isinstance(train, dict) and given else None
        for arm in arms.values() if isinstance(arms, dict) else ():
            if isinstance(arm, dict) and arm.get("weights", "none") != "none":
                arm[name] = given.split(",")
    return values


def select(values: dict[str, Any], arguments: argparse.Namespace) -> None:
    """`weigh --select best --judge S`, `--select all`. ValueError: one without the other."""
    weigh = dict(values.get("weigh") or {})
    if arguments.judge is not None and arguments.select != "best":
        raise ValueError(f"--judge: {arguments.judge} chooses nothing; give --select best, too")
    if arguments.select == "best":
        weigh["judge"] = weigh.get("judge") if arguments.judge is None else arguments.judge
        if not weigh["judge"]:
            raise ValueError("--select best: nobody chooses; give --judge with a scorer, or an ensemble like a+b")
    elif arguments.select == "all":
        weigh["judge"] = ""
    values["weigh"] = weigh


def place(values: dict[str, Any], arguments: argparse.Namespace) -> None:
    from synvita.core.artefacts import TRUTH
    from synvita.core.settings import build
    from synvita.recipes import RunConfig

    names = build(RunConfig, values).weigh.every if arguments.scorers is None else arguments.scorers.split(",")
    entries = values.setdefault("scorers", {})
    for name in names:
        if name not in TRUTH:
            entries[name] = dict(entries.get(name, {})) | {"device": arguments.device}


def run_config(a: argparse.Namespace, flags: list[str]) -> int:
    import yaml

    from synvita.core.settings import build, override
    from synvita.recipes import RunConfig, recipe

    config = build(RunConfig, override(recipe(a.recipe).as_dict(), flags))
    sys.stdout.write(yaml.safe_dump(config.as_dict(), sort_keys=False))
    return 0


def refuse(flags: list[str]) -> None:
    if flags:
        raise ValueError(f"{flags[0]}: unknown argument (see --help)")
