"""Whether a file is still the one that a record was made from: its digest, computed once and then remembered.

Clips at the paper's size are hundreds of gigabytes, so a file whose size and modification time have not changed is not
read again (`.digests.jsonl` of the run folder says what they were). `--verify` reads all of them.
"""

from __future__ import annotations

import os
from pathlib import Path

from synvita.core.provenance import file_digest
from synvita.core.store import as_line, parse_lines

VERIFY = "SYNVITA_VERIFY"  # an environment variable, because workers have to know it, too


class Digests:
    """Of the files below a run folder. Made anew for each pass over them; writes down what it had to compute."""

    def __init__(self, run: Path):
        self.run, self.path = run, run / ".digests.jsonl"
        self.fresh: list[dict[str, object]] = []
        self.known: dict[str, tuple[int, int, str]] = {}
        if self.path.exists() and os.environ.get(VERIFY) != "1":
            for _, row in parse_lines(self.path):
                self.known[row["file"]] = (row["size"], row["mtime_ns"], row["digest"])

    def of(self, file: str) -> str:
        """Digest of a file's bytes. FileNotFoundError: it is not there."""
        path = self.run / file
        info = path.stat()
        size, time, known = self.known.get(file, (-1, -1, ""))
        if (size, time) == (info.st_size, info.st_mtime_ns):
            return known
        found = file_digest(path)
        self.known.pop(file, None)
        self.note(file, found)
        return found

    def note(self, file: str, digest: str) -> None:
        """Take a digest for granted: of a file that was made a moment ago."""
        if file not in self.known:
            info = (self.run / file).stat()
            self.known[file] = (info.st_size, info.st_mtime_ns, digest)
            self.fresh.append({"file": file, "size": info.st_size, "mtime_ns": info.st_mtime_ns, "digest": digest})

    def save(self) -> None:
        if self.fresh:
            text = "".join(as_line(row) for row in self.fresh)
            with self.path.open("a", encoding="utf-8") as out:  # one write: other processes append here, too
                out.write(text)
            self.fresh = []
