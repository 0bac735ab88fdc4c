"""One folder per run. It belongs to one resolved configuration; another one is refused with what differs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from synvita.core.reading import read_yaml
from synvita.core.settings import dotted
from synvita.core.store import write_atomic

# What depends on a part of the settings; until it is there they may still change. Clips, scores and base models carry
# their own stamps, so others may be added beside them, but clips and weights not under arms that were trained on them.
MADE = {
    "world": ("triplets.jsonl",),
    "generators": (),
    "scorers": (),
    "models": (),
    "generate": ("models/*/*/*",),
    "weigh": ("models/*/*/*",),
    "train": (),
    "evaluate": (),
}

OLD = ("clips.jsonl", "scores.jsonl", "weights.jsonl", "adapters", "pairs")  # of versions before stamps


def claim_run(
    run: Path, config: dict[str, Any], complete: Callable[[dict[str, Any]], dict[str, Any]] = lambda stored: stored
) -> None:
    """Write `config.yaml`, or check that the folder's is the same as far as stages have used it.

    `complete` fills in what a folder of an earlier version does not say.

    Raises:
        ValueError: the folder belongs to another configuration (each difference as knob: there -> here), or holds
            something else than a run.
    """
    path = run / "config.yaml"
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    if not path.exists():
        if run.exists() and not run.is_dir():
            raise ValueError(f"--run: {run} is a file; give a folder")
        others = [p.name for p in run.iterdir() if not p.name.startswith(".")] if run.exists() else []
        if others:
            raise ValueError(f"--run: {run} holds {sorted(others)[0]!r} but no config.yaml; give a new or empty folder")
        write_atomic(path, text)
        return
    old = next((name for name in OLD if (run / name).exists()), None)
    if old is not None:
        way_out = "begin a new folder (triplets and clips can be imported again)"
        raise ValueError(f"--run: {run} was made by an earlier version (it holds {old} at its top); {way_out}")
    there, here = dotted(complete(read_yaml(path))), dotted(yaml.safe_load(text))
    differ = [k for k in sorted({*there, *here}) if there.get(k) != here.get(k)]
    used = [k for k in differ if any(any(run.glob(made)) for made in made_with(k))]
    if differ and not used:
        write_atomic(path, text)
    if used:
        changed = [f"{k}: {there.get(k)} -> {here.get(k)}" for k in used]
        raise ValueError(
            f"--run: {run} belongs to another configuration ({'; '.join(changed[:5])}"
            f"{'; ...' if len(changed) > 5 else ''}); give another folder or the configuration in {path}"
        )


def again(command: str, run: Path) -> str:
    """A command that somebody can paste into a shell: `synvita weigh --run 'my run'`."""
    return f"synvita {command} --run {shlex.quote(str(run))}"


def need(run: Path, name: str, command: str) -> Path:
    """A file that an earlier stage writes; ValueError names the command that makes it."""
    path = run / name
    if not path.exists():
        raise ValueError(f"--run: {run} has no {name}; first run: {again(command, run)}")
    return path


def made_with(knob: str) -> list[str]:
    """What may have been made with a setting: an arm's own settings have only made that arm's files."""
    parts = knob.split(".")
    if parts[0] == "train" and parts[1] == "arms":
        return [f"models/*/*/{parts[2]}"]
    if parts[0] == "models" and parts[2:3] == ["arms"]:
        return [f"models/{parts[1]}/*/{parts[3]}"]
    return list(MADE.get(parts[0], ("config.yaml",)))


def remove(path: Path, run: Path) -> None:
    """Remove a file or folder of a run, if it is there: the one place that removes, and only below the run folder.

    Raises:
        ValueError: the path, links followed, is not below `run`: nothing is touched.
    """
    if not path.exists() and not path.is_symlink():
        return
    inside = path.parent.resolve() / path.name  # a link itself may go, what it points to may not
    below = path.relative_to(run) if path.is_relative_to(run) else path.name  # the run itself may be written with ..
    if ".." in Path(below).parts or run.resolve() not in inside.parents:
        raise ValueError(f"{path}: is not below {run}; nothing outside a run folder is ever removed")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def only_one(run: Path, what: str) -> Iterator[None]:
    """Hold a lock, so that two processes never do the same stage of one run; the second is refused."""
    run.mkdir(parents=True, exist_ok=True)
    lock = (run / f".{what.replace('/', '-')}.lock").open("w")
    for patience in (0.5, 0.5, 1.0, 1.0, 0.0):  # the children of a killed run need a moment to notice
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if not patience:
                lock.close()
                text = f"--run: another process is at work on {what!r} in {run}; wait for it or stop it"
                raise ValueError(text) from None
            time.sleep(patience)
    try:
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
    finally:
        lock.close()
