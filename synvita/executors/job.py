"""One run of one stage on one run folder: what is there, what is to do, where results go. Executors only do the work.

<folder>/stamp.json            what the records were made with
<folder>/<file>                the records, in the order of their keys; written whole when the work is done
<folder>/.<file>.journal       results of a run that has not ended: {key, records}; a kill loses the batch in flight
<folder>/<file>.shard-3-of-8   the same of one shard, until `merge`: its set-aside items too, and a last line
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.progress import progress
from synvita.core.run_folder import again, only_one, remove
from synvita.core.set_aside import read_set_aside, set_aside
from synvita.core.stage import SetAside, Stage, batches_of, check_stamp, claim_folder
from synvita.core.store import Appender, parse_lines, write_records
from synvita.executors.part import Look, Shard

SHARD = re.compile(r"shard-(\d+)-of-(\d+)")
END = {"end": True}
SYNC_SECONDS = 1.0


@dataclass(frozen=True)
class Outcome:
    """Counts of items. `made` by this call, `kept` from earlier ones; `left`: other shards' work."""

    made: int
    kept: int
    set_aside: int
    left: int = 0


class Job:
    """Made by `begin`. Executors work on `todo`, batch by batch in any order, and give each one's results to `take`."""

    def __init__(self, stage: Stage, run: Path, part: Shard | Look | None):
        self.stage, self.run, self.part = stage, run, part
        self.shard = part if isinstance(part, Shard) else None
        self.folder = run / stage.folder
        self.path = self.folder / stage.file
        self.journal = self.folder / (self.shard.file(stage) if self.shard else f".{Path(stage.file).stem}.journal")
        items = {stage.key(item): item for item in stage.items(run)}
        self.items = {key: items[key] for key in sorted(items)}
        self.records = read_by_key(self.path, stage)
        self.fresh: dict[str, list[Any]] = {}  # of this run and of the one that it goes on with
        if self.journal.exists():
            for _, line in parse_lines(self.journal):
                if "records" in line:
                    self.fresh[line["key"]] = line["records"]
        self.reasons: dict[str, str] = {}
        self.done = {key for key, item in self.items.items() if stage.is_done(run, item, self.known(key))}
        keys = list(self.items)
        batches = batches_of(stage, self.items)
        mine = batches if part is None else part.choose(batches)
        self.todo = [batch for batch in mine if not self.done.issuperset(batch)]
        self.own = {key for batch in mine for key in batch}
        self.kept, self.made, self.left = len(self.own & self.done), 0, len(keys) - len(self.own)
        self._out: Appender | None = None
        self._synced = 0.0
        self._tick: Callable[..., None] = lambda *_: None

    def known(self, key: str) -> list[Any]:
        return self.fresh.get(key) or self.records.get(key, [])

    def batch(self, keys: Sequence[str]) -> list[Any]:
        return [self.items[key] for key in keys]

    def take(self, keys: Sequence[str], results: Sequence[list[Any] | SetAside]) -> None:
        """Keep a batch's results. What was there already keeps its record, so nothing is doubled."""
        assert self._out is not None
        if len(results) != len(keys):
            raise ValueError(f"{self.stage.folder}: gave {len(results)} results of {len(keys)} items")
        for key, result in zip(keys, results, strict=True):
            if key in self.done:
                continue
            if isinstance(result, SetAside):
                self.reasons[key] = result.reason
                if self.shard:
                    self._out.append({"key": key, "reason": result.reason})
            else:
                self._out.append({"key": key, "records": [as_fields(record) for record in result]})
                self.fresh[key] = [as_fields(record) for record in result]
                self.done.add(key)
                self.made += 1
            self._tick()
        self._out.flush()
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self._out.sync()
            self._synced = time.monotonic()

    @contextlib.contextmanager
    def open(self, tick: Callable[..., None] | None = None) -> Iterator[None]:
        """While it is open results may be taken; when it closes without an error, the records are written (of a look,
        they stay in the journal).

        `tick`: called per item, instead of a progress bar.
        """
        self._synced = time.monotonic()
        bar = progress(self.stage.what, len(self.own), self.kept) if tick is None else contextlib.nullcontext(tick)
        with bar as self._tick, Appender(self.journal) as self._out:
            yield
        if self.shard:
            with Appender(self.journal) as out:
                out.append(END)
            return
        if self.part is not None:
            if not self.fresh:
                remove(self.journal, self.run)
            return
        records = self.records | self.fresh
        if self.stage.whole:
            records = {key: some for key, some in records.items() if key in self.items}
        if records != self.records or not self.path.exists():  # of a stage that had nothing to do, too
            write_by_key(self.path, records)
        remove(self.journal, self.run)
        set_aside(self.run, f"{self.stage.command} {self.stage.folder}", self.reasons)

    @property
    def once_more(self) -> str:
        """The command that goes on, for a message."""
        return getattr(self.stage, "retry", "") or again(self.stage.command, self.run)

    @property
    def outcome(self) -> Outcome:
        return Outcome(self.made, self.kept, len(self.reasons), self.left)


