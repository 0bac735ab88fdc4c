"""Content <-> caption. The grammar is small and unambiguous, so a generator can read back what it is asked to draw."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from synvita.world.scenes import ACTIONS, COLOURS, RELATIONS, SHAPES, SIZES, Content, Thing

NUMBERS = {1: "a", 2: "two", 3: "three"}
OBJECT = "object"  # said when the shape is left open


def plural(noun: str) -> str:
    return noun + ("es" if noun == "cross" else "s")


def noun_phrase(thing: Thing, count: int = 1) -> str:
    noun = thing.shape or OBJECT
    words = [word for word in (thing.size, thing.colour) if word] + [noun if count == 1 else plural(noun)]
    article = "an" if count == 1 and words[0] == OBJECT else NUMBERS[count]
    return " ".join([article, *words])


def caption_of(content: Content) -> str:
    """E.g. 'a small red cross left of a blue circle moving up', 'two red objects growing then blinking'."""
    parts = [noun_phrase(content.thing, content.count)]
    if content.second is not None:
        parts += [content.relation or "near", noun_phrase(content.second)]
    return " ".join([*parts, " then ".join(content.events)])


_NOUNS = {form: shape for shape in (*SHAPES, OBJECT) for form in (shape, plural(shape))}
_THING = rf"(an?|two|three)(?: ({'|'.join(SIZES)}))?(?: ({'|'.join(COLOURS)}))? ({'|'.join(_NOUNS)})"
_EVENT = "|".join(ACTIONS)
_CAPTION = re.compile(rf"{_THING}(?: (near|{'|'.join(RELATIONS)}) {_THING})? ({_EVENT})(?: then ({_EVENT}))?")


def parse_caption(caption: str) -> Content:
    """The content of a caption of this world; ValueError if it is not one."""
    match = _CAPTION.fullmatch(caption)
    if match is None:
        raise ValueError(f"not a caption of the miniature world: {caption!r}; e.g. 'a small red cross moving left'")
    number, size, colour, noun, relation, _, size2, colour2, noun2, first, then = match.groups()

    def thing(shape: str, colour: str | None, size: str | None) -> Thing:
        return Thing(None if _NOUNS[shape] == OBJECT else _NOUNS[shape], colour, size)

    count = {"two": 2, "three": 3}.get(number, 1)
    return Content(
        thing(noun, colour, size),
        count,
        (first, then) if then else (first,),
        thing(noun2, colour2, size2) if noun2 else None,
        None if relation in (None, "near") else relation,
    )


def leave_out(content: Content, rng: np.random.Generator, probability: float = 0.3) -> Content:
    """Drop details that captions may omit, each with its own chance (a shape becomes 'object' half as often)."""

    def thinned(thing: Thing) -> Thing:
        shape, colour, size = rng.random(3)
        return Thing(
            None if shape < probability / 2 else thing.shape,
            None if colour < probability else thing.colour,
            None if size < probability else thing.size,
        )

    said = replace(content, thing=thinned(content.thing))
    return replace(said, second=thinned(content.second)) if content.second is not None else said
