"""What a stage could not use: named, with the reason, in one file per run; nothing is lost silently."""

from __future__ import annotations

from pathlib import Path

from synvita.core.store import parse_lines, write_records


def read_set_aside(run: Path) -> list[dict[str, str]]:
    """Rows {stage, id, reason}."""
    path = run / "set_aside.jsonl"
    rows = []
    for number, fields in parse_lines(path) if path.exists() else ():
        if set(fields) != {"stage", "id", "reason"} or not all(isinstance(v, str) for v in fields.values()):
            raise ValueError(f"{path}:{number}: needs stage, id and reason, as text; remove the line")
        rows.append(fields)
    return rows


def set_aside(run: Path, stage: str, reasons: dict[str, str]) -> None:
    """Replace a stage's rows: {id: reason}. A stage that runs again finds its failures again, so none is doubled."""
    others = [row for row in read_set_aside(run) if row["stage"] != stage]
    rows = others + [{"stage": stage, "id": name, "reason": reason} for name, reason in reasons.items()]
    path = run / "set_aside.jsonl"
    if rows:
        write_records(path, rows)
    else:
        path.unlink(missing_ok=True)  # all that an earlier call set aside is there now
