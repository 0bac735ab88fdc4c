"""What can be seen in the miniature world, and which of it the fine-tuning positives never show.

A `Content` says what a caption says (unsaid details are None); a *scene* is a content with nothing left open.
Captions name every object and every event, so a caption that misses one is wrong ("closed world"); they may leave
out size, colour and shape, and may say "near" instead of a relation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from synvita.core.provenance import digest

SHAPES = ("square", "circle", "triangle", "cross", "ring")
COLOURS = ("red", "green", "blue", "yellow", "pink", "white", "purple", "cyan")
SIZES = ("small", "large")
ACTIONS = ("moving left", "moving right", "moving up", "moving down", "growing", "shrinking", "blinking")
RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
FAMILIES = ("shape", "colour", "size")  # what tells a thing from another
KINDS = ("single", "events", "relation", "count", "near")

# Seen by the fine-tuned model only in negative captions: the paper's "sombrero, marshmallow, bland" (Sec. 1).
HELD_OUT = {"shape": frozenset({"ring"}), "colour": frozenset({"purple", "cyan"}), "action": frozenset({"shrinking"})}


@dataclass(frozen=True)
class Thing:
    shape: str | None
    colour: str | None
    size: str | None


@dataclass(frozen=True)
class Content:
    """`thing` (1-3 of them) does `events` one after the other; `second`, if any, stands still beside it."""

    thing: Thing
    count: int
    events: tuple[str, ...]
    second: Thing | None = None
    relation: str | None = None

    def __post_init__(self) -> None:
        assert 1 <= self.count <= 3 and 1 <= len(self.events) <= 2
        assert self.relation is None or self.second is not None
        assert self.count + (self.second is not None) <= 3

    @property
    def kind(self) -> str:
        if self.second is not None:
            return "relation" if self.relation else "near"
        if self.count > 1:
            return "count"
        return "events" if len(self.events) == 2 else "single"

    def concepts(self) -> set[tuple[str, str]]:
        """The (family, word) pairs that are named, for the families that can be held out."""
        named = {("action", event) for event in self.events}
        for thing in (self.thing, self.second):
            if thing is not None:
                named |= {(family, getattr(thing, family)) for family in ("shape", "colour")}
        return {(family, word) for family, word in named if word is not None}

    def holds_unseen(self) -> bool:
        return any(word in HELD_OUT[family] for family, word in self.concepts())


PARTS = ("train", "test", "train", "train", "validation", "train")  # of a scene, by its hash modulo six


def part_of(scene: Content) -> str:
    """The part a scene belongs to, by what it shows, whatever the seed: `train` (4 of 6), `test` or `validation`.

    So no test video's scene is ever seen in fine-tuning, in a video or in a clip; `validation` is for choices that
    must not be made on the tests (docs/world.md).
    """
    return PARTS[int(digest(repr(scene), 8), 16) % len(PARTS)]


def choices(family: str, unseen: bool | None) -> list[str]:
    """Words of a family: all (None), only held-out ones (True), or only the others (False)."""
    words = {"shape": SHAPES, "colour": COLOURS, "action": ACTIONS, "size": SIZES}[family]
    if unseen is None or family == "size":
        return list(words)
    return [word for word in words if (word in HELD_OUT[family]) == unseen]


def pick(rng: np.random.Generator, words: list[str]) -> str:
    return words[int(rng.integers(len(words)))]


def draw_thing(rng: np.random.Generator, unseen: bool | None = None) -> Thing:
    return Thing(*(pick(rng, choices(family, unseen)) for family in ("shape", "colour", "size")))


def draw_events(rng: np.random.Generator, number: int, unseen: bool | None = None) -> tuple[str, ...]:
    words = choices("action", unseen)
    return tuple(words[i] for i in rng.permutation(len(words))[:number])


def draw_scene(rng: np.random.Generator, kind: str, unseen: bool | None = None) -> Content:
    """A scene of the kind, uniform over the allowed concepts (`unseen=False`: none of the held-out ones)."""
    thing = draw_thing(rng, unseen)
    if kind == "count":
        return Content(thing, int(rng.integers(2, 4)), draw_events(rng, 1, unseen))
    if kind in ("relation", "near"):
        second = draw_thing(rng, unseen)
        while (second.shape, second.colour) == (thing.shape, thing.colour):  # else nobody could tell which is which
            second = draw_thing(rng, unseen)
        relation = pick(rng, list(RELATIONS)) if kind == "relation" else None
        return Content(thing, 1, draw_events(rng, 1, unseen), second, relation)
    return Content(thing, 1, draw_events(rng, 2 if kind == "events" else 1, unseen))


def complete(content: Content, rng: np.random.Generator) -> Content:
    """A scene that the content describes: what the caption leaves open is drawn at random."""

    def filled(thing: Thing) -> Thing:
        return Thing(*(getattr(thing, f) or pick(rng, choices(f, None)) for f in FAMILIES))

    return replace(content, thing=filled(content.thing), second=filled(content.second) if content.second else None)


def complete_for_training(content: Content, rng: np.random.Generator) -> Content:
    """A completion whose scene is for training where the content has one (`can_be_trained_on`), else any."""
    scene = complete(content, rng)
    while part_of(scene) != "train" and can_be_trained_on(content):
        scene = complete(content, rng)
    return scene


def can_be_trained_on(content: Content) -> bool:
    """Whether some scene that the content describes is for training."""
    return any(part_of(scene) == "train" for scene in completions(content))


def completions(content: Content) -> Iterator[Content]:
    """Every scene that the content describes and that leaves its relation as it is."""

    def filled(thing: Thing) -> list[Thing]:
        return [
            Thing(*words)
            for words in product(*([getattr(thing, f)] if getattr(thing, f) else choices(f, None) for f in FAMILIES))
        ]

    for thing in filled(content.thing):
        for second in filled(content.second) if content.second else [None]:
            yield replace(content, thing=thing, second=second)


def describes(content: Content, scene: Content) -> bool:
    """Whether a caption with this content is true of the scene (closed world)."""

    def fits(said: Thing | None, shown: Thing | None) -> bool:
        if said is None or shown is None:
            return said is shown
        return all(getattr(said, f) in (None, getattr(shown, f)) for f in ("shape", "colour", "size"))

    return (
        content.count == scene.count
        and content.events == scene.events
        and fits(content.thing, scene.thing)
        and fits(content.second, scene.second)
        and content.relation in (None, scene.relation)
    )
