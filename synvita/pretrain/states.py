"""Resumable training from scratch: optimiser, schedule, log and state of a pre-training run."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synvita.core.store import Appender, parse_lines


class Run:
    """AdamW with warm-up and cosine; `state.pt` every `save_every` steps; one JSON line per `log`.

    Data are a function of (seed, step), so the state is the model, the optimiser and the step.
    """

    def __init__(self, out: Path, model: nn.Module, steps: int, rate: float, save_every: int) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.model, self.total, self.rate, self.save_every = model, steps, rate, save_every
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
        self.state_file, log_file = out / "state.pt", out / "log.jsonl"
        self.step, self.before = 0, 0.0
        if self.state_file.exists():
            state = torch.load(self.state_file, weights_only=True)
            model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.before = state["step"], state["seconds"]
            lines = parse_lines(log_file) if log_file.exists() else []
            kept = [fields for _, fields in lines if fields["step"] <= self.step]
            log_file.write_text("".join(json.dumps(fields) + "\n" for fields in kept))
        else:
            log_file.unlink(missing_ok=True)
        self.log_file, self.started = log_file, time.monotonic()

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started

    def steps(self) -> Iterator[int]:
        for step in range(self.step, self.total):
            warm = min(1.0, (step + 1) / 100)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / self.total)))
            yield step
            self.step = step + 1
            if self.step % self.save_every == 0 or self.step == self.total:
                self._save()

    def update(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()

    def log(self, line: dict[str, Any]) -> None:
        with Appender(self.log_file, sync_every=1) as log:
            log.append({k: round(v, 4) for k, v in line.items()} | {"seconds": round(self.seconds, 1)})

    def _save(self) -> None:
        part = self.state_file.with_suffix(".part")
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "seconds": self.seconds,
            },
            part,
        )
        part.replace(self.state_file)
