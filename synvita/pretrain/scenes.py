"""What the tiny models are pre-trained on: web-look clips, true captions, and *easy* negatives.

An easy negative is the caption of another scene that differs in at least two things, never a one-word edit. So the
models learn appearance well and time and relations badly, as models pre-trained on web video do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synvita.world.captions import caption_of, leave_out
from synvita.world.render import render
from synvita.world.scenes import KINDS, Content, describes, draw_scene


@dataclass(frozen=True)
class Sample:
    """frames: (8, 32, 32, 3) uint8. `said` is a true caption in full detail, for captioning."""

    frames: np.ndarray
    said: str
    positives: list[str]
    negatives: list[str]


def as_stored(frames: np.ndarray) -> np.ndarray:
    """Frames as the clips' mp4 files hold them: every pixel doubled along both axes (world.dataset)."""
    return frames.repeat(2, 1).repeat(2, 2)


def differences(a: Content, b: Content) -> int:
    """In how many things two contents differ."""
    things = [getattr(a.thing, f) != getattr(b.thing, f) for f in ("shape", "colour", "size")]
    return sum([*things, a.count != b.count, a.events != b.events, a.second != b.second, a.relation != b.relation])


def draw_batch(seed: int, step: int, size: int, kinds: tuple[str, ...] = KINDS) -> list[Sample]:
    """`size` clips with two positives and two easy negatives each; a function of the arguments alone."""
    rng = np.random.default_rng([seed, step])
    scenes = [draw_scene(rng, kinds[int(rng.integers(len(kinds)))]) for _ in range(size)]
    batch = []
    for i, scene in enumerate(scenes):
        # One negative is the nearest of eight other scenes, so that no single cue settles every question.
        negatives = [min(others(rng, scenes, i, 8), key=lambda other: other[0])[1], others(rng, scenes, i, 1)[0][1]]
        positives = [caption_of(leave_out(scene, rng)) for _ in range(2)]
        batch.append(Sample(render(scene, "web", rng), caption_of(scene), positives, negatives))
    return batch


def others(rng: np.random.Generator, scenes: list[Content], i: int, number: int) -> list[tuple[int, str]]:
    """(differences, caption) of `number` other scenes that differ from scene i in at least two things."""
    found: list[tuple[int, str]] = []
    while len(found) < number:
        j = int(rng.integers(len(scenes)))
        different, said = differences(scenes[i], scenes[j]), leave_out(scenes[j], rng)
        if different >= 2 and not describes(said, scenes[i]):
            found.append((different, caption_of(said)))
    return found
