"""What an arm is asked: the pairs of the test triplets and of the benchmark files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from synvita.core import vocabulary
from synvita.core.records import Triplet
from synvita.core.store import read_records
from synvita.evaluate.pairs import PAIR, Rows, read_rows


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
    triplets = read_records(run / "triplets.jsonl", Triplet, ("id",))
    unseen = unseen_words(triplets)
    found = {}
    for task in vocabulary.tasks():
        if only is not None and task.name not in only:
            continue
        path = run / "benchmarks" / f"{task.name}.jsonl"
        if task.split:
            found[task.name] = entailment_rows(triplets, task.split, unseen)
        elif path.exists():
            found[task.name] = read_rows(path, PAIR)
    return {name: rows for name, rows in found.items() if rows}
