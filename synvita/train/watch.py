"""What is seen of a training while it runs: the log, a tracker, held-out triplets; and how it is asked to stop."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from synvita.core.provenance import seed_of
from synvita.core.store import as_line
from synvita.train.config import TrainConfig
from synvita.train.examples import Example
from synvita.train.parallel import Processes

EXTRA = {"tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio"}


class Watch:
    """log.jsonl always, and a tracker if one is named; says when a checkpoint is due."""

    def __init__(self, folder: Path, config: TrainConfig, processes: Processes, step: int):
        self.folder, self.config, self.processes = folder, config, processes
        self.last_step, self.last_time = step, time.monotonic()
        tracked = folder.parents[2] / "tracker" / folder.parent.name / folder.name  # stays when checkpoints go
        self.tracker = open_tracker(config.tracker, tracked) if processes.first else None

    def __enter__(self) -> Watch:
        if self.processes.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.file = (self.folder / "log.jsonl").open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.processes.first:
            self.sync()
            self.file.close()
        if self.tracker is not None:
            self.tracker.finish()

    def log(self, step: int, values: dict[str, float]) -> None:
        if not self.processes.first:
            return
        rounded = {name: float(f"{value:.7g}") for name, value in values.items()}
        self.file.write(as_line({"step": step, **rounded}))
        if self.tracker is not None:
            self.tracker.log(rounded, step=step)

    def sync(self) -> None:
        if self.processes.first:
            self.file.flush()
            os.fsync(self.file.fileno())

    def due(self, step: int) -> bool:
        """By steps or by minutes, whichever clock runs out first."""
        every, minutes = self.config.checkpoint_steps, self.config.checkpoint_minutes
        late = bool(minutes) and time.monotonic() - self.last_time >= 60 * minutes
        if late or (every and step - self.last_step >= every):
            self.last_step, self.last_time = step, time.monotonic()
            return True
        return False


class Tracker:
    """accelerate's tracker of one name."""

    def __init__(self, name: str, folder: Path):
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        kind: Any = LOGGER_TYPE_TO_CLASS[name]
        self.inner = kind("synvita", logging_dir=folder) if kind.requires_logging_directory else kind("synvita")
        start = getattr(self.inner, "start", None)
        if start is not None:
            start()

    def log(self, values: dict[str, float], step: int) -> None:
        self.inner.log(values, step=step)

    def finish(self) -> None:
        self.inner.finish()


def open_tracker(name: str, folder: Path) -> Tracker | None:
    """ValueError: its package is not there; names the extra to install."""
    import importlib.util

    if name == "none":
        return None
    if importlib.util.find_spec(EXTRA[name]) is None:
        raise ValueError(f"--train.tracker: {name} is not installed; pip install 'synvita[{name}]'")
    return Tracker(name, folder)


class Stop:
    """SIGTERM asks once, and training ends after the step; a second one ends it at once."""

    asked = False

    def __enter__(self) -> Stop:
        try:
            self.before = signal.signal(signal.SIGTERM, self._ask)
        except ValueError:  # not the main thread: nobody will ask
            self.before = None
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        self.asked = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)


def split_held_out(examples: list[Example], share: float) -> tuple[list[Example], list[Example]]:
    """(trained on, kept back): by the examples' ids, so that another order or more data move nothing."""
    kept = [e for e in examples if share and seed_of("held out", e.id.split("/")[0]) % 10_000 < share * 10_000]
    if share and not kept:
        raise ValueError(f"--train.held-out: {share} of {len(examples)} examples is none; give a larger share")
    held = {e.id for e in kept}
    rest = [e for e in examples if e.id not in held]
    if not rest:
        raise ValueError(f"--train.held-out: {share} leaves nothing to train on")
    return rest, kept


def area(model: Any, store: Any, examples: list[Example]) -> float:
    """ROC-AUC of Yes against No over the real questions of these examples."""
    from sklearn.metrics import roc_auc_score

    from synvita.videollm.scoring import score_captions

    labels, scores = [], []
    for example in examples:
        lines = [line for line in example.lines if not line.synthetic and line.answer in ("Yes", "No")]
        for video in dict.fromkeys(line.video for line in lines):
            mine = [line for line in lines if line.video == video]
            odds = score_captions(model, store.media([video]), [[line.caption for line in mine]])[0]
            labels += [line.answer == "Yes" for line in mine]
            scores += odds.tolist()
    if len(set(labels)) < 2:
        raise ValueError("--train.held-out: its examples have only one kind of answer; give a larger share")
    return float(roc_auc_score(labels, scores))
