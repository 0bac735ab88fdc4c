"""The course of a generator's training: optimisers, rate, moving average, log and state."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synvita.core.store import Appender, parse_lines
from synvita.pretrain.muon import Muon


@dataclass(frozen=True)
class Plan:
    """How long and how fast.

    steps or minutes: the length; with minutes the number of steps is what the machine makes of it.
    batch: clips per step. rate: peak, of both optimisers. singles: first steps with single objects only.
    save_every: steps between resume points. warm: steps until the peak. average: decay of the moving average.
    """

    steps: int | None
    minutes: float | None
    batch: int = 32
    rate: float = 2e-3
    singles: int = 300
    save_every: int = 200
    warm: int = 60
    average: float = 0.999
    log_every: int = 20

    def progress(self, step: int, seconds: float) -> float:
        return step / self.steps if self.steps is not None else seconds / (60 * (self.minutes or 1))

    def factor(self, step: int, progress: float) -> float:
        """Of the peak rate: warm-up, then constant, then linear to 0 over the last third."""
        return min(1.0, (step + 1) / self.warm, max(0.0, 3 * (1 - progress)))


class GeneratorRun:
    """Muon for matrices and convolutions inside the networks, AdamW for the rest; `state.pt` every `save_every` steps.

    Data and noise are functions of (seed, step), so the state is the model, its average, the optimisers and the step.
    """

    def __init__(self, out: Path, model: nn.Module, plan: Plan, device: str) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.model, self.plan = model, plan
        self.average = copy.deepcopy(dict(model.named_parameters()))
        matrices = [p for name, p in model.named_parameters() if is_inner_matrix(name, p)]
        chosen = set(map(id, matrices))
        rest = [p for p in model.parameters() if id(p) not in chosen]
        self.optimizers = [
            Muon(matrices, plan.rate),
            torch.optim.AdamW(rest, plan.rate, betas=(0.9, 0.98), weight_decay=0.0, foreach=True),
        ]
        self.state_file, self.log_file = out / "state.pt", out / "log.jsonl"
        self.step, self.before, self.losses = 0, 0.0, torch.zeros((), device=device)
        if self.state_file.exists():
            state = torch.load(self.state_file, weights_only=True, map_location=device)
            model.load_state_dict(state["model"])
            for name, value in self.average.items():
                value.data.copy_(state["average"][name])
            for optimizer, stored in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(stored)
            self.step, self.before = state["step"], state["seconds"]
            lines = parse_lines(self.log_file) if self.log_file.exists() else []
            kept = [fields for _, fields in lines if fields["step"] <= self.step]
            self.log_file.write_text("".join(json.dumps(fields) + "\n" for fields in kept))
        else:
            self.log_file.write_text("")
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started

    def steps(self) -> Iterator[int]:
        while (progress := self.plan.progress(self.step, self.seconds)) < 1:
            factor = self.plan.factor(self.step, progress)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self.plan.rate * factor
            yield self.step
            self.step += 1
            if self.step % self.plan.log_every == 0:
                self.log({"step": self.step, "loss": self.losses.item() / self.plan.log_every, "rate": factor})
                self.losses.zero_()
            if self.step % self.plan.save_every == 0:
                self.save()
        self.save()

    def update(self, loss: Tensor) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
        for optimizer in self.optimizers:
            optimizer.step()
        self.losses += loss.detach()
        decay = min(self.plan.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.model.parameters()), 1 - decay)

    @torch.no_grad()
    def average_into(self, model: nn.Module) -> None:
        for name, p in model.named_parameters():
            p.copy_(self.average[name])

    def log(self, line: dict[str, Any]) -> None:
        with Appender(self.log_file, sync_every=1) as log:
            log.append({k: round(v, 5) for k, v in line.items()} | {"seconds": round(self.seconds, 1)})

    def save(self) -> None:
        part = self.state_file.with_suffix(".part")
        state = {
            "model": self.model.state_dict(),
            "average": {name: value.data for name, value in self.average.items()},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, part)
        part.replace(self.state_file)


def is_inner_matrix(name: str, p: Tensor) -> bool:
    """Neither a norm, a bias, an embedding nor the network's first and last layer."""
    outer = ("embeddings", "unet.input_blocks.0.", "unet.out.")
    return p.ndim > 1 and not any(part in name for part in outer)
