"""Second stage: the language model learns to match and to describe what the frozen tower sees.

    python -m synvita.pretrain.run --tower TOWER/tower.pt --out FOLDER [--device cuda --workers 8]

Loss = cross-entropy of the answer (Yes/No + end) + cross-entropy of the caption; without captioning, matching stays at
chance for minutes. First come pairs of one kind alone, at a rate of their own: a cue for which others can stand in is
never learned beside them (docs/findings.md). Resumable: kill it at any moment and give the same command again.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synvita.pretrain import models
from synvita.pretrain.matching import Batch, Questions, losses, prepare, questions_for
from synvita.pretrain.scenes import RELATIONS_ALONE, SHAPES_ALONE, Mix, draw_batch
from synvita.pretrain.states import Run, ahead, cosine, half_on_gpu


@dataclass(frozen=True)
class Phase:
    """`steps` of a mix, at a rate that would reach its end only after `cosine` steps."""

    steps: int
    mix: Mix
    peak: float
    cosine: int


MIXES = {
    "all": Mix(),
    "related": Mix(relations=0.5),
    "shapes": SHAPES_ALONE,
    "relations": RELATIONS_ALONE,
    "single": Mix(("single",)),
}
PLAN = "shapes:300@2e-3/400,all:1700@1.2e-3"


def parse_plan(text: str) -> list[Phase]:
    """`MIX:STEPS@PEAK[/COSINE],...`, e.g. PLAN; COSINE is STEPS if it is not given.

    Raises:
        ValueError: names the part that is none.
    """
    plan = []
    for part in text.split(","):
        match = re.fullmatch(r"(\w+):(\d+)@([\d.e-]+)(?:/(\d+))?", part.strip())
        if match is None or match[1] not in MIXES:
            raise ValueError(f"--plan: {part!r} is not MIX:STEPS@PEAK[/COSINE] with MIX of {', '.join(MIXES)}")
        plan.append(Phase(int(match[2]), MIXES[match[1]], float(match[3]), int(match[4] or match[2])))
    return plan


def at(plan: list[Phase], step: int) -> tuple[Phase, int]:
    """The phase of a step and which of its steps that is."""
    for phase in plan:
        if step < phase.steps:
            return phase, step
        step -= phase.steps
    raise ValueError(f"the plan ends {step} steps earlier")


def rate_of(plan: list[Phase], step: int) -> float:
    phase, inside = at(plan, step)
    return cosine(phase.peak, phase.cosine)(inside)


def tiny_model(tower: Path | None = None) -> tuple[Any, Any]:
    """(model, tokenizer), with the tower of the first stage, frozen as LLaVA's is; without one (tests) it is random."""
    model, tokenizer = models.tiny_video_llava()
    model.set_attn_implementation("eager")  # 1.4x faster here than SDPA, whose masked CPU backward is slow
    for part in (model.model.video_tower, model.model.image_tower):
        if tower is not None:
            part.load_state_dict(torch.load(tower, weights_only=True))
        part.requires_grad_(False)
    return model, tokenizer


def drawn(ask: Questions, plan: list[Phase], size: int, seed: int, step: int) -> Batch:
    mix = at(plan, step)[0].mix
    return prepare(ask, draw_batch(seed, step, size, mix), np.random.default_rng([seed, step, 1]))


def train(
    tower: Path | None, out: Path, plan: list[Phase], size: int, seed: int, save_every: int, device: str, workers: int
) -> None:
    torch.manual_seed(seed)
    model, tokenizer = tiny_model(tower)
    ask = questions_for(model, tokenizer)
    model.to(device).train()
    steps = sum(phase.steps for phase in plan)
    run = Run(out, model, steps, partial(rate_of, plan), save_every)
    draw: Callable[[int], Batch] = partial(drawn, ask, plan, size, seed)
    for step, batch in zip(run.steps(), ahead(draw, range(run.step, steps), workers), strict=True):
        with half_on_gpu(device):
            answer, said, right = losses(model, ask, batch)
        run.update(answer + said)
        if (step + 1) % 20 == 0:
            line = {"step": step + 1, "answer": answer.item(), "captioning": said.item(), "right": right.item()}
            run.log(line | {"rate": run.rate(step)})
    models.save(model.cpu(), tokenizer, out / "checkpoint")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tower", type=Path, required=True, help="tower.pt of synvita.pretrain.tower")
    parser.add_argument("--out", type=Path, required=True, help="folder for state, log and the checkpoint")
    parser.add_argument("--plan", default=PLAN, help=f"phases: MIX:STEPS@PEAK[/COSINE],... (default {PLAN})")
    parser.add_argument("--batch", type=int, default=64, help="clips per step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=100, help="steps between resume points")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw clips ahead; 0: none")
    a = parser.parse_args()
    try:
        plan = parse_plan(a.plan)
    except ValueError as error:
        parser.error(str(error))
    train(a.tower, a.out, plan, a.batch, a.seed, a.save_every, a.device, a.workers)


if __name__ == "__main__":
    main()
