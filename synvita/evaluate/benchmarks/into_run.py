"""Benchmarks as tasks of a run: their pairs in `benchmarks/<task>.jsonl`, their videos found by id.

benchmarks/<task>.jsonl    query, caption, video, label (+ option, part), as the miniature's
benchmarks/<task>.json     whose pairs they are: files and digests, n of N units, what is excluded or not found
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synvita.core.provenance import file_digest
from synvita.core.records import Triplet
from synvita.core.run_folder import only_one
from synvita.core.store import read_records, write_atomic, write_records
from synvita.evaluate.benchmarks.names import SUFFIXES, ById, video_id
from synvita.evaluate.benchmarks.registry import Copy, benchmark_of, load

KNOB = "--videos"
SHOWN = 5
NOT_ASKED = ("timeblind",)  # its questions are no captions; the prompt of the run would ask something else


@dataclass(frozen=True)
class Videos:
    """paths: the table's path -> the file. missing, ambiguous: "path: why", in the table's order."""

    paths: dict[str, str]
    missing: list[str]
    ambiguous: list[str]


def find_videos(folder: Path, wanted: Sequence[str]) -> Videos:
    """The files of videos that a table names, anywhere below a folder, by their ids.

    Raises:
        FileNotFoundError: no such folder. ValueError: a file.
    """
    if not folder.exists():
        raise FileNotFoundError(2, "no such folder", f"{KNOB}: {folder}")
    if not folder.is_dir():
        raise ValueError(f"{KNOB}: {folder} is a file; give the folder of the videos")
    root = folder.resolve()
    files = []
    for at, folders, names in os.walk(root, followlinks=True):
        folders.sort()
        files += [Path(at, name).as_posix() for name in sorted(names) if name.lower().endswith(SUFFIXES)]
    known = ById(files)
    found = Videos({}, [], [])
    for path in dict.fromkeys(wanted):
        fits = known.find(path)
        if len(fits) == 1:
            found.paths[path] = fits[0]
        elif fits:
            found.ambiguous.append(f"{path}: {' or '.join(fits[:3])}")
        else:
            found.missing.append(f"{path}: no file {video_id(path)}.* below {folder}")
    return found


def put(run: Path, names: Sequence[str], data: Path, videos: Path, allow_missing: bool = False) -> list[str]:
    """Write the pair files of benchmarks, and tell what was written.

    A pair of which there is no video stays, without a score when asked, so that figures count it.

    Raises:
        ValueError: a benchmark's file that is wrong; videos that are missing or ambiguous, unless `allow_missing`.
    """
    refused = next((name for name in names if name in NOT_ASKED), None)
    if refused is not None:
        text = "its questions are not captions, so the run's prompt does not fit them; measure scores with --benchmark"
        raise ValueError(f"--tasks: {refused}: {text}")
    copies = [load(benchmark_of(name, "--tasks"), data, allow_missing) for name in names]
    found = [find_videos(videos, [entry.row["video"] for entry in copy.loaded.entries]) for copy in copies]
    lacking = {c.benchmark.name: v.missing + v.ambiguous for c, v in zip(copies, found, strict=True)}
    if any(lacking.values()) and not allow_missing:
        raise ValueError(_not_found(run, lacking, found))
    told = []
    for copy, there in zip(copies, found, strict=True):
        _write(run, copy, there, videos)
        told.append(_told(run, copy, there))
    return told


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


def _write(run: Path, copy: Copy, there: Videos, videos: Path) -> None:
    name, loaded = copy.benchmark.name, copy.loaded
    nowhere = videos.resolve().as_posix()
    rows = []
    for entry in loaded.entries:
        file = there.paths.get(entry.row["video"], f"{nowhere}/{video_id(entry.row['video'])}")
        rows.append(entry.row | {"video": file})
    stamp = {
        "benchmark": name,
        "unit": copy.benchmark.unit,
        "n": copy.count - len(loaded.excluded),
        "expected": copy.expected,
        "excluded": loaded.excluded,
        "not_found": there.missing + there.ambiguous,
        "files": {path.name: file_digest(path) for path in loaded.files},
        "notes": loaded.notes,
    }
    with only_one(run, f"benchmarks-{name}"):
        write_records(run / "benchmarks" / f"{name}.jsonl", rows)
        write_atomic(run / "benchmarks" / f"{name}.json", json.dumps(stamp, indent=1, ensure_ascii=False) + "\n")


def _told(run: Path, copy: Copy, there: Videos) -> str:
    number = copy.count - len(copy.loaded.excluded)
    parts = [f"{copy.benchmark.name}: {number:,} of {copy.expected:,} {copy.benchmark.unit}"]
    if copy.loaded.excluded:
        parts.append(f"{len(copy.loaded.excluded)} left out as in the authors' script")
    if copy.loaded.form:
        parts.append(copy.loaded.form)
    lacking = len(there.missing) + len(there.ambiguous)
    parts.append(f"{len(there.paths):,} videos found" + (f", {lacking:,} not" if lacking else ""))
    both = len(_trained_on(run) & {video_id(video) for video in there.paths})
    if both:
        parts.append(f"{both:,} of its videos are among the run's training videos, so it is no clean test")
    return "; ".join((*parts, *copy.loaded.notes))


def _trained_on(run: Path) -> set[str]:
    path = run / "triplets.jsonl"
    triplets = read_records(path, Triplet, ("id",)) if path.exists() else []
    return {video_id(triplet.video) for triplet in triplets if triplet.split == "train"}
