"""A table of triplets, or the authors' table of items, into a new run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.store import write_records
from synvita.triplets.authors_table import is_authors_table, read_items
from synvita.triplets.tables import read_triplets, summary, write_set_aside


@dataclass(frozen=True)
class Table:
    """What was read: triplets, or items of the authors' table; rows that cannot be used are set aside."""

    read: Any
    items: bool

    @property
    def summary(self) -> str:
        if not self.items:
            return "\n".join(f"{key}: {value}" for key, value in summary(self.read).items())
        number, paired, aside = len(self.read.items), sum(bool(i.clips) for i in self.read.items), self.read.set_aside
        return f"items: {number}, {paired} with a clip; {len(aside)} rows set aside or without their clip"

    @property
    def set_aside(self) -> list[str]:
        return [f"{bad.where}: {bad.reason}" for bad in self.read.set_aside]

    def write(self, run: Path) -> None:
        """ValueError: the run has triplets already."""
        if (run / "triplets.jsonl").exists():
            raise ValueError(f"--run: {run} already has triplets.jsonl; give a new folder")
        write_set_aside(run / "triplets.set_aside.jsonl", self.read.set_aside)
        if self.items:
            write_records(run / "items.jsonl", self.read.items)
        write_records(run / "triplets.jsonl", [] if self.items else self.read.triplets)  # last: the import is complete


def read_any(table: Path, videos: Path | None) -> Table:
    """ValueError: the table itself is wrong, not single rows."""
    items = is_authors_table(table)
    return Table(read_items(table, videos) if items else read_triplets(table, videos), items)
