"""First stage: the vision tower learns to name what single frames show.

    python -m synvita.pretrain.tower --out FOLDER [--kind eva] [--device cuda --workers 8]

Real video LLMs start from a tower that was trained on images (CLIP); so do the tiny ones. Without this stage the tiny
models tell colours and motions apart but hardly a square from a ring. The tiny Video-LLaVA, LLaVA and CLIP-FlanT5 start
from the same tower, as the large ones share CLIP; the tiny InstructBLIP has one of its own (EVA), as the large one.
Resumable: kill it at any moment and give the same command again.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from synvita.core.pixels import Preprocess
from synvita.pretrain import models
from synvita.pretrain.models import WIDTH
from synvita.pretrain.scenes import as_stored
from synvita.pretrain.states import Run, ahead, cosine, half_on_gpu
from synvita.world.render import FRAMES, SIDE, draw_objects, paint
from synvita.world.scenes import COLOURS, KINDS, SHAPES, SIZES, Content, draw_scene

# What a frame is tagged with: shapes, colours, sizes, and (shape, colour) of one thing.
TAGS = len(SHAPES) + len(COLOURS) + len(SIZES) + len(SHAPES) * len(COLOURS)
SHAPE_TAGS = len(SHAPES)
MOST = 3  # objects in a scene
GRID = 3  # patches a side


class Tagger(nn.Module):
    """The tower with three heads: tags and number of objects from CLS, tags from the best patch, colours per patch.

    The second makes the patches carry what is in the picture, the third where it is: whose centre lies in the patch.
    That is what a language model reads.
    """

    def __init__(self, kind: str = "clip") -> None:
        super().__init__()
        self.tower = models.tower_model(kind)
        self.whole = nn.Linear(WIDTH, TAGS + MOST)
        self.patch = nn.Linear(WIDTH, TAGS)
        self.here = nn.Linear(WIDTH, len(COLOURS))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, 3, H, W) -> tags (N, TAGS), number (N, MOST), tags (N, TAGS), colours (N, patches, COLOURS): logits."""
        seen = self.tower(pixels).last_hidden_state
        whole, patches = self.whole(seen[:, 0]).float(), seen[:, 1:]
        return whole[:, :TAGS], whole[:, TAGS:], self.patch(patches).amax(1).float(), self.here(patches).float()


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


def colours_here(scene: Content, opacity: np.ndarray) -> np.ndarray:
    """1 where the centre of a thing lies in the patch.

    Args:
        opacity: (things, FRAMES, SIDE, SIDE), of draw_objects.
    Returns:
        (FRAMES, GRID * GRID, COLOURS).
    """
    here = np.zeros((FRAMES, GRID * GRID, len(COLOURS)), np.float32)
    at = np.arange(SIDE)
    for i, seen in enumerate(opacity):
        thing = scene.thing if i < scene.count else scene.second
        mass = np.maximum(seen.sum((1, 2)), 1e-6)
        row, column = ((seen.sum(axis) @ at / mass * GRID / SIDE).astype(int) for axis in (2, 1))
        here[np.arange(FRAMES), row * GRID + column, COLOURS.index(thing.colour)] = 1  # type: ignore[union-attr, arg-type]
    return here


def draw(clips: int, crowded_from: int, seed: int, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All frames of `clips` web-look clips without blinking things, and what is to be learned of them.

    Before step `crowded_from` clips show one thing (one at a time first); in as many steps after it the share of clips
    of all kinds grows to 0.7.

    Returns:
        pixels (N, 3, H, W), tags (N, TAGS), number of things - 1 (N,), colours (N, patches, COLOURS).
    """
    rng = np.random.default_rng([seed, step, 2])
    crowded = 0.7 * min(1.0, max(0.0, step / crowded_from - 1))
    frames: list[Any] = []
    tags: list[Any] = []
    number: list[int] = []
    here: list[Any] = []
    while len(frames) < clips:
        kind = KINDS[int(rng.integers(len(KINDS)))] if rng.random() < crowded else "single"
        scene = draw_scene(rng, kind)
        if "blinking" not in scene.events:  # its frames without the thing would carry wrong tags
            opacity, colours = draw_objects(scene, rng)
            frames.append(paint(opacity, colours, "web", rng))
            tags.append(tags_of(scene))
            number.append(scene.count + (scene.second is not None) - 1)
            here.append(colours_here(scene, opacity))
    pixels = Preprocess(size=models.SIDE)(as_stored(np.concatenate(frames)))
    tagged, counted, lies = np.repeat(np.stack(tags), FRAMES, 0), np.repeat(number, FRAMES), np.concatenate(here)
    return pixels, torch.from_numpy(tagged), torch.from_numpy(counted), torch.from_numpy(lies)


def loss_of(model: Tagger, pixels: Tensor, tags: Tensor, number: Tensor, here: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and the share of frames whose likeliest shape is there."""
    whole, count, patch, where = model(pixels)
    loss = 0.3 * functional.cross_entropy(count, number)
    loss = loss + 3.0 * functional.binary_cross_entropy_with_logits(where, here)
    for logits in (whole, patch):
        each = functional.binary_cross_entropy_with_logits(logits, tags, reduction="none")
        groups = each.split([SHAPE_TAGS, len(COLOURS), len(SIZES), len(SHAPES) * len(COLOURS)], 1)
        loss = loss + sum(w * g.mean() for w, g in zip((4.0, 1.0, 1.0, 10.0), groups, strict=True))
    best = whole[:, :SHAPE_TAGS].argmax(1, keepdim=True)
    return loss, tags[:, :SHAPE_TAGS].gather(1, best).mean()


def train(
    out: Path,
    steps: int,
    clips: int,
    rate: float,
    seed: int,
    save_every: int,
    device: str = "cpu",
    workers: int = 0,
    kind: str = "clip",
) -> None:
    torch.manual_seed(seed)
    model: Any = Tagger(kind).to(device)
    run = Run(out, model, steps, cosine(rate, steps), save_every)
    model.train()
    shares: list[Tensor] = []
    drawn = ahead(partial(draw, clips, max(1, steps // 5), seed), range(run.step, steps), workers)
    for step, batch in zip(run.steps(), drawn, strict=True):
        with half_on_gpu(device):
            loss, share = loss_of(model, *(value.to(device) for value in batch))
        run.update(loss)
        shares.append(share)
        if (step + 1) % 100 == 0:
            run.log({"step": step + 1, "loss": loss.item(), "shape": float(torch.stack(shares).mean())})
            shares.clear()
    torch.save(model.tower.cpu().state_dict(), out / "tower.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for state, log and tower.pt")
    parser.add_argument("--kind", choices=["clip", "eva"], default="clip", help="whose vision tower")
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--clips", type=int, default=12, help="clips of 8 frames per step")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=500, help="steps between resume points")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw clips ahead; 0: none")
    a = parser.parse_args()
    train(a.out, a.steps, a.clips, a.rate, a.seed, a.save_every, a.device, a.workers, a.kind)


if __name__ == "__main__":
    main()
