"""Stage 4: train one arm with one seed. The loop knows no loss; an arm is finished when its folder is there."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synvita.core.provenance import seed_of
from synvita.core.store import as_line
from synvita.train.config import Arm, TrainConfig
from synvita.train.examples import Example, join
from synvita.train.objective import Questions, objective, prepare
from synvita.videollm.lora import add_lora, save_lora
from synvita.videollm.models import load_model
from synvita.videollm.visual import VisualStore


def batches(examples: list[Any], size: int, epochs: int, seed: int) -> Iterator[list[Any]]:
    """Every example once per epoch, in an order that depends on the seed and the epoch alone."""
    for epoch in range(epochs):
        order = np.random.default_rng([seed_of("order", seed, epoch)]).permutation(len(examples))
        for i in range(0, len(order), size):
            yield [examples[j] for j in order[i : i + size]]


def rate_at(step: int, steps: int, config: TrainConfig) -> float:
    """Linear warm-up, then cosine to zero."""
    if step < config.warmup:
        return config.rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, steps - config.warmup)
    return config.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def usable(
    examples: list[Example], store: VisualStore, tick: Callable[[], None]
) -> tuple[list[Example], dict[str, str]]:
    """The examples whose videos can be read, and {video: reason} for the others."""
    videos = [v for e in examples for v in (e.real_video, e.synthetic_video) if v is not None]
    failed = store.load(videos, tick)
    return [e for e in examples if e.real_video not in failed and e.synthetic_video not in failed], failed


def train_arm(
    run: Path,
    name: str,
    arm: Arm,
    config: TrainConfig,
    seed: int,
    tick: Callable[[], None] = lambda: None,
) -> Path:
    """Train, write `adapters/<arm>/<seed>/` (peft adapter, log.jsonl, arm.json) in one rename; skip if it is there.

    Raises:
        ValueError: nothing to train on. FloatingPointError: a loss is not finite; names the batch's triplets.
    """
    out = run / "adapters" / name / str(seed)
    if (out / "arm.json").exists():
        return out
    joined = join(run, arm)
    model = load_model(config.model, config.loading())
    store = VisualStore(model, run / "cache", run, config.decode_timeout)
    examples, failed = usable(joined.examples, store, lambda: None)
    store.close()
    if not examples:
        raise ValueError(f"--run: {run}: none of the {len(joined.examples)} training triplets has readable videos")
    torch.manual_seed(seed_of("lora", seed) % 2**63)
    wrapped = add_lora(model, config.lora)
    trained = [p for p in wrapped.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.rate, weight_decay=config.weight_decay)
    ready = [(e, prepare(model.questioner, e, config.shared_tokens)) for e in examples]
    steps = config.epochs * math.ceil(len(ready) / config.batch)
    wrapped.train()
    log, started = [], time.monotonic()
    for step, batch in enumerate(batches(ready, config.batch, config.epochs, seed)):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps, config)
        parts = train_step(model, store, batch, arm, config)
        torch.nn.utils.clip_grad_norm_(trained, config.clip)
        optimizer.step()
        optimizer.zero_grad()
        log.append({"step": step + 1, **{k: round(v, 6) for k, v in parts.items()}})
        tick()
    part = out.with_name(f".{seed}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_lora(wrapped, part, model.revision)
    (part / "log.jsonl").write_text("".join(as_line(line) for line in log))
    facts = {
        "arm": name,
        "seed": seed,
        "weights_from": joined.weights_from,
        "triplets": len(examples),
        "with_clip": sum(e.synthetic_video is not None for e in examples),
        "without_clip": joined.missing,
        "set_aside": [{"video": video, "reason": reason} for video, reason in failed.items()],
        "temporal_attention": model.temporal_attention,
        "seconds": round(time.monotonic() - started, 1),
    }
    (part / "arm.json").write_text(json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    return out


def train_step(
    model: Any, store: VisualStore, batch: list[tuple[Example, Questions]], arm: Arm, config: TrainConfig
) -> dict[str, float]:
    """Forward and backward of one batch; the parts of the loss."""
    synthetic = [e.synthetic_video for e, _ in batch if e.synthetic_video is not None]
    media = store.media([e.real_video for e, _ in batch] + synthetic)
    parts = objective(model, batch, media, arm.consistency_weight, config.margin)
    if not torch.isfinite(parts["loss"]):
        ids = ", ".join(e.triplet_id for e, _ in batch)
        raise FloatingPointError(f"the loss is {parts['loss'].item()} on triplets {ids}; lower --train.rate")
    parts["loss"].backward()
    return {k: v.item() for k, v in parts.items()}
