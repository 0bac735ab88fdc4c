"""Cache keys and seeds from content: the same work has the same name on every machine and in every order."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


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


def folder_digest(folder: Path) -> str:
    """Hex digest of a checkpoint: its config and weights, by name and bytes."""
    files = sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".bin", ".jinja"))
    return digest([(p.name, file_digest(p)) for p in files])
