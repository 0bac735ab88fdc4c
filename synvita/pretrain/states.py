"""Resumable training from scratch: optimiser, schedule, data drawn ahead, log and state of a pre-training run."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synvita.core.store import Appender, parse_lines


def cosine(peak: float, steps: int, warm_up: int = 100, floor: float = 0.02) -> Callable[[int], float]:
    """Step -> learning rate: linear warm-up, then a half cosine from `peak` to `floor` times it at `steps`."""

    def rate(step: int) -> float:
        share = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
        return peak * min(1.0, (step + 1) / warm_up) * share

    return rate


def half_on_gpu(device: str) -> Any:
    """bfloat16 on a GPU; float32 on a CPU, where bfloat16 is 80 times slower without instructions for it."""
    return torch.autocast("cuda", torch.bfloat16) if device.startswith("cuda") else nullcontext()


class Drawn(torch.utils.data.Dataset):
    """Batches by step number."""

    def __init__(self, draw: Callable[[int], Any], steps: list[int]) -> None:
        self.draw, self.numbers = draw, steps

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Any:
        return self.draw(self.numbers[index])


def ahead(draw: Callable[[int], Any], steps: Iterable[int], workers: int) -> Iterator[Any]:
    """`draw(step)` of every step in order; `workers` processes draw ahead of the training, this one if there are 0."""
    data: Any = Drawn(draw, list(steps))
    yield from torch.utils.data.DataLoader(
        data, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None
    )


class Run:
    """AdamW at a given rate per step; `state.pt` every `save_every` steps; one JSON line per `log`.

    Data are a function of (seed, step), so the state is the model, the optimiser and the step.
    """

    def __init__(self, out: Path, model: nn.Module, steps: int, rate: Callable[[int], float], save_every: int) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.model, self.total, self.rate, self.save_every = model, steps, rate, save_every
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=rate(0), weight_decay=0.01, betas=(0.9, 0.98))
        self.state_file, log_file = out / "state.pt", out / "log.jsonl"
        self.step, self.before = 0, 0.0
        if self.state_file.exists():
            state = torch.load(self.state_file, weights_only=True, map_location="cpu")
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
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate(step)
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
