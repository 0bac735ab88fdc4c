"""Cache keys and seeds from content: the same work has the same name on every machine and in every order."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

REMEMBERED = 64 * 2**20  # bytes from which on reading a file takes long


def digest(content: Any, length: int = 16) -> str:
    """Hex digest of any JSON-able content."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def seed_of(*content: Any) -> int:
    """A 63-bit seed that depends on the content alone."""
    return int(digest(list(content), 16), 16) >> 1


def file_digest(path: Path, length: int = 16) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:length]


def known_digest(path: Path) -> str:
    """`file_digest` of a large file, remembered by its size and modification time: a planner asks each time."""
    info = path.stat()
    if info.st_size < REMEMBERED:
        return file_digest(path)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synvita" / "digests"
    key = digest([str(path.resolve()), info.st_size, info.st_mtime_ns])
    with contextlib.suppress(OSError):
        return (cache / key).read_text("ascii")
    found = file_digest(path)
    with contextlib.suppress(OSError):  # no place to remember it
        cache.mkdir(parents=True, exist_ok=True)
        part = cache / f".{key}.{os.getpid()}"
        part.write_text(found, "ascii")
        part.replace(cache / key)
    return found


def folder_digest(folder: Path) -> str:
    """Hex digest of a checkpoint: its config and weights, by name and bytes."""
    files = sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".bin", ".jinja"))
    return digest([(p.name, known_digest(p)) for p in files])
