"""Where a model name leads: a shipped tiny checkpoint, a folder, or a name on the model hub."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from synvita.core.provenance import folder_digest
from synvita.core.reading import read_json

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
SHIPPED = Path(__file__).parent.parent / "world" / "checkpoints"


def look_for(name: str | Path, knob: str) -> None:
    """Refuse a name that cannot lead to a checkpoint, without loading or fetching anything.

    Raises:
        ValueError: neither shipped, nor a checkpoint's folder, nor like owner/name, nor a module:Class that is there.
    """
    module, colon, _ = str(name).partition(":")
    if colon and not Path(name).exists():
        try:
            there = importlib.util.find_spec(module) is not None
        except (ImportError, ValueError):
            there = False
        if not there:
            raise ValueError(f"{knob}: cannot load {str(name)!r}: no module {module!r} is there; check PYTHONPATH")
        return
    if not HUB_NAME.fullmatch(str(name)) or Path(name).is_dir():
        find_checkpoint(name, knob)


def find_checkpoint(name: str | Path, knob: str = "--model", fetch: bool = True) -> Path:
    """The folder of a checkpoint.

    `mini-video-llava` and the like are shipped; a folder is taken as it is; `owner/name` is fetched from the hub; with
    `fetch` False it must have been.
    """
    folder = Path(name)
    if (SHIPPED / str(name) / "config.json").exists():
        return SHIPPED / str(name)
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise ValueError(f"{knob}: {name}: no config.json in this folder; not a checkpoint")
        return folder
    if HUB_NAME.fullmatch(str(name)):
        from huggingface_hub import snapshot_download

        try:
            return Path(snapshot_download(str(name), local_files_only=not fetch))
        except Exception as error:
            raise ValueError(
                f"{knob}: {name}: neither a folder nor reachable on the hub ({type(error).__name__})"
            ) from None
    shipped = ", ".join(sorted(p.name for p in SHIPPED.iterdir())) if SHIPPED.is_dir() else "none"
    raise ValueError(f"{knob}: {name}: no such folder; shipped: {shipped}; or a hub name owner/name")


def miniature_warning(name: str | Path, knob: str = "--model") -> str | None:
    """One line for people whose videos are real, if `name` is a shipped tiny checkpoint or a path to one."""
    for folder in (SHIPPED / str(name), Path(name)):
        if folder.resolve().parent == SHIPPED.resolve() and (folder / "config.json").is_file():
            known = folder.resolve().name
            return f"{known} knows coloured shapes only; its numbers on real videos mean nothing; give {knob}"
    return None


def quiet() -> None:
    """No bars and advice from the model library between our own lines; errors still come through."""
    import warnings

    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")


@contextlib.contextmanager
def readable(folder: Path, knob: str = "--model") -> Iterator[None]:
    """While a checkpoint is read: whatever a model library says of a damaged one becomes one line with the folder.

    Raises:
        ValueError: the folder, the reason, the way out. MemoryError: too large for this machine.
    """
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:400] or type(error).__name__
        if isinstance(error, MemoryError) and reason.startswith("--"):
            raise
        if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "allocate memory" in reason:
            way_out = "take a smaller model, --dtype bfloat16, or a machine with more"
            raise MemoryError(f"{knob}: {folder}: not enough memory to load it; {way_out}") from error
        if isinstance(error, ValueError) and reason.startswith("--"):
            raise
        if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
            where = "" if str(folder) in reason else f"{folder}: "
            raise ValueError(f"{knob}: {where}{reason}") from error
        text = f"{knob}: {folder}: not a usable checkpoint ({type(error).__name__}: {reason}); fetch it again"
        raise ValueError(text) from error


def model_type(folder: Path) -> str:
    """ValueError: a config.json that is no JSON object."""
    return str(read_json(folder / "config.json").get("model_type", "unknown"))


def revision_by_name(name: str, knob: str) -> str:
    """What names the weights that a name leads to, without fetching or loading them: a name on the hub, or one's own
    module:Class, stands for itself.

    Raises:
        ValueError: as `look_for`.
    """
    look_for(name, knob)
    if (SHIPPED / name).is_dir() or Path(name).is_dir():
        return revision_of(find_checkpoint(name, knob))
    return name


def revision_of(folder: Path) -> str:
    """What names the weights: the commit of a hub snapshot, else a digest of the files."""
    if re.fullmatch("[0-9a-f]{40}", folder.name) and folder.parent.name == "snapshots":
        return folder.name
    return folder_digest(folder)
