"""Pre-train a tiny checkpoint from scratch: `python -m synvita.pretrain.run video_llava --out FOLDER`.

Loss = cross-entropy of the answer (Yes/No + end) + cross-entropy of the caption; without captioning, matching stays at
chance for minutes. Resumable: kill it at any moment and give the same command again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synvita.core.packing import Pack, Segment, pack
from synvita.core.pixels import Preprocess
from synvita.core.question import Questioner
from synvita.core.store import Appender, parse_lines
from synvita.pretrain import models
from synvita.pretrain.scenes import Sample, draw_batch
from synvita.videollm.packed import hidden_states
from synvita.world.scenes import KINDS

CAPTIONING = "What happens in this {medium}?"


@dataclass
class Task:
    """A model with what is needed to ask it about clips (all frames) or stills (one frame of each clip)."""

    model: Any
    questioner: Questioner
    placeholder: int
    frames: int  # shown to the model at once

    def features(self, pixels: Tensor) -> Tensor:
        """(B * frames, 3, H, W) -> (B, V, width) projected visual tokens."""
        inner = self.model.model
        tower = inner.video_tower if hasattr(inner, "video_tower") else inner.vision_tower
        seen = tower(pixels, output_hidden_states=True).hidden_states[self.model.config.vision_feature_layer]
        return inner.multi_modal_projector(seen).unflatten(0, (-1, self.frames)).flatten(1, 2)


def make_task(name: str) -> tuple[Task, Any]:
    model, tokenizer = models.tiny_video_llava() if name == "video_llava" else models.tiny_llava()
    model.set_attn_implementation("eager")  # 1.4x faster here than SDPA, whose masked CPU backward is slow
    medium = "video" if name == "video_llava" else "image"
    questioner = Questioner(tokenizer, medium)
    return Task(
        model, questioner, tokenizer.convert_tokens_to_ids(f"<{medium}>"), 8 if medium == "video" else 1
    ), tokenizer


def segments(task: Task, sample: Sample, visual: int) -> tuple[list[Segment], list[int]]:
    """Root (visual) -> question -> its four captions; root -> captioning. Second: label per matching segment."""
    asker, answers = task.questioner, task.questioner.answers
    asked = [asker.ask(c) for c in (*sample.positives, *sample.negatives)]
    at = asked[0].ids.index(task.placeholder)
    root = asked[0].ids[:at] + [task.placeholder] * visual
    begin = min(a.caption[0] for a in asked)
    shared = asked[0].ids[at + 1 : begin]
    labels = [answers.yes] * len(sample.positives) + [answers.no] * len(sample.negatives)
    rows = [Segment(root), Segment(shared, 0)]
    rows += [Segment([*a.ids[begin:], label], 1) for a, label in zip(asked, labels, strict=True)]
    ask = asker._render(CAPTIONING.format(medium=asker.medium))
    prompt = asker.tokens(ask)
    whole = asker.tokens(ask + " " + sample.said + "</s>")
    rows.append(Segment(whole[prompt.index(task.placeholder) + 1 : -1], 0))
    return rows, [*labels, len(whole) - len(prompt)]


def losses(task: Task, batch: list[Sample], pixels: Tensor) -> tuple[Tensor, Tensor, float]:
    """(answer loss, captioning loss, share of Yes/No answered rightly)."""
    visual = task.features(pixels)
    built = [segments(task, sample, visual.shape[1]) for sample in batch]
    packed: Pack = pack([rows for rows, _ in built], pad=0)
    hidden = hidden_states(task.model, packed, visual, task.placeholder)
    rows, columns, targets, is_answer, decision = [], [], [], [], []
    for b, (parts, labels) in enumerate(built):
        for s in range(2, len(parts)):
            start, ids = packed.starts[b][s], parts[s].ids
            last = start + len(ids) - 1
            if s < len(parts) - 1:  # matching: predict the answer, then its end
                columns += [last - 1, last]
                targets += [labels[s - 2], task.questioner.answers.end]
                is_answer += [True, True]
                decision += [True, False]
            else:
                said = labels[-1]
                columns += range(last - said + 1, last + 1)
                targets += [*ids[len(ids) - said + 1 :], task.questioner.answers.end]
                is_answer += [False] * said
                decision += [False] * said
            rows += [b] * (len(columns) - len(rows))
    logits = task.model.lm_head(hidden[torch.tensor(rows), torch.tensor(columns)]).float()
    target, answer = torch.tensor(targets), torch.tensor(is_answer)
    each = functional.cross_entropy(logits, target, reduction="none")
    picked = torch.tensor(decision)
    right = (logits[picked].argmax(-1) == target[picked]).float().mean()
    return each[answer].mean(), each[~answer].mean(), float(right)


def pixels_of(task: Task, batch: list[Sample], preprocess: Preprocess, rng: np.random.Generator) -> Tensor:
    if task.frames > 1:
        return preprocess(np.concatenate([sample.frames for sample in batch]))
    return preprocess(np.stack([s.frames[int(rng.integers(len(s.frames)))] for s in batch]))


def train(name: str, out: Path, steps: int, batch_size: int, rate: float, seed: int, save_every: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    task, tokenizer = make_task(name)
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    state_file, log_file, first, before = out / "state.pt", out / "log.jsonl", 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        task.model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first, before = state["step"], state["seconds"]
        kept = [fields for _, fields in parse_lines(log_file) if fields["step"] <= first]
        log_file.write_text("".join(json.dumps(fields) + "\n" for fields in kept))
    elif log_file.exists():
        log_file.unlink()
    preprocess, started, task_started = Preprocess(size=32), time.monotonic(), time.monotonic()
    task.model.train()
    with Appender(log_file, sync_every=1) as log:
        for step in range(first, steps):
            for group in optimizer.param_groups:
                warm = min(1.0, (step + 1) / 100)
                group["lr"] = rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
            kinds = ("single",) if step < steps // 10 else KINDS  # one thing at a time first: it shortens the plateau
            batch = draw_batch(seed, step, batch_size, kinds)
            pixels = pixels_of(task, batch, preprocess, np.random.default_rng([seed, step, 1]))
            with torch.autocast("cpu", torch.bfloat16):
                answer, said, right = losses(task, batch, pixels)
            optimizer.zero_grad()
            (answer + said).backward()
            torch.nn.utils.clip_grad_norm_(task.model.parameters(), 1.0)
            optimizer.step()
            if (step + 1) % 20 == 0:
                seconds = before + time.monotonic() - task_started
                line = {"step": step + 1, "answer": answer.item(), "captioning": said.item(), "right": right}
                log.append({k: round(v, 4) for k, v in line.items()} | {"seconds": round(seconds, 1)})
            if (step + 1) % save_every == 0 or step + 1 == steps:
                state = {
                    "model": task.model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                    "seconds": before + time.monotonic() - started,
                }
                torch.save(state, state_file.with_suffix(".part"))
                state_file.with_suffix(".part").replace(state_file)
    models.save(task.model, tokenizer, out / "checkpoint")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=["video_llava", "llava"])
    parser.add_argument("--out", type=Path, required=True, help="folder for state, log and the checkpoint")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--batch", type=int, default=64, help="clips per step")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=100, help="steps between resume points")
    a = parser.parse_args()
    train(a.name, a.out, a.steps, a.batch, a.rate, a.seed, a.save_every)


if __name__ == "__main__":
    main()
