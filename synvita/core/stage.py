"""The one shape of work that goes item by item: clips to make, clips to score.

A stage says what there is to do and how a batch of it is done. Everything else (the lock, what is there already,
batches, workers, progress, writing, what is set aside) is an executor's: `synvita.executors`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from synvita.core.reading import read_json
from synvita.core.settings import dotted
from synvita.core.store import write_atomic


@dataclass(frozen=True)
class SetAside:
    """An item that gave no record, and why; it is named in the run's summary and tried again by the next call."""

    reason: str


@dataclass(frozen=True)
class Resources:
    """What one worker of a stage takes: `gpus` may be a share; `cpus` are threads."""

    gpus: float = 0.0
    cpus: int = 1


def resources_of(options: Mapping[str, Any]) -> Resources:
    """Of a part that works on the device which its options name: an accelerator is a whole one."""
    on_gpu = options.get("device_map") is not None or str(options.get("device", "cpu")).split(":")[0] != "cpu"
    return Resources(gpus=float(on_gpu))


class Stage(Protocol):
    """What an executor needs of a stage. It travels to workers before `setup`, so until then it holds settings only.

    command: what a user types to run it. what: a few words for the progress bar.
    folder: where its records and its stamp live, below the run folder. file: the name of its record file there.
    key_field: the field of a record that holds its item's key. unique: the fields that no two records share.
    batch: how many items `work` gets at once.
    whole: the file holds the items and nothing else; False: what others have left stays.
    retry: may be there: what goes on where a run ended, in a message (default: the command on its run folder).
    share(stages): may be there, static: called with stages that work side by side in one process, once each is set up,
        so that what one reads of an item serves all.
    part_of(item): may be there: a number; batches are made of items of one number.
    stamp: settings and revision, the identity of what it makes: the same folder with another stamp is refused.
    """

    command: str
    what: str
    folder: str
    file: str
    key_field: str
    unique: tuple[str, ...]
    batch: int
    whole: bool
    resources: Resources

    @property
    def stamp(self) -> dict[str, Any]: ...

    def items(self, run: Path) -> list[Any]:
        """Everything that there is to do, from records alone: no model is loaded."""

    def key(self, item: Any) -> str:
        """The item's name, the same on every machine; no two items share one."""

    def is_done(self, run: Path, item: Any, records: Sequence[dict[str, Any]]) -> bool:
        """Whether the records that are there under the item's key are all that it needs."""

    def setup(self) -> None:
        """Once per worker, before its first batch: load the model. ValueError: it cannot be loaded; ends the run."""

    def work(self, run: Path, batch: Sequence[Any]) -> list[list[Any] | SetAside]:
        """Per item, its records, or why there are none. Files that a record names are complete when it returns."""

    def close(self) -> None:
        """End what `setup` began; also called where it never was."""


def batches_of(stage: Stage, items: dict[str, Any]) -> list[list[str]]:
    """Keys in batches of items of one part, in the order of parts and keys; most stages have one part only."""
    part_of = getattr(stage, "part_of", lambda _: 0)
    parts: dict[Any, list[str]] = {}
    for key, item in items.items():
        parts.setdefault(part_of(item), []).append(key)
    every = [keys for _, keys in sorted(parts.items())]
    return [keys[i : i + stage.batch] for keys in every for i in range(0, len(keys), stage.batch)]


class Stamped(Protocol):
    """A folder that says what made it. `folder`, `stamp`: as of a `Stage`."""

    @property
    def folder(self) -> str: ...
    @property
    def stamp(self) -> dict[str, Any]: ...


def check_stamp(run: Path, stage: Stamped) -> bool:
    """Whether the stage's folder has a stamp already, which is then this stage's. One beside nothing says nothing: a
    run that could not begin has left it.

    Raises:
        ValueError: what is there was made otherwise: each difference as setting: there -> here, and the way out.
    """
    folder, path = run / stage.folder, run / stage.folder / "stamp.json"
    if not path.exists() or not any(p.stat().st_size for p in folder.iterdir() if p.name != path.name):
        return False
    there, here = dotted(read_json(path)), dotted(json.loads(json.dumps(stage.stamp)))
    differ = [f"{k}: {there.get(k)} -> {here.get(k)}" for k in sorted({*there, *here}) if there.get(k) != here.get(k)]
    if differ:
        raise ValueError(
            f"--run: {folder} was made otherwise ({'; '.join(differ[:5])}{'; ...' if len(differ) > 5 else ''}); "
            "go back to these settings, give it another name, or remove that folder"
        )
    return True


def claim_folder(run: Path, stage: Stamped) -> Path:
    """The stage's folder with its stamp in it. ValueError: as `check_stamp`."""
    if not check_stamp(run, stage):
        text = json.dumps(stage.stamp, indent=1, ensure_ascii=False)
        write_atomic(run / stage.folder / "stamp.json", f"{text}\n")
    return run / stage.folder
