"""Training states on disk: whole or absent, resumed bit for bit, refused where data or settings have changed.

    checkpoints/<arm>/<seed>/begun.json          settings and data that the training began with
                             log.jsonl           one line per step
                             step-000100/        adapter.safetensors, optimizer.pt, state.json

No random state is stored: what is random in a step (dropout, order) is seeded by the step's own name.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synvita.core.provenance import digest
from synvita.core.reading import read_json
from synvita.core.run_folder import remove
from synvita.core.settings import dotted
from synvita.core.store import as_line, parse_lines, write_atomic
from synvita.train.prepare import Prepared

KEPT = 2  # the last two: one may be on a disk that is about to fail


@dataclass(frozen=True)
class State:
    """Everything that the rest of the training depends on, besides data and settings."""

    step: int
    adapter: dict[str, Tensor]
    optimizer: dict[str, Any]
    best: dict[str, Any]


def data_digest(examples: list[Prepared]) -> dict[str, str]:
    """Example id -> digest of all that training reads of it (token ids, answers, weights, videos' names)."""
    return {e.id: digest([[vars(q) for q in e.questions], [vars(p) for p in e.pairs]]) for e in examples}


def begin(folder: Path, settings: dict[str, Any], data: dict[str, str]) -> None:
    """Say what is trained here, or check that it is what was begun.

    Raises:
        ValueError: other settings or other data, with what differs.
    """
    path = folder / "begun.json"
    if not path.exists():
        write_atomic(path, json.dumps({"settings": settings, "data": data}))
        return
    there = read_json(path, ["settings", "data"])
    was, now = dotted(there["settings"]), dotted(json.loads(json.dumps(settings)))
    changed = [f"{k}: {was.get(k)} -> {now.get(k)}" for k in sorted({*was, *now}) if was.get(k) != now.get(k)]
    for what, ids in (
        ("added", set(data) - set(there["data"])),
        ("gone", set(there["data"]) - set(data)),
        ("changed", {k for k in data if there["data"].get(k, data[k]) != data[k]}),
    ):
        if ids:
            changed.append(f"{len(ids)} examples {what}, the first is {min(ids)}")
    if changed:
        raise ValueError(f"{folder}: began otherwise ({'; '.join(changed)}); remove this folder to begin anew")


def drop(path: Path) -> None:
    """Remove an entry of a checkpoint folder, never what a link there points to.

    What a disk will not give up, or another process removes at the same moment, is no reason to stop a training.
    """
    with contextlib.suppress(OSError):
        remove(path, path.parent)


def save_state(folder: Path, state: State) -> Path:
    """Write a checkpoint beside the earlier ones: nothing is lost if the disk is full or the process is killed."""
    from safetensors.torch import save_file

    final = folder / f"step-{state.step:06d}"
    part = folder / f".{final.name}.{os.getpid()}.part"
    drop(part)
    part.mkdir(parents=True)
    try:
        save_file({k: v.contiguous() for k, v in state.adapter.items()}, part / "adapter.safetensors")
        torch.save(state.optimizer, part / "optimizer.pt")
        (part / "state.json").write_text(json.dumps({"step": state.step, "best": state.best}), encoding="utf-8")
        for file in part.iterdir():
            with file.open("rb") as written:
                os.fsync(written.fileno())
        drop(final)
        part.rename(final)
    except RuntimeError as error:  # torch's writer says so when a disk is full
        raise OSError(f"{final}: the checkpoint could not be written ({str(error).splitlines()[0]})") from error
    finally:
        drop(part)
    for old in saved_states(folder)[:-KEPT]:
        drop(old)
    return final


def saved_states(folder: Path) -> list[Path]:
    """Whole checkpoints, the oldest first; what a kill left half-written is removed."""
    for torn in folder.glob(".step-*.part"):
        drop(torn)
    return sorted(p for p in folder.glob("step-*") if (p / "state.json").exists())


def load_state(folder: Path) -> State | None:
    """The latest checkpoint, or None."""
    from safetensors.torch import load_file

    found = saved_states(folder)
    if not found:
        return None
    last = found[-1]
    state = read_json(last / "state.json", ["step", "best"])
    optimizer = torch.load(last / "optimizer.pt", map_location="cpu", weights_only=True)
    return State(state["step"], load_file(last / "adapter.safetensors"), optimizer, state["best"])


def cut_log(path: Path, step: int) -> None:
    """Forget what was logged after the checkpoint that training goes on from."""
    if path.exists():
        kept = [fields for _, fields in parse_lines(path) if fields["step"] <= step]
        write_atomic(path, "".join(as_line(fields) for fields in kept))


def save_best(folder: Path, adapter: dict[str, Tensor]) -> None:
    from safetensors.torch import save

    write_atomic(folder / "best.safetensors", save({k: v.contiguous() for k, v in adapter.items()}))


def load_best(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "best.safetensors")
