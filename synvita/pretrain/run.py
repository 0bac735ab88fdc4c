"""Second stage: the language model learns to match and to describe what the frozen tower sees.

    python -m synvita.pretrain.run video_llava --tower TOWER/tower.pt --out FOLDER

Loss = cross-entropy of the answer (Yes/No + end) + cross-entropy of the caption; without captioning, matching stays at
chance for minutes. Resumable: kill it at any moment and give the same command again.
"""

from __future__ import annotations

import argparse
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
from synvita.pretrain import models
from synvita.pretrain.scenes import Sample, as_stored, draw_batch
from synvita.pretrain.states import Run
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
        with torch.no_grad():
            seen = tower(pixels, output_hidden_states=True).hidden_states[self.model.config.vision_feature_layer]
        return inner.multi_modal_projector(seen).unflatten(0, (-1, self.frames)).flatten(1, 2)


def make_task(name: str, tower: Path | None = None) -> tuple[Task, Any]:
    """The model with the tower of the first stage, frozen as LLaVA's is; without one (tests) it is random."""
    model, tokenizer = models.tiny_video_llava() if name == "video_llava" else models.tiny_llava()
    model.set_attn_implementation("eager")  # 1.4x faster here than SDPA, whose masked CPU backward is slow
    medium = "video" if name == "video_llava" else "image"
    inner = model.model
    for part in (inner.video_tower, inner.image_tower) if medium == "video" else (inner.vision_tower,):
        if tower is not None:
            part.load_state_dict(torch.load(tower, weights_only=True))
        part.requires_grad_(False)
    placeholder = tokenizer.convert_tokens_to_ids(f"<{medium}>")
    return Task(model, Questioner(tokenizer, medium), placeholder, 8 if medium == "video" else 1), tokenizer


def segments(task: Task, sample: Sample, visual: int) -> tuple[list[Segment], list[int]]:
    """Root (visual) -> question -> its four captions; root -> captioning. Second: label per matching segment."""
    asker, answers = task.questioner, task.questioner.answers
    asked = [asker.ask(c) for c in (*sample.positives, *sample.negatives)]
    root = [*asker.prefix()[:-1], *[task.placeholder] * visual]
    begin = min(a.caption[0] for a in asked)
    shared = asked[0].ids[:begin]
    labels = [answers.yes] * len(sample.positives) + [answers.no] * len(sample.negatives)
    rows = [Segment(root), Segment(shared, 0)]
    rows += [Segment([*a.ids[begin:], label], 1) for a, label in zip(asked, labels, strict=True)]
    ask = asker.render(CAPTIONING.format(medium=asker.medium))
    prompt = asker.tokens(ask)
    whole = asker.tokens(ask + " " + sample.said + "</s>")
    rows.append(Segment(whole[prompt.index(task.placeholder) + 1 : -1], 0))
    return rows, [*labels, len(whole) - len(prompt)]


def losses(task: Task, batch: list[Sample], pixels: Tensor) -> tuple[Tensor, Tensor, float]:
    """(answer loss, captioning loss, share of Yes/No answered rightly)."""
    visual = task.features(pixels)
    built = [segments(task, sample, visual.shape[1]) for sample in batch]
    packed: Pack = pack([rows for rows, _ in built])
    hidden = hidden_states(task.model.model.language_model, packed, task.placeholder, visual.flatten(0, 1))
    rows: list[int] = []
    columns: list[int] = []
    targets: list[int] = []
    is_answer: list[bool] = []
    decision: list[bool] = []
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
        return preprocess(as_stored(np.concatenate([sample.frames for sample in batch])))
    return preprocess(as_stored(np.stack([s.frames[int(rng.integers(len(s.frames)))] for s in batch])))


def train(
    name: str, tower: Path, out: Path, steps: int, batch_size: int, rate: float, seed: int, save_every: int
) -> None:
    torch.manual_seed(seed)
    task, tokenizer = make_task(name, tower)
    run = Run(out, task.model, steps, rate, save_every)
    preprocess = Preprocess(size=task.model.config.vision_config.image_size)
    task.model.train()
    for step in run.steps():
        kinds = ("single",) if step < steps // 10 else KINDS  # one thing at a time first: it shortens the plateau
        batch = draw_batch(seed, step, batch_size, kinds)
        pixels = pixels_of(task, batch, preprocess, np.random.default_rng([seed, step, 1]))
        with torch.autocast("cpu", torch.bfloat16):
            answer, said, right = losses(task, batch, pixels)
        run.update(answer + said)
        if (step + 1) % 20 == 0:
            run.log({"step": step + 1, "answer": answer.item(), "captioning": said.item(), "right": right})
    models.save(task.model, tokenizer, out / "checkpoint")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=["video_llava", "llava"])
    parser.add_argument("--tower", type=Path, required=True, help="tower.pt of synvita.pretrain.tower")
    parser.add_argument("--out", type=Path, required=True, help="folder for state, log and the checkpoint")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--batch", type=int, default=64, help="clips per step")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=100, help="steps between resume points")
    a = parser.parse_args()
    train(a.name, a.tower, a.out, a.steps, a.batch, a.rate, a.seed, a.save_every)


if __name__ == "__main__":
    main()
