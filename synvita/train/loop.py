"""Stage 4: train one arm with one seed. The loop knows no loss; an arm is finished when its folder is there.

One process or several (`accelerate launch`): every process knows the whole plan, takes every n-th example of a batch
and adds its gradients to the others'. Nothing depends on how the work was split except dropout.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from synvita.core.provenance import seed_of
from synvita.core.run_folder import remove
from synvita.train import checkpoint
from synvita.train.arm_folder import adapter_folder, checkpoint_folder
from synvita.train.config import Arm, TrainConfig
from synvita.train.examples import Example, Pair, join
from synvita.train.objective import Counts, count, objective
from synvita.train.parallel import Processes
from synvita.train.prepare import Prepared, prepare
from synvita.train.same_bits import same_bits
from synvita.train.watch import Stop, Watch, area, split_held_out
from synvita.videollm.lora import add_lora, save_lora
from synvita.videollm.models import load_model
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


def plan(ids: Sequence[str], size: int, epochs: int, seed: int) -> Iterator[list[int]]:
    """Every example once per epoch, in an order that depends on the seed, the epoch and the examples' ids alone."""
    for epoch in range(epochs):
        order = sorted(range(len(ids)), key=lambda i: seed_of("order", seed, epoch, ids[i]))
        for i in range(0, len(order), size):
            yield order[i : i + size]


def warmup_of(steps: int, config: TrainConfig) -> int:
    """Steps of warm-up: what is set, or a tenth of the steps, rounded up, if there are no more steps than that.

    A training that is all warm-up hardly leaves its start: one step of 20 has a twentieth of the rate.
    """
    return config.warmup if config.warmup < steps else math.ceil(steps / 10)


def rate_at(step: int, steps: int, config: TrainConfig) -> float:
    """Learning rate of a step (from 0): linear warm-up, then cosine or linear to zero, or constant."""
    warmup = warmup_of(steps, config)
    if step < warmup:
        return config.rate * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    if config.schedule == "cosine":
        return config.rate * 0.5 * (1 + math.cos(math.pi * done))
    return config.rate * (1 - done if config.schedule == "linear" else 1)


def without(example: Example, failed: dict[str, str]) -> Example | None:
    """An example without the clips that cannot be read; None if its real video cannot."""
    if any(line.video in failed and not line.synthetic for line in example.lines):
        return None
    keep = [i for i, line in enumerate(example.lines) if line.video not in failed]
    place = {old: new for new, old in enumerate(keep)}
    pairs = [p for p in example.pairs if p.aligned in place and p.counterpart in place]
    moved = tuple(Pair(place[p.aligned], place[p.counterpart], p.weight) for p in pairs)
    return Example(example.id, tuple(example.lines[i] for i in keep), moved)


def usable(examples: list[Example], store: VisualStore, processes: Processes) -> tuple[list[Example], dict[str, str]]:
    """The examples whose videos can be read, and {video: reason} for the others; features are cached meanwhile."""
    videos = list(dict.fromkeys(v for e in examples for v in e.videos))
    failed = processes.merged(store.load(videos[processes.rank :: processes.number]))
    return [kept for e in examples if (kept := without(e, failed)) is not None], failed


def train_arm(
    run: Path,
    name: str,
    arm: Arm,
    config: TrainConfig,
    seed: int,
    tick: Callable[..., None] = lambda *_: None,
) -> Path:
    """Train, write `models/<model>/adapters/<arm>/<seed>/` (peft adapter, log.jsonl, arm.json) in one rename; what is
    there is kept.

    Goes on from the last checkpoint of `checkpoints/<arm>/<seed>/` beside it after a kill or a SIGTERM.

    Raises:
        ValueError: a name or seed that cannot be a folder's; nothing to train on; begun with other data or settings.
        FloatingPointError: a loss is not finite; names the batch's examples. MemoryError: not even half a micro-batch
            fits.
    """
    out, folder = (place(run, config.home, name, seed) for place in (adapter_folder, checkpoint_folder))
    if (out / "arm.json").exists():
        return out
    processes = Processes(config)
    joined = join(run, arm, config.grouping, config.explanations)
    model = load_model(config.model, processes.loading(config))
    store = VisualStore(model, run / "cache", run, config.decode_timeout, config.cache_gb)
    examples, failed = usable(joined.examples, store, processes)
    if not examples:
        raise ValueError(f"--run: {run}: none of the {len(joined.examples)} training examples has readable videos")
    examples, held_out = split_held_out(examples, config.held_out)
    torch.manual_seed(seed_of("lora", seed) % 2**63)
    wrapped = add_lora(model, config.lora)
    if config.gradient_checkpointing:
        wrapped.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    processes.shard(model)
    ready = [prepare(model.questioner, e, config.shared_tokens) for e in examples]
    trainer = Trainer(model, wrapped, store, ready, held_out, arm, config, seed, folder, processes)
    started = time.monotonic()
    with same_bits(config.deterministic):
        trainer.run(tick)
    facts = {
        "arm": name,
        "seed": seed,
        "weights_from": joined.weights_from,
        "grouping": config.grouping,
        "triplets": len(examples),
        "with_clip": sum(any(line.synthetic for line in e.lines) for e in examples),
        "clips": joined.clips,
        "without_clip": joined.missing,
        "without_clip_ids": joined.missing_ids,
        "explanations": joined.explanations,
        "held_out": len(held_out),
        "set_aside": [{"video": video, "reason": reason} for video, reason in failed.items()],
        "temporal_attention": model.temporal_attention,
        "processes": processes.number,
        "sharded": processes.sharded,
        "best": trainer.best,
        "seconds": round(time.monotonic() - started, 1),
    }
    trainer.finish(out, facts)
    store.close()
    return out


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
        (part / "arm.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        remove(out, run)
        part.rename(out)
        remove(self.folder, run)
        with contextlib.suppress(OSError):  # another seed is still at work there
            self.folder.parent.rmdir()
