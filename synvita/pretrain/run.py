"""Second stage: the language model learns to match and to describe what the frozen tower sees.

    python -m synvita.pretrain.run video_llava --tower TOWER/tower.pt --out FOLDER [--device cuda --workers 8]

Loss = cross-entropy of the answer (Yes/No + end) + cross-entropy of the caption; without captioning, matching stays at
chance for minutes. After some steps come pairs of one kind alone, at a rate of their own: a cue for which others can
stand in is never learned beside them (docs/world.md). Resumable: kill it at any moment and give the same command again.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from synvita.pretrain.matching import Chat
from synvita.pretrain.scenes import RELATIONS_ALONE, SHAPES_ALONE, Mix, Sample, draw_batch
from synvita.pretrain.states import Run, ahead, cosine, half_on_gpu
from synvita.pretrain.t5_matching import TinyClipFlanT5, TinyInstructBlip
from synvita.world.scenes import KINDS


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
    "wide": Mix(shape_kinds=KINDS),
}
PLAN = "all:300@2e-3/600,shapes:300@1e-3,all:2000@1.2e-3,wide:600@8e-4"


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


class Pupil(Protocol):
    """A tiny model that learns: what of a batch needs no model, its losses, its folder."""

    model: Any

    def prepare(self, samples: list[Sample], rng: np.random.Generator) -> Any: ...

    def losses(self, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        """(answer loss, captioning loss, share of yes/no answered rightly)."""

    def save(self, folder: Path) -> None: ...


PUPILS: dict[str, Callable[[str, Path | None], Pupil]] = {
    "video_llava": Chat,
    "llava": Chat,
    "clip_flant5": TinyClipFlanT5,
    "instructblip": TinyInstructBlip,
}


def drawn(pupil: Pupil, plan: list[Phase], size: int, seed: int, step: int) -> Any:
    mix = at(plan, step)[0].mix
    return pupil.prepare(draw_batch(seed, step, size, mix), np.random.default_rng([seed, step, 1]))


def train(
    name: str,
    tower: Path | None,
    out: Path,
    plan: list[Phase],
    size: int = 64,
    seed: int = 0,
    save_every: int = 100,
    device: str = "cpu",
    workers: int = 0,
    start: Path | None = None,
) -> None:
    torch.manual_seed(seed)
    pupil = PUPILS[name](name, tower)
    if start is not None:
        pupil.model.load_state_dict(torch.load(start, weights_only=True, map_location="cpu")["model"])
    pupil.model.to(device).train()
    steps = sum(phase.steps for phase in plan)
    run = Run(out, pupil.model, steps, partial(rate_of, plan), save_every)
    draw = partial(drawn, pupil, plan, size, seed)
    for step, batch in zip(run.steps(), ahead(draw, range(run.step, steps), workers), strict=True):
        with half_on_gpu(device):
            answer, said, right = pupil.losses(batch)
        run.update(answer + said)
        if (step + 1) % 20 == 0:
            line = {"step": step + 1, "answer": answer.item(), "captioning": said.item(), "right": right.item()}
            run.log(line | {"rate": run.rate(step)})
    pupil.model.cpu()
    pupil.save(out / "checkpoint")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=list(PUPILS))
    parser.add_argument("--tower", type=Path, required=True, help="tower.pt of synvita.pretrain.tower")
    parser.add_argument("--out", type=Path, required=True, help="folder for state, log and the checkpoint")
    parser.add_argument("--plan", default=PLAN, help=f"phases: MIX:STEPS@PEAK[/COSINE],... (default {PLAN})")
    parser.add_argument("--start", type=Path, help="state.pt of another run, whose weights it begins with")
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
    train(a.name, a.tower, a.out, plan, a.batch, a.seed, a.save_every, a.device, a.workers, a.start)


if __name__ == "__main__":
    main()
