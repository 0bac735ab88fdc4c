"""The optimiser steps of one training, from its last checkpoint to the finished folder. It knows no loss.

One process or several: every process knows the whole plan, takes every n-th example of a batch and adds its gradients
to the others'. Nothing depends on how the work was split except dropout.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from synvita.core.provenance import file_digest, seed_of
from synvita.core.run_folder import remove
from synvita.train import checkpoint
from synvita.train.arms import Arm
from synvita.train.config import TrainConfig
from synvita.train.examples import Example
from synvita.train.objective import Counts, count, objective
from synvita.train.parallel import Processes
from synvita.train.prepare import Prepared
from synvita.train.schedule import plan, rate_at, warmup_of
from synvita.train.watch import Stop, Watch, area
from synvita.videollm.lora import save_lora
from synvita.videollm.visual import VisualStore

# What may change between a kill and a resume: it moves no number.
FREE = (
    "arms",
    "device",
    "device_map",
    "tracker",
    "cache_gb",
    "decode_timeout",
    "checkpoint_steps",
    "checkpoint_minutes",
)
PARTS = ("loss", "real", "synthetic", "consistency")


class Trainer:
    """The state of one training: model, optimiser, step. `run` takes it from the last checkpoint to the end."""

    def __init__(
        self,
        model: Any,
        wrapped: Any,
        store: VisualStore,
        ready: list[Prepared],
        held_out: list[Example],
        arm: Arm,
        config: TrainConfig,
        seed: int,
        folder: Path,
        processes: Processes,
    ):
        self.model, self.wrapped, self.store, self.processes = model, wrapped, store, processes
        self.ready, self.held_out, self.arm, self.config, self.seed = ready, held_out, arm, config, seed
        self.folder, self.step, self.halved = folder, 0, False
        self.best: dict[str, Any] = {}
        self.trained = {n: p for n, p in wrapped.named_parameters() if p.requires_grad}
        kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = kind(self.trained.values(), lr=config.rate, weight_decay=config.weight_decay)
        self.steps = config.epochs * math.ceil(len(ready) / config.batch)
        warmup = warmup_of(self.steps, config)
        if warmup != config.warmup and processes.first:
            warnings.warn(
                f"--train.warmup: {config.warmup} steps of a training of {self.steps}; warmed up for {warmup} instead",
                stacklevel=2,
            )
        self._resume()

    def _resume(self) -> None:
        """From the last checkpoint, if there is one; what was begun with other data or settings is refused."""
        settings = {k: v for k, v in vars(self.config).items() if k not in FREE}
        settings |= {"arm": vars(self.arm), "lora": vars(self.config.lora), "seed": self.seed}
        settings |= {"base": self.model.revision}
        if self.processes.first:
            checkpoint.begin(self.folder, settings, checkpoint.data_digest(self.ready))
        self.processes.wait()
        state = checkpoint.load_state(self.folder)
        if state is not None:
            self.step, self.best = state.step, state.best
            self.processes.put(self.trained, state.adapter)
            self.optimizer.load_state_dict(self.processes.scattered(state.optimizer, list(self.trained.values())))
        if self.processes.first:
            checkpoint.cut_log(self.folder / "log.jsonl", self.step)

    def save(self) -> None:
        adapter, optimizer = self.processes.gathered(self.trained, self.optimizer.state_dict())
        if self.processes.first:
            checkpoint.save_state(self.folder, checkpoint.State(self.step, adapter, optimizer, self.best))
        self.processes.wait()

    def run(self, tick: Callable[..., None] = lambda *_: None) -> None:
        """Train to the end. SIGTERM: finish the step, write a checkpoint, leave with status 143."""
        ids = [example.id for example in self.ready]
        with Watch(self.folder, self.config, self.processes, self.step) as watch, Stop() as stop:
            for _ in range(self.step):
                tick()
            for step, batch in enumerate(plan(ids, self.config.batch, self.config.epochs, self.seed)):
                if step < self.step:
                    continue
                rate = rate_at(step, self.steps, self.config)
                parts = self.train_step(step, [self.ready[i] for i in batch], rate)
                self.step = step + 1
                if self.config.validate_steps and self.step % self.config.validate_steps == 0 and self.held_out:
                    parts["held_out_auc"] = self.validate()
                watch.log(self.step, parts | {"rate": rate})
                tick(" ".join(f"{name} {parts[name]:.3f}" for name in PARTS))
                stopped = self.processes.any(stop.asked)
                if self.step < self.steps and (stopped or self.processes.any(watch.due(self.step))):
                    watch.sync()
                    self.save()
                if stopped and self.step < self.steps:
                    raise SystemExit(143)

    def train_step(self, step: int, batch: list[Prepared], rate: float) -> dict[str, float]:
        """One optimiser step; the parts of the loss over all processes. Short of memory it halves its passes, once.

        Raises:
            FloatingPointError: the loss is not finite; names the examples. MemoryError: half is still too much.
        """
        self.wrapped.train()
        try:
            total = self._gradients(step, batch)
        except torch.OutOfMemoryError as error:
            size = self._pass_size(batch)
            if size == 1 or self.halved or self.processes.number > 1:
                raise MemoryError(
                    f"out of memory with {size} examples at a time; lower --train.micro-batch or give "
                    "--train.gradient-checkpointing true"
                ) from error
            self.halved = True
            self.optimizer.zero_grad()
            warnings.warn(
                f"out of memory: from now on {self._pass_size(batch)} examples at a time, not {size}", stacklevel=2
            )
            return self.train_step(step, batch, rate)
        if not math.isfinite(total["loss"]):
            names = ", ".join(example.id for example in batch)
            raise FloatingPointError(f"the loss is {total['loss']} on triplets {names}; lower --train.rate")
        self.processes.reduce(self.trained.values())
        if self.config.clip:
            torch.nn.utils.clip_grad_norm_(list(self.trained.values()), self.config.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return total

    def _pass_size(self, batch: list[Prepared]) -> int:
        """Examples per forward and backward pass of one process."""
        size = self.config.micro_batch or math.ceil(len(batch) / self.processes.number)
        return math.ceil(size / 2) if self.halved else size

    def _gradients(self, step: int, batch: list[Prepared]) -> dict[str, float]:
        """Forward and backward passes of this process's share; the parts of the loss over all processes."""
        number, rank = self.processes.number, self.processes.rank
        micro = self.config.micro_batch or math.ceil(len(batch) / number)
        size = self._pass_size(batch)
        whole = count(batch, self.config.normaliser)
        micros = sum(math.ceil(len(batch[r::number]) / micro) for r in range(number))
        share = 1.0
        if self.config.normaliser == "authors":  # each micro-batch by its own counts, then their mean
            share = 1 / micros
        passes: list[tuple[list[Prepared], Counts, float]] = []
        mine = batch[rank::number]
        for i in range(0, len(mine), micro):
            some = mine[i : i + micro]
            counts = count(some) if self.config.normaliser == "authors" else whole
            passes += [(some[j : j + size], counts, share) for j in range(0, len(some), size)]
        most = max(math.ceil(len(batch[r::number]) / size) for r in range(number))
        passes += [(batch[:1], whole, 0.0)] * (most - len(passes))  # processes take as many steps as the others
        total = dict.fromkeys(PARTS, 0.0)
        for k, (some, counts, part) in enumerate(passes):
            torch.manual_seed(seed_of("dropout", self.seed, step, rank, k) % 2**63)
            videos = list(dict.fromkeys(q.video for example in some for q in example.questions if q.weight > 0))
            media = dict(zip(videos, self.store.media(videos), strict=True))
            parts = objective(self.model, some, media, self.arm.consistency_weight, self.arm.margin, counts)
            (parts["loss"] * part).backward()
            for name in PARTS:
                total[name] += parts[name].item() * part
        return self.processes.summed(total)

    def validate(self) -> float:
        """Entailment AUC of the held-out triplets; a better one than before has its adapter kept."""
        self.wrapped.eval()
        found = area(self.model, self.store, self.held_out)
        if self.config.keep == "best" and found > self.best.get("auc", -1.0):
            self.best = {"step": self.step, "auc": found}
            adapter, _ = self.processes.gathered(self.trained, {})
            if self.processes.first:
                checkpoint.save_best(self.folder, adapter)
        return found

    def finish(self, out: Path, facts: dict[str, Any]) -> None:
        """The adapter in peft's format, the log and the facts, in one rename; then the checkpoints may go."""
        adapter, _ = self.processes.gathered(self.trained, {})
        if not self.processes.first:
            return
        if self.config.keep == "best" and self.best:
            adapter = checkpoint.load_best(self.folder)
        run = self.folder.parents[2]
        part = out.with_name(f".{out.name}.part")
        remove(part, run)
        part.mkdir(parents=True)
        save_lora(self.wrapped, part, self.model.revision, adapter)
        shutil.copy(self.folder / "log.jsonl", part / "log.jsonl")
        facts = facts | {"adapter": file_digest(part / "adapter_model.safetensors")}
        (part / "arm.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        remove(out, run)
        part.rename(out)
        remove(self.folder, run)
        with contextlib.suppress(OSError):  # another seed is still at work there
            self.folder.parent.rmdir()
