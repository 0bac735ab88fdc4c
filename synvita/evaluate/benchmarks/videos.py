"""The video files that a table names: by their paths where these fit, else by their ids."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synvita.evaluate.benchmarks.names import SUFFIXES, ById, video_id

KNOB = "--videos"


@dataclass(frozen=True)
class Videos:
    """paths: the table's path -> the file. missing, ambiguous: "path: why", in the table's order."""

    paths: dict[str, str]
    missing: list[str]
    ambiguous: list[str]


def find_videos(folder: Path, wanted: Sequence[str], absolute: bool = False) -> Videos:
    """The files of videos that a table names.

    A path that names a file relative to the folder means that one. Others are looked for anywhere below, by their ids,
    because published tables hold the paths of other machines.

    Args:
        absolute: an absolute path to a file means that one, too.
    Raises:
        FileNotFoundError: no such folder. ValueError: a file.
    """
    if not folder.exists():
        raise FileNotFoundError(2, "no such folder", f"{KNOB}: {folder}")
    if not folder.is_dir():
        raise ValueError(f"{KNOB}: {folder} is a file; give the folder of the videos")
    root = folder.resolve()
    found = Videos({}, [], [])
    known: ById | None = None
    for path in dict.fromkeys(wanted):
        named = named_file(root, path, absolute)
        if named is not None:
            found.paths[path] = named
            continue
        known = known or ById(video_files(root))
        fits = known.find(path)
        if len(fits) == 1:
            found.paths[path] = fits[0]
        elif fits:
            found.ambiguous.append(f"{path}: {' or '.join(fits[:3])}")
        else:
            found.missing.append(f"{path}: no file {video_id(path)}.* below {folder}")
    return found


def named_file(root: Path, path: str, absolute: bool) -> str | None:
    """The file that a path names, which a relative one does below `root` only; None: no such file."""
    file = Path(os.path.normpath(root / path))
    allowed = absolute if Path(path).is_absolute() else file.is_relative_to(root)
    return file.as_posix() if allowed and file.is_file() else None


def video_files(root: Path) -> list[str]:
    files = []
    for at, folders, names in os.walk(root, followlinks=True):
        folders.sort()
        files += [Path(at, name).as_posix() for name in sorted(names) if name.lower().endswith(SUFFIXES)]
    return files
