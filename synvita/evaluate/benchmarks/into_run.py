"""Benchmarks as tasks of a run: their pairs in `benchmarks/<task>.jsonl`, their videos found.

benchmarks/<task>.jsonl    query, caption, video, label (+ option, part, asks), as the miniature's
benchmarks/<task>.json     whose pairs they are: files and digests, n of N units, what is excluded or not found; of
                           one's own table also its figure
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synvita.core.names import check_name
from synvita.core.provenance import file_digest
from synvita.core.reading import read_json
from synvita.core.records import Triplet
from synvita.core.run_folder import only_one
from synvita.core.run_tasks import OWN
from synvita.core.store import read_records, write_atomic, write_records
from synvita.core.vocabulary import every_figure
from synvita.evaluate.benchmarks import own
from synvita.evaluate.benchmarks.names import video_id
from synvita.evaluate.benchmarks.registry import benchmark_of, load
from synvita.evaluate.benchmarks.table import Entry, Loaded
from synvita.evaluate.benchmarks.videos import KNOB, Videos, find_videos
from synvita.evaluate.pairs import ASKS

TASKS = "--tasks"
SHOWN = 5
# What else stands beside the figures of an arm in results.json (`evaluate/facts.py`, `results.figures_of`).
NOT_NAMES = ("weights_from", "triplets", "with_clip", "without_clip", "set_aside", "temporal_attention", "scores_from",
             "per_type", "minus_real_only")  # fmt: skip


@dataclass(frozen=True)
class Part:
    """What goes into the run as one task: n of `expected` units are in the files.

    where: the folder of its videos. metric: of one's own table; empty of a public benchmark, which has its own.
    absolute: absolute paths of videos mean these files.
    """

    name: str
    loaded: Loaded
    unit: str
    n: int
    expected: int
    where: Path
    metric: str = ""
    absolute: bool = False

    def videos(self) -> Videos:
        return find_videos(self.where, [entry.row["video"] for entry in self.loaded.entries], self.absolute)


def put(run: Path, names: Sequence[str], data: Path, videos: Path, allow_missing: bool = False) -> list[str]:
    """Write the pair files of public benchmarks, in place of earlier ones, and tell what was written.

    A pair of which there is no video stays, without a score when asked, so that figures count it.

    Raises:
        ValueError: a benchmark's file that is wrong; a question that no arm can be asked, videos that are missing or
            ambiguous, unless `allow_missing`.
    """
    return _put(run, [_public(name, data, videos, allow_missing) for name in names], allow_missing)


def put_own(
    run: Path, tables: Sequence[Path], metric: str | None, videos: Path | None = None, allow_missing: bool = False
) -> list[str]:
    """The same of one's own tables, each a task with the table's name.

    Args:
        metric: the figure of all of them. videos: the folder of their videos (default: each table's own).
    Raises:
        ValueError: a name that a task cannot have; as `own.load_own`, and videos as in `put`.
    """
    names = [table.stem for table in tables]
    twice = next((table for table in tables if names.count(table.stem) > 1), None)
    if twice is not None:
        raise ValueError(f"{TASKS}: {twice}: two tables of the name {twice.stem!r}; rename one")
    return _put(run, [_own(table, metric, videos, allow_missing) for table in tables], allow_missing)


def _public(name: str, data: Path, videos: Path, allow_missing: bool) -> Part:
    copy = load(benchmark_of(name, TASKS), data, allow_missing)
    n = copy.count - len(copy.loaded.excluded)
    part = Part(name, copy.loaded, copy.benchmark.unit, n, copy.expected, videos)
    return _answerable(part, allow_missing) if copy.benchmark.task.kind == "yes_no" else part


def _answerable(part: Part, allow_missing: bool) -> Part:
    """Without the groups that hold a question which is answered by something else than yes or no."""
    lacking = [entry for entry in part.loaded.entries if ASKS not in entry.row]
    if not lacking:
        return part
    gone = {entry.row["query"] for entry in lacking}
    first = f"{lacking[0].where}: {lacking[0].row['caption']!r}"
    text = f"{len(gone)} of {part.n} {part.unit} ask for something else than yes or no, which an arm cannot be asked"
    if not allow_missing:
        raise ValueError(f"{TASKS}: {part.name}: {text}; the first: {first}; --allow-missing leaves them out")
    loaded = replace(part.loaded, entries=[e for e in part.loaded.entries if e.row["query"] not in gone])
    if not loaded.entries:
        raise ValueError(f"{TASKS}: {part.name}: {text}; the first: {first}; measure scores with --benchmark")
    loaded.notes = [*loaded.notes, f"{text} and are left out; the first: {first}"]
    return replace(part, loaded=loaded, n=part.n - len(gone))


def _own(table: Path, metric: str | None, videos: Path | None, allow_missing: bool) -> Part:
    name = check_name(TASKS, table.stem)
    if name in NOT_NAMES or "." in name or name in {task.name for task in every_figure()}:
        raise ValueError(f"{TASKS}: {table}: {name!r} is another figure's name, or has a dot; rename the table")
    loaded = own.load_own(table, metric, allow_missing, TASKS)
    where = table.parent if videos is None else videos
    return Part(name, loaded, "rows", len(loaded.entries), loaded.rows, where, metric or "", absolute=videos is None)


def _put(run: Path, parts: Sequence[Part], allow_missing: bool) -> list[str]:
    found = [part.videos() for part in parts]
    lacking = {part.name: v.missing + v.ambiguous for part, v in zip(parts, found, strict=True)}
    if any(lacking.values()) and not allow_missing:
        raise ValueError(_not_found(run, lacking, found))
    for part, there in zip(parts, found, strict=True):
        _check_once(part, there)
    told = []
    for part, there in zip(parts, found, strict=True):
        instead = _replaces(run, part)
        _write(run, part, there)
        told.append(_told(run, part, there) + instead)
    return told


def _check_once(part: Part, there: Videos) -> None:
    """ValueError: two paths of one's own table mean one file, so that a pair would count double."""
    entries = part.loaded.entries if part.metric else []
    grouped = len(part.loaded.by_query()) < len(entries)
    first: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        video, caption = entry.pair
        key = (there.paths.get(video, video), caption, entry.row["query"] if grouped else "")
        earlier = first.setdefault(key, entry)
        if earlier is not entry:
            text = f"{video} is the file of {earlier.where}, with the same caption; keep one"
            raise ValueError(f"{TASKS}: {entry.where}: {text}")


def _not_found(run: Path, lacking: dict[str, list[str]], found: Sequence[Videos]) -> str:
    """One line; the whole list stands in a file."""
    every = [f"{name}: {text}" for name, some in lacking.items() for text in some]
    path = run / "benchmarks" / "not_found.txt"
    write_atomic(path, "\n".join(every) + "\n")
    missing, ambiguous = sum(len(v.missing) for v in found), sum(len(v.ambiguous) for v in found)
    first = "; ".join(every[:SHOWN])
    return (
        f"{KNOB}: {missing} videos are missing and {ambiguous} ambiguous: {first}"
        f"{'; ...' if len(every) > SHOWN else ''} (all in {path}); mend them, or --allow-missing"
    )


def _digests(part: Part) -> dict[str, str]:
    return {path.name: file_digest(path) for path in part.loaded.files}


def _replaces(run: Path, part: Part) -> str:
    """What is said where the run has this task from other files."""
    path = run / "benchmarks" / f"{part.name}.json"
    if not path.exists() or read_json(path).get("files") == _digests(part):
        return ""
    return "; in place of the pairs of other files, and asked again where they differ"


def _write(run: Path, part: Part, there: Videos) -> None:
    loaded, nowhere = part.loaded, part.where.resolve().as_posix()
    rows = []
    for entry in loaded.entries:
        file = there.paths.get(entry.row["video"], f"{nowhere}/{video_id(entry.row['video'])}")
        rows.append(entry.row | {"video": file})
    stamp = {
        "benchmark": part.name,
        **({OWN: part.metric} if part.metric else {}),
        "unit": part.unit,
        "n": part.n,
        "expected": part.expected,
        "excluded": loaded.excluded,
        "not_found": there.missing + there.ambiguous,
        "files": _digests(part),
        "notes": loaded.notes,
    }
    with only_one(run, f"benchmarks-{part.name}"):
        write_records(run / "benchmarks" / f"{part.name}.jsonl", rows)
        write_atomic(run / "benchmarks" / f"{part.name}.json", json.dumps(stamp, indent=1, ensure_ascii=False) + "\n")


def _told(run: Path, part: Part, there: Videos) -> str:
    parts = [f"{part.name}: {part.n:,} of {part.expected:,} {part.unit}"]
    if part.loaded.excluded:
        parts.append(f"{len(part.loaded.excluded)} left out as in the authors' script")
    if part.loaded.form:
        parts.append(part.loaded.form)
    lacking = len(there.missing) + len(there.ambiguous)
    parts.append(f"{len(there.paths):,} videos found" + (f", {lacking:,} not" if lacking else ""))
    both = len(_trained_on(run) & {video_id(video) for video in there.paths})
    if both:
        parts.append(f"{both:,} of its videos are among the run's training videos, so it is no clean test")
    return "; ".join((*parts, *part.loaded.notes))


def _trained_on(run: Path) -> set[str]:
    path = run / "triplets.jsonl"
    triplets = read_records(path, Triplet, ("id",)) if path.exists() else []
    return {video_id(triplet.video) for triplet in triplets if triplet.split == "train"}
