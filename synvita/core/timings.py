"""How long things took: `timings.jsonl`. That differs from run to run, so it is no artefact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synvita.core.store import as_line


def note_seconds(folder: Path, what: str, seconds: float, **more: Any) -> None:
    """One line, one write: several processes append. `more`: what else is worth knowing of it."""
    line = as_line({"what": what, "seconds": round(seconds, 3 if seconds < 1 else 1), **more})
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "timings.jsonl").open("a", encoding="utf-8") as out:
        out.write(line)
