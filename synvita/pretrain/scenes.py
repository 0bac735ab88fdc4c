"""What the tiny models are pre-trained on: web-look clips, true captions, and *easy* negatives.

An easy negative is the caption of another scene that differs in at least two things, never a one-word edit. So the
models learn appearance well and time and relations badly, as models pre-trained on web video do. What easy negatives
can always do without, matching never learns: a shape. So some pairs are equal but for the shape (docs/findings.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from synvita.world.captions import caption_of, leave_out
from synvita.world.render import render
from synvita.world.scenes import KINDS, OPPOSITE, SHAPES, Content, describes, draw_scene, pick


@dataclass(frozen=True)
class Mix:
    """What a phase of pre-training draws.

    kinds: of scenes. shapes: share of clips whose negatives differ from the positives in the shape alone.
    shape_kinds: of the scenes of those.
    relations: share of the clips with a relation whose negatives say the opposite one and nothing else.
    alike: what the two easy negatives of the others share with the scene where the batch allows, first things first,
        so that no single cue settles every question.
    """

    kinds: tuple[str, ...] = KINDS
    shapes: float = 0.15
    shape_kinds: tuple[str, ...] = ("single",)
    relations: float = 0.0
    alike: tuple[tuple[str, ...], ...] = (("shape", "colour", "events"), ("shape", "events"))


SHAPES_ALONE = Mix(("single",), shapes=1.0)
RELATIONS_ALONE = Mix(("relation",), shapes=0.0, relations=1.0)


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


def draw_batch(seed: int, step: int, size: int, mix: Mix = Mix()) -> list[Sample]:
    """`size` clips with two positives and two negatives each; a function of the arguments alone."""
    rng = np.random.default_rng([seed, step])
    shapes = [bool(rng.random() < mix.shapes) for _ in range(size)]
    scenes = [draw_scene(rng, pick(rng, list(mix.shape_kinds if shape else mix.kinds))) for shape in shapes]
    batch = []
    for i, scene in enumerate(scenes):
        if shapes[i]:
            pairs = [edited(rng, scene, with_another_shape) for _ in mix.alike]
        elif scene.relation and rng.random() < mix.relations:
            pairs = [edited(rng, scene, with_the_opposite_relation) for _ in mix.alike]
        else:
            positives = [caption_of(leave_out(scene, rng)) for _ in mix.alike]
            pairs = [
                (said, other_caption(rng, scenes, i, alike)) for said, alike in zip(positives, mix.alike, strict=True)
            ]
        positives, negatives = [p for p, _ in pairs], [n for _, n in pairs]
        batch.append(Sample(render(scene, "web", rng), caption_of(scene), positives, negatives))
    return batch


def with_another_shape(said: Content, rng: np.random.Generator) -> Content | None:
    if said.thing.shape is None:
        return None
    return replace(said, thing=replace(said.thing, shape=pick(rng, [s for s in SHAPES if s != said.thing.shape])))


def with_the_opposite_relation(said: Content, rng: np.random.Generator) -> Content | None:
    return replace(said, relation=OPPOSITE[said.relation]) if said.relation else None


def edited(
    rng: np.random.Generator, scene: Content, edit: Callable[[Content, np.random.Generator], Content | None]
) -> tuple[str, str]:
    """A caption of the scene and the same with one thing edited, which is false of the scene."""
    while True:
        said = leave_out(scene, rng)
        wrong = edit(said, rng)
        if wrong is not None and not describes(wrong, scene):
            return caption_of(said), caption_of(wrong)


def other_caption(rng: np.random.Generator, scenes: list[Content], i: int, alike: tuple[str, ...]) -> str:
    """A caption of another scene, unlike scene i in at least two things but like it in `alike` if any scene is."""

    def differs(j: int) -> list[bool]:
        a, b = scenes[i], scenes[j]
        unlike = {
            "shape": a.thing.shape != b.thing.shape,
            "colour": a.thing.colour != b.thing.colour,
            "events": a.events != b.events,
        }
        return [unlike[cue] for cue in alike]

    for j in sorted(rng.permutation(len(scenes)), key=differs):
        said = leave_out(scenes[j], rng)
        if differences(scenes[i], scenes[j]) >= 2 and not describes(said, scenes[i]):
            return caption_of(said)
    raise ValueError("no other scene differs in two things; draw larger batches")
