"""What the tiny text-to-video models learn from: clips of a world of their own look and seed, with true captions.

All concepts are in it, the held-out ones too, as real generators know what a fine-tuning set never shows. A batch is a
function of (seed, step), so it is made ahead of its step by as many processes as there are cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from synvita.core.records import Misalignment
from synvita.world.captions import caption_of, leave_out
from synvita.world.negatives import negative
from synvita.world.render import render
from synvita.world.scenes import Content, complete, draw_scene

LOOK = "clean"
SEED = 77  # beside a run's own: no scene of the miniature's data is drawn with it
# Shares of scenes; "added": another scene with a second event or object, as a hallucinating negative caption asks for.
MIX = {"single": 0.32, "events": 0.24, "count": 0.17, "relation": 0.14, "near": 0.05, "added": 0.08}


def draw_any(rng: np.random.Generator, kind: str) -> Content:
    """A scene of a kind of `MIX`."""
    if kind != "added":
        return draw_scene(rng, kind)
    while True:
        scene = draw_scene(rng, ("single", "events", "count")[int(rng.integers(3))])
        more = negative(scene, Misalignment.HALLUCINATION, rng, towards_unseen=False)
        if more is not None:
            return complete(more, rng)


def draw_clips(seed: int, step: int, size: int, singles: bool) -> tuple[np.ndarray, list[str]]:
    """(frames, captions): uint8 (size, 8, 32, 32, 3), and a true caption each, half of them in full detail.

    `singles`: only single objects, which come first.
    """
    rng = np.random.default_rng([SEED, seed, step])
    kinds = rng.choice(list(MIX), size, p=list(MIX.values()))
    frames, captions = [], []
    for kind in kinds:
        scene = draw_any(rng, "single" if singles else str(kind))
        frames.append(render(scene, LOOK, rng))
        captions.append(caption_of(scene if rng.random() < 0.5 else leave_out(scene, rng)))
    return np.stack(frames), captions


@dataclass
class Batches(Dataset[tuple[Tensor, Tensor]]):
    """Step -> (frames uint8 (B, T, H, W, 3), ids (B, L)); a tenth of the captions are empty, for guidance.

    singles: until this step only single objects.
    """

    tokenizer: Any
    seed: int
    size: int
    singles: int
    dropped: float = 0.1

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        frames, captions = draw_clips(self.seed, step, self.size, step < self.singles)
        empty = np.random.default_rng([SEED, self.seed, step, 1]).random(self.size) < self.dropped
        said = ["" if drop else caption for drop, caption in zip(empty, captions, strict=True)]
        return torch.from_numpy(frames), encode(self.tokenizer, said)


def encode(tokenizer: Any, captions: list[str]) -> Tensor:
    """(B, model_max_length) ids."""
    length = tokenizer.model_max_length
    return torch.tensor(tokenizer(captions, padding="max_length", truncation=True, max_length=length)["input_ids"])


class Steps(Sampler[int]):
    """From a step on, without end."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        step = self.first
        while True:
            yield step
            step += 1


def one_thread(worker: int) -> None:
    torch.set_num_threads(1)


def batches(data: Batches, first: int, workers: int, pinned: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches from step `first` on, in order, made by `workers` processes ahead of their steps."""
    ahead: dict[str, Any] = {"prefetch_factor": 2, "persistent_workers": True, "worker_init_fn": one_thread}
    loader = DataLoader(
        data,
        batch_size=None,
        sampler=Steps(first),
        num_workers=workers,
        pin_memory=pinned,
        **(ahead if workers else {}),
    )
    return iter(loader)
