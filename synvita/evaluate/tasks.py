"""Stage 5: ask every pair of every task, keep the scores as files, count what was expected, got and is missing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

from synvita.core import vocabulary
from synvita.core.records import Triplet
from synvita.core.store import read_records, write_atomic, write_records
from synvita.core.vocabulary import UNTRAINED
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.pairs import PAIR, Rows, read_rows
from synvita.videollm.models import load_model
from synvita.videollm.protocol import Loading
from synvita.videollm.scoring import score_each
from synvita.videollm.visual import VisualStore


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


def tasks(run: Path) -> dict[str, Rows]:
    """Task -> its pairs {video, caption, label, query, ...}; none if there is no test split and no benchmark.

    Raises:
        FileNotFoundError: no triplets.jsonl. ValueError: a bad line of it or of a benchmark, as file:line.
    """
    triplets = read_records(run / "triplets.jsonl", Triplet, ("id",))
    unseen = unseen_words(triplets)
    found = {}
    for task in vocabulary.tasks():
        path = run / "benchmarks" / f"{task.name}.jsonl"
        if task.split:
            found[task.name] = entailment_rows(triplets, task.split, unseen)
        elif path.exists():
            found[task.name] = read_rows(path, PAIR)
    return {name: rows for name, rows in found.items() if rows}


def batch_count(todo: dict[str, Rows], config: EvaluateConfig) -> int:
    """How often `evaluate_arm` ticks for these tasks."""
    videos = (len({row["video"] for row in rows}) for rows in todo.values())
    return sum(math.ceil(number / config.rows_at_once) for number in videos)


def evaluate_arm(
    run: Path,
    arm: str,
    seed: int,
    model_name: str,
    how: Loading,
    config: EvaluateConfig,
    tick: Callable[[], None] = lambda: None,
    cache_gb: float = 100.0,
) -> Path:
    """Write `pairs/<arm>/<seed>/<task>.jsonl`: every pair with its fp32 log-odds; skip tasks that are there.

    The adapter is `adapters/<arm>/<seed>`; without one the arm is the untrained model.
    """
    out = run / "pairs" / arm / str(seed)
    todo = {name: rows for name, rows in tasks(run).items() if not (out / f"{name}.jsonl").exists()}
    if not todo:
        return out
    adapter = None if arm == UNTRAINED else run / "adapters" / arm / str(seed)
    model = load_model(model_name, how, adapter)
    store = VisualStore(model, run / "cache", run, config.decode_timeout, cache_gb)
    said = {"model": model_name, "revision": model.revision, "temporal_attention": model.temporal_attention}
    write_atomic(out / "model.json", json.dumps(said) + "\n")
    for name, rows in todo.items():
        failed = store.load((row["video"] for row in rows), lambda: None)
        by_video: dict[str, list[int]] = {}
        for i, row in enumerate(rows):
            if row["video"] not in failed:
                by_video.setdefault(row["video"], []).append(i)
        videos = list(by_video)
        for start in range(0, len(videos), config.rows_at_once):
            some = videos[start : start + config.rows_at_once]
            captions = [[rows[i]["caption"] for i in by_video[video]] for video in some]
            got = score_each(model, store.media(some), captions)
            for video, found in zip(some, got, strict=True):
                for i, (value, reason) in zip(by_video[video], found, strict=True):
                    rows[i] |= {"log_odds": round(value, 6)} if reason is None else {"log_odds": None, "reason": reason}
            tick()
        for row in rows:
            if row["video"] in failed:
                row["log_odds"], row["reason"] = None, failed[row["video"]]
        write_records(out / f"{name}.jsonl", rows)
    store.close()
    return out
