"""The configuration of a run: a recipe or the folder's own, then a file, then settings one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from synvita import inventory, stages
from synvita.core.reading import read_yaml
from synvita.core.run_folder import claim_run
from synvita.core.settings import build, merge, override
from synvita.recipes import RunConfig, recipe

BEGINS = ("demo", "triplets")  # commands that make a run folder


def settle(
    run: Path,
    command: str,
    name: str | None = None,
    file: Path | None = None,
    flags: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    claim: bool = True,
    default: str = "mini",
    restrict: Callable[[dict[str, Any]], dict[str, Any]] = lambda values: values,
) -> RunConfig:
    """The run's configuration, checked for what a command needs of it; claims the folder if asked.

    Args:
        command: `generate`, `weigh` and so on. name: of a recipe (default: the folder's own configuration, else
            `default`). file: YAML with settings that differ. flags: `--train.epochs`, `2`, ... settings: the same, as
            nested values. restrict: what else is done to the values before they are checked.
    Raises:
        ValueError: a setting that cannot be, by its knob; no run folder; settings that something there was not made
            with.
    """
    stored = run / "config.yaml"
    values = read_yaml(stored) if stored.exists() and name is None else recipe(name or default).as_dict()
    if file is not None:
        if not file.exists():
            raise ValueError(f"--config: {file}: no such file")
        values = merge(values, read_yaml(file))
    values = restrict(override(merge(values, dict(settings or {})), list(flags)))
    config: RunConfig = build(RunConfig, values)
    if command not in BEGINS and not stored.exists():
        raise ValueError(f"--run: {run} is no run folder (no config.yaml); begin with synvita triplets")
    stages.check_backends(config, command)
    inventory.check_stamps(run, config)
    if claim:
        claim_run(run, config.as_dict(), lambda there: build(RunConfig, there).as_dict())
    return config


def nested(settings: Any) -> dict[str, Any]:
    """{"train.epochs": 2} -> {"train": {"epochs": 2}}; what is nested already stays.

    ValueError: no settings by name.
    """
    if not isinstance(settings, Mapping) or not all(isinstance(key, str) and key for key in settings):
        raise ValueError(f'settings: {settings!r} given; give values by name like {{"train.epochs": 2}}')
    found: dict[str, Any] = {}
    for key, value in settings.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        found = merge(found, value)
    return found