@contextlib.contextmanager
def begin(
    stage: Stage, run: Path, part: Shard | Look | None = None, tick: Callable[..., None] | None = None
) -> Iterator[Job]:
    """Hold the folder's lock, check its stamp, plan, and write when the work has ended.

    Raises:
        ValueError: another process is at work there; made with other settings; shards that wait for `merge`.
    """
    shard = part if isinstance(part, Shard) else None
    name = f"{stage.folder}/{stage.file}" if shard is None else f"{stage.folder}/{shard.file(stage)}"
    read_set_aside(run)  # a bad line is named before hours of work, not behind them
    with only_one(run, name):
        check_stamp(run, stage)
        waiting = shard_files(run, stage)
        other = next((p for p, s in waiting.items() if shard is None or s.of != shard.of), None)
        if other is not None:
            text = f"waits for its other shards; run them, then: {again('merge', run)}"
            raise ValueError(f"--run: {other} {text}")
        job = Job(stage, run, part)
        claim_folder(run, stage)  # behind the plan: where there is none, nothing is left
        with job.open(tick):
            yield job


def state(stage: Stage, run: Path) -> str:
    """What `status` says of a stage: items there, missing, in shards that wait. Nothing is written or locked."""
    job = Job(stage, run, None)
    missing = len(job.items) - len(job.done)
    waiting = shard_files(run, stage)
    journal = f", {len(job.fresh)} of them from a run that has not ended" if job.fresh else ""
    shards = f"; {len(waiting)} shards wait for merge" if waiting else ""
    return f"{len(job.done)} there{journal}, {missing} missing{shards}"


def merge(stage: Stage, run: Path) -> Outcome:
    """Put the shards that wait in a stage's folder together, as one process would have written them; they are gone
    then.

    Raises:
        ValueError: no shards wait; one that is missing or has not ended: named, with the command that runs it.
    """
    folder = run / stage.folder
    found = shard_files(run, stage)
    if not found:
        raise ValueError(f"--run: no shards wait in {folder}")
    number = max(shard.of for shard in found.values())
    reasons: dict[str, str] = {}
    with only_one(run, stage.folder):
        records = read_by_key(folder / stage.file, stage)
        made, kept = 0, len(records)
        for i in range(1, number + 1):
            for line in ended_lines(stage, run, Shard(i, number)):
                if "records" in line:
                    made += line["key"] not in records
                    records[line["key"]] = line["records"]
                elif "reason" in line:
                    reasons[line["key"]] = line["reason"]
        write_by_key(folder / stage.file, records)
        reasons = {key: reason for key, reason in reasons.items() if key not in records}
        set_aside(run, f"{stage.command} {stage.folder}", reasons)
        for path in found:
            remove(path, run)
    return Outcome(made, kept, len(reasons))


def ended_lines(stage: Stage, run: Path, shard: Shard) -> list[dict[str, Any]]:
    """What a shard has written. ValueError: it is missing or has not ended."""
    path = run / stage.folder / shard.file(stage)
    lines = [fields for _, fields in parse_lines(path)] if path.exists() else []
    if not lines or lines[-1] != END:
        state = "has not ended" if lines else "is missing"
        name = f"{shard.number}/{shard.of}"
        text = f"--run: {run / stage.folder}: shard {name} {state}; run: {again(stage.command, run)} --shard {name}"
        raise ValueError(text)
    return lines


def shard_files(run: Path, stage: Stage) -> dict[Path, Shard]:
    """The shards that wait in a stage's folder."""
    paths = sorted((run / stage.folder).glob(f"{Path(stage.file).stem}.shard-*"))
    found = {path: SHARD.fullmatch(path.suffix[1:]) for path in paths}
    return {path: Shard(int(match[1]), int(match[2])) for path, match in found.items() if match}


def has_shards(folder: Path) -> bool:
    return any(folder.glob("*.shard-*-of-*"))


def as_fields(record: Any) -> dict[str, Any]:
    return record if isinstance(record, dict) else vars(record)


def read_by_key(path: Path, stage: Stage) -> dict[str, list[Any]]:
    """The records of a file as they stand there, by their item's key.

    Raises:
        ValueError: a record without a key, or one that is there twice, by file:line.
    """
    found: dict[str, list[Any]] = {}
    first: dict[tuple[str, ...], int] = {}
    for number, fields in parse_lines(path) if path.exists() else ():
        if not isinstance(fields.get(stage.key_field), str):
            raise ValueError(f"{path}:{number}: needs {stage.key_field!r}; mend or remove the line")
        values = tuple(str(fields.get(name)) for name in stage.unique)
        if first.setdefault(values, number) != number:
            same = ", ".join(f"{name} {fields.get(name)!r}" for name in stage.unique)
            raise ValueError(f"{path}:{number}: {same}: already in line {first[values]}; remove one of the two")
        found.setdefault(fields[stage.key_field], []).append(fields)
    return found


def write_by_key(path: Path, records: dict[str, list[Any]]) -> None:
    write_records(path, (record for key in sorted(records) for record in records[key]))
