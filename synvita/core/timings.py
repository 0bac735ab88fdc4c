"""How long things took: `timings.jsonl`. That differs from run to run, so it is no artefact."""

from __future__ import annotations

from pathlib import Path

from synvita.core.store import as_line


def note_seconds(run: Path, what: str, seconds: float) -> None:
    with (run / "timings.jsonl").open("a", encoding="utf-8") as out:
        out.write(as_line({"what": what, "seconds": round(seconds, 1)}))
