"""What an arm is asked: the pairs of the test triplets and of the benchmark files."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from synvita.core.reading import read_text
from synvita.core.records import Triplet
from synvita.core.run_folder import again
from synvita.core.run_tasks import tasks_of
from synvita.core.store import read_records, write_atomic
from synvita.evaluate.pairs import ASKS, PAIR, Rows, read_rows

TABLE = ("file", "caption")


def unseen_words(triplets: list[Triplet]) -> set[str]:
    """Words that the training captions use only in negatives: what the bias is about (Sec. 1)."""
    train = [t for t in triplets if t.split == "train"]
    positive = {word for t in train for word in t.caption.lower().split()}
    return {word for t in train for word in t.negative_caption.lower().split()} - positive


def entailment_rows(triplets: list[Triplet], split: str, unseen: set[str]) -> Rows:
    """Two pairs per triplet. `unseen`: the true caption has a word that training showed only in negatives."""
    rows = []
    for t in (t for t in triplets if t.split == split):
        new = bool(unseen & set(t.caption.lower().split()))
        for caption, label in ((t.caption, 1), (t.negative_caption, 0)):
            row = {"video": t.video, "caption": caption, "label": label, "query": t.id}
            rows.append(row | {"misalignment": str(t.misalignment), "unseen": new})
    return rows


def rows_of(run: Path, name: str) -> Rows:
    """A task's pairs {video, caption, label, query, ...}; none where the run does not have it."""
    return tasks(run, [name]).get(name, [])


def tasks(run: Path, only: Sequence[str] | None = None) -> dict[str, Rows]:
    """Task -> its pairs; none if there is no test split and no benchmark.

    Raises:
        FileNotFoundError: no triplets.jsonl. ValueError: a bad line of it or of a benchmark, as file:line.
    """
    wanted = [task for task in tasks_of(run) if only is None or task.name in only]
    whole = any(task.split for task in wanted) or not (run / "triplets.jsonl").exists()
    triplets = read_records(run / "triplets.jsonl", Triplet, ("id",)) if whole else []
    unseen = unseen_words(triplets)
    found = {}
    for task in wanted:
        path = run / "benchmarks" / f"{task.name}.jsonl"
        if task.split:
            found[task.name] = entailment_rows(triplets, task.split, unseen)
        elif path.exists():
            found[task.name] = read_rows(path, PAIR)
    return {name: rows for name, rows in found.items() if rows}


def write_pairs(run: Path, path: Path, only: Sequence[str] | None = None) -> dict[str, int]:
    """Every video and caption of the tasks as a table `file, caption`, each once; files relative to its folder.

    Pairs with a question of their own are left out: a scorer would take it for a caption.

    Returns task -> how many of the table's pairs it has brought; 0 where its questions are its own.

    Raises:
        ValueError: the run has no such task; another kind of file, or one that holds something else.
    """
    header = ",".join(TABLE)
    if path.suffix != ".csv":
        raise ValueError(f"--out: {path}: give a file that ends in .csv")
    if path.exists() and not (path.is_file() and read_text(path).split("\n")[0].strip() == header):
        raise ValueError(f"--out: {path} is there and no table of {header}; give another file")
    pairs: dict[tuple[str, str], str] = {}
    asked = tasks(run, only)
    of_captions = {task: [row for row in rows if ASKS not in row] for task, rows in asked.items()}
    for task, rows in of_captions.items():
        for row in rows:
            pairs.setdefault((row["video"], row["caption"]), task)
    if asked and not any(of_captions.values()):
        raise ValueError(f"--tasks: {', '.join(asked)}: asks questions of its own, which no table of captions can hold")
    if not pairs:
        lacks = f"task {', '.join(only)}" if only else "tasks"
        raise ValueError(f"--run: {run} has no {lacks}; first run: {again('triplets make', run)}")
    beside = path.parent.resolve()
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(TABLE)
    for video, caption in pairs:
        file = video if Path(video).is_absolute() else Path(os.path.relpath((run / video).resolve(), beside)).as_posix()
        out.writerow((file, caption))
    write_atomic(path, text.getvalue())
    brought = Counter(pairs.values())
    return {task: brought[task] for task in asked if brought[task] or not of_captions[task]}
