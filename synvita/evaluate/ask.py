"""Stage 5, first half: ask an arm every pair of a task; the scores are files that anybody can measure again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.stage import Resources, SetAside, resources_of
from synvita.core.store import write_atomic
from synvita.core.vocabulary import UNTRAINED
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.pairs import Rows
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
    """A video with all its pairs: its features are made once, its prompt is run once."""

    video: str
    rows: Rows


@dataclass
class Loaded:
    """The model that this process asked last: the tasks of an arm follow each other, and loading it takes long."""

    key: tuple[str, ...] = ()
    model: Any = None
    store: Any = None


loaded = Loaded()


class AskPairs:
    """The stage (`core.stage.Stage`) of one arm and one task: every pair with its fp32 log-odds.

    A pair that cannot be scored has null and the reason, so that it is counted and never filled in; the next call tries
    it again. A pair whose caption, label or question has changed in the benchmark is asked again.
    """

    command, key_field, whole = "evaluate", "video", True
    unique: tuple[str, ...] = ("video", "caption", "query", "option")

    def __init__(self, task: str, arm: str, seed: int, base: Base, config: EvaluateConfig, adapter: str = ""):
        """`adapter`: digest of the arm's adapter; empty for the untrained model."""
        self.task, self.arm, self.seed, self.base, self.config = task, arm, seed, base, config
        self.adapter = adapter
        self.what = f"evaluate: {arm}, {task}"
        self.folder = f"{base.home}/pairs/{arm}/{seed}"
        self.file = f"{task}.jsonl"
        self.batch = config.rows_at_once
        self.resources: Resources = resources_of({"device": base.how.device, "device_map": base.how.device_map})

    @property
    def stamp(self) -> dict[str, Any]:
        """What the answers depend on beside the model's own stamp: which adapter, and how it is loaded."""
        return {"arm": self.arm, "seed": self.seed, "adapter": self.adapter, "model": self.base.stamp}

    def items(self, run: Path) -> list[Asked]:
        by_video: dict[str, Rows] = {}
        for row in rows_of(run, self.task):
            by_video.setdefault(row["video"], []).append(row)
        return [Asked(video, rows) for video, rows in by_video.items()]

    def key(self, item: Asked) -> str:
        return item.video

    def is_done(self, run: Path, item: Asked, records: Sequence[dict[str, Any]]) -> bool:
        asked = [{k: v for k, v in row.items() if k not in ("log_odds", "reason")} for row in records]
        return asked == item.rows and not any("reason" in row for row in records)

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
            told = {"model": base.model, "revision": model.revision, "temporal_attention": model.temporal_attention}
            write_atomic(run / self.folder / "model.json", json.dumps(told) + "\n")
        return loaded

    def work(self, run: Path, batch: Sequence[Asked]) -> list[list[dict[str, Any]] | SetAside]:
        from synvita.videollm.scoring import score_each

        here = self.ready(run)
        failed = here.store.load(item.video for item in batch)
        good = [item for item in batch if item.video not in failed]
        captions = [[row["caption"] for row in item.rows] for item in good]
        got = score_each(here.model, here.store.media([item.video for item in good]), captions) if good else []
        found = {item.video: [scored(one) for one in some] for item, some in zip(good, got, strict=True)}
        for item in batch:
            if item.video in failed:
                found[item.video] = [{"log_odds": None, "reason": failed[item.video]}] * len(item.rows)
        return [[row | told for row, told in zip(i.rows, found[i.video], strict=True)] for i in batch]

    def close(self) -> None:
        if loaded.store is not None:
            loaded.store.close()


def scored(outcome: tuple[float, str | None]) -> dict[str, Any]:
    value, reason = outcome
    return {"log_odds": round(value, 6)} if reason is None else {"log_odds": None, "reason": reason}
