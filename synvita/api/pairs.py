"""A table of videos and captions, and their scores: what `synvita score --pairs` and `synvita.score` do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.progress import progress
from synvita.core.provenance import digest, file_digest, folder_digest
from synvita.core.store import Appender, as_line, parse_lines, write_records
from synvita.core.tables import cell, need_columns, read_table
from synvita.triplets.tables import video_finder

RECORD = {"row", "video", "caption", "digest", "alignment", "log_odds", "model"}  # and `reason`, if there is no score


class Pairs:
    """The rows of `--pairs` with what they are about, and the scores that `--out` has already.

    A score belongs to (the video's bytes, the caption, the model), so rows may be added, moved and edited between two
    calls. `rows`: (where, video as written, caption, digest, path or "", problem or "").
    """

    def __init__(self, table: Path, videos: Path | None = None, out: Path | None = None):
        columns, rows = read_table(table, "--pairs", ("video", "caption"))
        need_columns(table, columns, ("video", "caption"), "--pairs")
        self.out, self.kept = out, [] if out is None else self._there(out)
        self.rows = list(self._resolved(rows, table, videos))

    def _resolved(self, rows: list[Any], table: Path, videos: Path | None) -> Iterator[dict[str, str]]:
        find = video_finder(table.parent, videos)
        digests: dict[str, str] = {}
        for row in rows:
            pair = {"row": row.where, "digest": "", "path": "", "reason": row.problem}
            pair |= {name: str(row.fields.get(name) or "") for name in ("video", "caption")}  # shown, if refused
            try:
                for column in ("video", "caption") if not row.problem else ():
                    pair[column] = cell(row.fields, column)
                if not row.problem:
                    pair["path"] = find(pair["video"])
                    if pair["path"] not in digests:  # a FIFO or a broken file is the decoder's to judge
                        regular = Path(pair["path"]).is_file()
                        digests[pair["path"]] = file_digest(Path(pair["path"])) if regular else ""
                    pair["digest"] = digests[pair["path"]]
            except (ValueError, OSError) as error:
                pair["reason"] = f"{getattr(error, 'strerror', None) or error}"
            yield pair

    def _there(self, out: Path) -> list[dict[str, Any]]:
        """The scores of an earlier call; ValueError if the file is anything else: it would be overwritten."""
        if not out.exists():
            return []
        if not out.is_file():
            raise ValueError(f"--out: {out} is not a file; give another one")
        other = f"--out: {out} holds something else than scores of this command and is kept; give another file"
        try:
            lines = [fields for _, fields in parse_lines(out)]
        except ValueError as error:
            raise ValueError(f"{other} ({error})") from None
        torn = out.read_bytes().rpartition(b"\n")[2]
        begin = as_line({"row": ""}).encode()[:9]  # how every line begins: a torn one is a piece of such a line
        if any(set(fields) - {"reason"} != RECORD for fields in lines) or torn[: len(begin)] != begin[: len(torn)]:
            raise ValueError(other)
        return [fields for fields in lines if "reason" not in fields]


@dataclass(frozen=True)
class Scored:
    """lines: a record per row, in its order. were_there: rows that had a score before. gone: scores of pairs that are
    no longer in the table. reasons: row -> why it has no score."""

    lines: list[dict[str, Any]]
    were_there: int
    gone: int
    reasons: dict[str, str]


def score_table(aligner: Any, table: Pairs) -> Scored:
    """A record per row of the table, in its order; what gives no score has its reason, and is tried again.

    With `table.out` it writes them there and goes on where a killed call was.

    Raises:
        ValueError: the file holds scores of another model.
    """
    model = identity(aligner)
    other = next((fields["model"] for fields in table.kept if fields["model"] != model), None)
    if other is not None:
        raise ValueError(f"--out: {table.out} holds scores of model {other}, this is {model}; give another file")
    scores = {(fields["digest"], fields["caption"]): fields for fields in table.kept}
    wanted = {(row["digest"], row["caption"]) for row in table.rows}
    gone = len(scores.keys() - wanted)
    todo: dict[str, list[dict[str, str]]] = {}
    for row in table.rows:
        if not row["reason"] and (row["digest"], row["caption"]) not in scores:
            todo.setdefault(row["path"], []).append(row)
    if table.out is not None:
        write_records(table.out, table.kept)  # without a torn line and lines that gave no score
    were_there = sum((row["digest"], row["caption"]) in scores for row in table.rows)
    reasons: dict[str, str] = {row["row"]: row["reason"] for row in table.rows if row["reason"]}
    journal = contextlib.nullcontext() if table.out is None else Appender(table.out)
    with journal as out, progress("score", sum(map(len, todo.values()))) as tick:
        for path, rows in todo.items():
            pairs = aligner.score_pairs((path, row["caption"]) for row in rows)
            for row, pair in zip(rows, pairs, strict=True):
                if pair.reason is None:
                    line = record(row, model, pair.alignment, pair.log_odds)
                    if out is not None and (row["digest"], row["caption"]) not in scores:
                        out.append(line)
                    scores[row["digest"], row["caption"]] = line
                else:
                    reasons[row["row"]] = pair.reason
                tick()
    lines = []
    for row in table.rows:
        score = scores.get((row["digest"], row["caption"])) if row["row"] not in reasons else None
        if score is not None:
            lines.append(record(row, model, score["alignment"], score["log_odds"]))
        else:
            lines.append(record(row, model, None, None) | {"reason": reasons[row["row"]]})
    if table.out is not None:
        write_records(table.out, lines)
    return Scored(lines, were_there, gone, reasons)


def record(row: dict[str, str], model: str, alignment: float | None, log_odds: float | None) -> dict[str, Any]:
    names = {name: row[name] for name in ("row", "video", "caption", "digest")}
    return names | {"alignment": alignment, "log_odds": log_odds, "model": model}


def identity(aligner: Any) -> str:
    """Whose scores these are: the model's name, and a digest of its weights, adapter and how it is asked."""
    how, adapter = aligner.loading, folder_digest(aligner.adapter) if aligner.adapter else None
    dtype = str(how.dtype).removeprefix("torch.")
    asked = [aligner.model.revision, adapter, dtype, how.load_4bit, how.frames, aligner.long_captions]
    return f"{aligner.name}@{digest(asked)}"
