"""First stage: the vision tower learns to name what single frames show.

    python -m synvita.pretrain.tower --out FOLDER

Real video LLMs start from a tower that was trained on images (CLIP); so do the tiny ones. Without this stage the tiny
models tell colours and motions apart but hardly a square from a ring. Both tiny models start from the same tower, as
Video-LLaVA and LLaVA-1.5 share theirs. Resumable: kill it at any moment and give the same command again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from synvita.core.pixels import Preprocess
from synvita.pretrain.models import WIDTH, tower
from synvita.pretrain.scenes import as_stored
from synvita.pretrain.states import Run
from synvita.world.render import FRAMES, render
from synvita.world.scenes import COLOURS, KINDS, SHAPES, SIZES, Content, draw_scene

# What a frame is tagged with: shapes, colours, sizes, and (shape, colour) of one thing.
TAGS = len(SHAPES) + len(COLOURS) + len(SIZES) + len(SHAPES) * len(COLOURS)
SHAPE_TAGS = len(SHAPES)
MOST = 3  # objects in a scene


class Tagger(nn.Module):
    """The tower with two heads: tags and the number of objects from CLS, and tags from the best patch.

    The second head makes the patches carry what lies in them, which is what a language model reads.
    """

    def __init__(self) -> None:
        from transformers import CLIPVisionModel

        super().__init__()
        self.tower = CLIPVisionModel(tower())
        self.whole = nn.Linear(WIDTH, TAGS + MOST)
        self.patch = nn.Linear(WIDTH, TAGS)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen = self.tower(pixels).last_hidden_state
        whole = self.whole(seen[:, 0]).float()
        return whole[:, :TAGS], whole[:, TAGS:], self.patch(seen[:, 1:]).amax(1).float()


def tags_of(scene: Content) -> np.ndarray:
    tags = np.zeros(TAGS, np.float32)
    for thing in (scene.thing, scene.second):
        if thing is not None:
            shape, colour, size = (
                words.index(word)
                for words, word in ((SHAPES, thing.shape), (COLOURS, thing.colour), (SIZES, thing.size))
            )
            at = len(SHAPES), len(SHAPES) + len(COLOURS), len(SHAPES) + len(COLOURS) + len(SIZES)
            tags[[shape, at[0] + colour, at[1] + size, at[2] + shape * len(COLOURS) + colour]] = 1
    return tags


def draw(seed: int, step: int, clips: int, crowded: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(frames, tags, number of objects - 1) of all frames of `clips` web-look clips without blinking things.

    `crowded`: the share of clips drawn from all kinds of scenes; the others show one object.
    """
    rng = np.random.default_rng([seed, step, 2])
    frames: list[Any] = []
    tags: list[Any] = []
    number: list[int] = []
    while len(frames) < clips:
        kind = KINDS[int(rng.integers(len(KINDS)))] if rng.random() < crowded else "single"
        scene = draw_scene(rng, kind)
        if "blinking" not in scene.events:  # its frames without the thing would carry wrong tags
            frames.append(render(scene, "web", rng))
            tags.append(tags_of(scene))
            number.append(scene.count + (scene.second is not None) - 1)
    return np.concatenate(frames), np.repeat(np.stack(tags), FRAMES, 0), np.repeat(number, FRAMES)


def loss_of(model: Tagger, pixels: Tensor, tags: Tensor, number: Tensor) -> tuple[Tensor, float]:
    """The loss, and the share of frames whose likeliest shape is there."""
    whole, count, patch = model(pixels)
    loss = 0.3 * functional.cross_entropy(count, number)
    for logits in (whole, patch):
        each = functional.binary_cross_entropy_with_logits(logits, tags, reduction="none")
        groups = each.split([SHAPE_TAGS, len(COLOURS), len(SIZES), len(SHAPES) * len(COLOURS)], 1)
        loss = loss + sum(w * g.mean() for w, g in zip((4.0, 1.0, 1.0, 10.0), groups, strict=True))
    best = whole[:, :SHAPE_TAGS].argmax(1, keepdim=True)
    return loss, float(tags[:, :SHAPE_TAGS].gather(1, best).mean())


def train(out: Path, steps: int, clips: int, rate: float, seed: int, save_every: int) -> None:
    torch.manual_seed(seed)
    model: Any = Tagger()
    run = Run(out, model, steps, rate, save_every)
    preprocess = Preprocess(size=model.tower.config.image_size)
    model.train()
    right: list[float] = []
    for step in run.steps():
        crowded = 0.7 * min(1.0, max(0.0, step / steps - 0.2) / 0.2)  # one thing at a time first
        frames, tags, number = draw(seed, step, clips, crowded)
        pixels = preprocess(as_stored(frames))
        with torch.autocast("cpu", torch.bfloat16):
            loss, share = loss_of(model, pixels, torch.from_numpy(tags), torch.from_numpy(number))
        run.update(loss)
        right.append(share)
        if (step + 1) % 100 == 0:
            run.log({"step": step + 1, "loss": loss.item(), "shape": float(np.mean(right)), "crowded": crowded})
            right.clear()
    torch.save(model.tower.state_dict(), out / "tower.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for state, log and tower.pt")
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--clips", type=int, default=12, help="clips of 8 frames per step")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=500, help="steps between resume points")
    a = parser.parse_args()
    train(a.out, a.steps, a.clips, a.rate, a.seed, a.save_every)


if __name__ == "__main__":
    main()
