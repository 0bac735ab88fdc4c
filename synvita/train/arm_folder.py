"""The folders of an arm: made, replaced and removed by name, so names are checked and no link leads out of the run."""

from __future__ import annotations

from pathlib import Path

from synvita.core.identity import Digests
from synvita.core.reading import read_json
from synvita.core.run_folder import again
from synvita.train.arms import check_arm
from synvita.train.config import check_seed


def adapter_folder(run: Path, home: str, arm: str, seed: int) -> Path:
    """`adapters/<arm>/<seed>` of a base model's folder `home`, absolute. ValueError: as `_below`."""
    return _below(run, home, "adapters", arm, seed)


def checkpoint_folder(run: Path, home: str, arm: str, seed: int) -> Path:
    """`checkpoints/<arm>/<seed>` of a base model's folder `home`, absolute. ValueError: as `_below`."""
    return _below(run, home, "checkpoints", arm, seed)


def is_trained(home: Path, arm: str, seed: int) -> bool:
    return (home / "adapters" / arm / str(seed) / "arm.json").exists()


def adapter_digest(run: Path, home: str, arm: str, seed: int) -> str:
    """Of an arm's adapter, which is the one that was trained there.

    Raises:
        ValueError: it is gone; it is another one, or another arm's.
    """
    folder = adapter_folder(run, home, arm, seed)
    facts = read_json(folder / "arm.json")
    file, digests = f"{home}/adapters/{arm}/{seed}/adapter_model.safetensors", Digests(run)
    way_out = f"remove {folder} and train it again: {again('train', run)} --arms {arm}"
    if not (run / file).is_file():
        raise ValueError(f"--run: {run / file}: gone; {way_out}")
    found = digests.of(file)
    digests.save()
    if facts.get("arm", arm) != arm or facts.get("adapter", found) != found:
        raise ValueError(f"--run: {run / file}: not the adapter that was trained as arm {arm!r}; {way_out}")
    return found


def _below(run: Path, home: str, kind: str, arm: str, seed: int) -> Path:
    """ValueError: a name or seed that is no folder's; a link that leads out of the run folder."""
    top = run.resolve()
    path = top / home / kind / check_arm(arm) / str(check_seed(seed))
    if top not in path.resolve().parents:
        raise ValueError(f"{path}: a link leads out of {run}; remove it (the whole run folder may be a link)")
    return path


def set_aside_by(run: Path, home: str, arm: str, seed: int) -> dict[str, str]:
    """{video: reason} of what a finished arm was trained without, as its `arm.json` says; {} if it used everything.

    Unlike other stages, a finished training does not try again what it set aside: its adapter is what it is. A second
    call reads the same answer; to train with mended videos, remove the arm's folder.

    Raises:
        ValueError: the arm is not trained (the untrained model, too); `arm.json` was edited.
    """
    path = adapter_folder(run, home, arm, seed) / "arm.json"
    if not path.exists():
        raise ValueError(f"--run: {run} has no trained arm {arm!r} of seed {seed}; first run: {again('train', run)}")
    rows = read_json(path, ["set_aside"])["set_aside"]
    try:
        return {str(row["video"]): str(row["reason"]) for row in rows}
    except (TypeError, KeyError):
        raise ValueError(
            f"{path}: set_aside is not a list of video and reason; remove {path.parent} to train again"
        ) from None
