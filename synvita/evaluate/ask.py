"""Stage 5, first half: ask an arm every pair of a task; the scores are files that anybody can measure again."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.identity import VERIFY, Digests
from synvita.core.provenance import digest
from synvita.core.question import Question
from synvita.core.reading import read_json
from synvita.core.stage import Resources, SetAside, resources_of
from synvita.core.store import write_atomic
from synvita.core.vocabulary import UNTRAINED, find_task
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.pairs import ASKS, Rows
from synvita.evaluate.tasks import rows_of
from synvita.videollm.protocol import Loading


@dataclass(frozen=True)
class Base:
    """The base model whose arms are asked: its folder below the run folder, its name, and how it is loaded.

    stamp: what its answers depend on, as JSON values.
    """

    home: str
    model: str
    how: Loading
    stamp: dict[str, Any]
    cache_gb: float = 100.0


@dataclass(frozen=True)
class Asked:
    """A video with all its pairs: its features are made once, its prompt is run once.

    media: digest of the video's file; empty: it cannot be read.
    """

    video: str
    rows: Rows
    media: str


@dataclass
class Loaded:
    """The model that this process asked last: the tasks of an arm follow each other, and loading it takes long."""

    key: tuple[str, ...] = ()
    model: Any = None
    store: Any = None


loaded = Loaded()
ANSWER = ("log_odds", "reason", "media")  # what asking adds to a pair


class AskPairs:
    """The stage (`core.stage.Stage`) of one arm and one task: every pair with its fp32 log-odds.

    A pair that cannot be scored has null and the reason, so that it is counted and never filled in; the next call tries
    it again. A pair whose caption, label, question or video file has changed is asked again. What all answers of the
    folder depend on stands in `stamp.json`, and what only the loaded model knows (prompt, frames) in `model.json`.
    """

    command, key_field, whole = "evaluate", "video", True
    unique: tuple[str, ...] = ("video", "caption", "query", "option")

    def __init__(
        self, task: str, arm: str, seed: int, base: Base, config: EvaluateConfig, adapter: str = "", kind: str = ""
    ):
        """`adapter`: digest of the arm's adapter; empty for the untrained model. `kind`: of a task that is no line of
        the vocabulary."""
        self.task, self.arm, self.seed, self.base, self.config = task, arm, seed, base, config
        self.adapter = adapter
        self.what = f"evaluate: {arm}, {task}"
        self.folder = f"{base.home}/pairs/{arm}/{seed}"
        self.file = f"{task}.jsonl"
        known = find_task(task)
        # A retrieval video has dozens of captions, which fill a pass: so a kill loses one video, not a batch of them.
        self.batch = 1 if (known.kind if known else kind) == "retrieval" else config.rows_at_once
        self.resources: Resources = resources_of({"device": base.how.device, "device_map": base.how.device_map})

    @property
    def stamp(self) -> dict[str, Any]:
        """What the answers depend on beside the model's own stamp: which adapter, and how it is loaded."""
        return {"arm": self.arm, "seed": self.seed, "adapter": self.adapter, "model": self.base.stamp}

    def items(self, run: Path) -> list[Asked]:
        by_video: dict[str, Rows] = {}
        for row in rows_of(run, self.task):
            by_video.setdefault(row["video"], []).append(row)
        digests = digests_of(run, os.environ.get(VERIFY, ""))
        found = [Asked(video, rows, media_digest(digests, video)) for video, rows in by_video.items()]
        digests.save()
        return found

    def key(self, item: Asked) -> str:
        return item.video

    def is_done(self, run: Path, item: Asked, records: Sequence[dict[str, Any]]) -> bool:
        asked = [{k: v for k, v in row.items() if k not in ANSWER} for row in records]
        same = all(row.get("media", item.media) == item.media for row in records)  # records of before say nothing
        return asked == item.rows and same and not any("reason" in row for row in records)

    def setup(self) -> None: ...

    def ready(self, run: Path) -> Loaded:
        """The model with this arm's adapter, and the videos' features."""
        from synvita.videollm.models import load_model
        from synvita.videollm.visual import VisualStore

        base = self.base
        adapter = None if self.arm == UNTRAINED else run / base.home / "adapters" / self.arm / str(self.seed)
        key = (str(run), repr(base), str(adapter))
        if loaded.key != key:
            if loaded.store is not None:
                loaded.store.close()
            loaded.key = ()
            loaded.model = model = load_model(base.model, base.how, adapter)
            loaded.store = VisualStore(model, run / "cache", run, self.config.decode_timeout, base.cache_gb)
            loaded.key = key
        say_model(run / self.folder / "model.json", base.model, loaded.model)
        return loaded

    def work(self, run: Path, batch: Sequence[Asked]) -> list[list[dict[str, Any]] | SetAside]:
        from synvita.videollm.scoring import score_each

        here = self.ready(run)
        failed = here.store.load(item.video for item in batch)
        good = [item for item in batch if item.video not in failed]
        texts = [[Question(row[ASKS]) if ASKS in row else row["caption"] for row in i.rows] for i in good]
        got = score_each(here.model, here.store.media([item.video for item in good]), texts) if good else []
        found = {item.video: [scored(one) for one in some] for item, some in zip(good, got, strict=True)}
        for item in batch:
            if item.video in failed:
                found[item.video] = [{"log_odds": None, "reason": failed[item.video]}] * len(item.rows)
        return [
            [row | told | {"media": i.media} for row, told in zip(i.rows, found[i.video], strict=True)] for i in batch
        ]

    def close(self) -> None:
        if loaded.store is not None:
            loaded.store.close()


@functools.lru_cache(4)
def digests_of(run: Path, verify: str) -> Digests:
    """Of this process: every task of every arm asks about the same videos. `verify`: as the environment says."""
    return Digests(run)


def media_digest(digests: Digests, video: str) -> str:
    try:
        return digests.of(video)
    except OSError:  # asking names it
        return ""


def say_model(path: Path, name: str, model: Any) -> None:
    """Write down what only a loaded model knows of how it answers.

    Raises:
        ValueError: the answers beside the file are of a model that asks, looks or is otherwise: each difference.
    """
    here = {
        "model": name,
        "revision": model.revision,
        "temporal_attention": model.temporal_attention,
        "visual_key": model.visual_key,
        "frame_policy": dataclasses.asdict(model.policy),
        "prompt": prompt_digest(model.questioner),
    }
    here = json.loads(json.dumps(here))
    if path.exists():
        there = read_json(path)
        differ = [f"{k}: {there[k]} -> {here[k]}" for k in here if k in there and there[k] != here[k]]
        answers = [p for p in path.parent.iterdir() if p.suffix != ".json" and p.stat().st_size]
        if differ and answers:
            text = f"was answered by a model that differs ({'; '.join(differ)})"
            raise ValueError(f"--run: {path.parent} {text}; give the model another --train.name, or remove that folder")
        if there == here:
            return
    write_atomic(path, json.dumps(here) + "\n")


def prompt_digest(questioner: Any) -> str:
    """Of the tokens around video and caption, and of the answers: template, question, answer words, tokenizer."""
    answers = questioner.answers
    ids = [list(questioner.prefix()), list(questioner.ask("a man walks his dog").ids)]
    return digest([*ids, answers.yes, answers.no, answers.end])


def scored(outcome: tuple[float, str | None]) -> dict[str, Any]:
    value, reason = outcome
    return {"log_odds": round(value, 6)} if reason is None else {"log_odds": None, "reason": reason}
