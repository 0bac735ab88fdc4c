"""Hard negatives: change exactly one thing of what a caption says, in one of the seven ways of VideoCon.

Replacements are drawn towards the held-out concepts (half of them) when asked to, so that in the fine-tuning set those
concepts occur in negatives and nowhere else: the bias against words that the paper studies.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synvita.core.records import Misalignment
from synvita.world.scenes import HELD_OUT, OPPOSITE, Content, Thing, choices, draw_events, draw_thing, pick

KINDS_FOR: dict[Misalignment, tuple[str, ...]] = {
    Misalignment.OBJECT: ("single", "events", "relation", "count", "near"),
    Misalignment.ACTION: ("single", "events", "relation", "count", "near"),
    Misalignment.ATTRIBUTE: ("single", "events", "relation", "count", "near"),
    Misalignment.COUNT: ("single", "count"),
    Misalignment.RELATION: ("relation",),
    Misalignment.HALLUCINATION: ("single", "events", "count"),
    Misalignment.FLIP: ("events",),
}


def other_word(rng: np.random.Generator, family: str, word: str, unseen: bool | None) -> str:
    words = [w for w in choices(family, unseen) if w != word]
    return pick(rng, words or [w for w in choices(family, None) if w != word])


def _object(said: Content, rng: np.random.Generator, unseen: bool | None) -> Content | None:
    if said.thing.shape is None:
        return None
    return replace(said, thing=replace(said.thing, shape=other_word(rng, "shape", said.thing.shape, unseen)))


def _attribute(said: Content, rng: np.random.Generator, unseen: bool | None) -> Content | None:
    family = "colour" if unseen or rng.random() < 0.6 else "size"
    word = getattr(said.thing, family)
    if word is None:
        return None
    return replace(said, thing=replace(said.thing, **{family: other_word(rng, family, word, unseen)}))


def _action(said: Content, rng: np.random.Generator, unseen: bool | None) -> Content | None:
    at = int(rng.integers(len(said.events)))
    new = other_word(rng, "action", said.events[at], unseen)
    if new in said.events:
        return None
    return replace(said, events=tuple(new if i == at else event for i, event in enumerate(said.events)))


def _count(said: Content, rng: np.random.Generator, unseen: bool | None) -> Content | None:
    return replace(said, count=int(rng.choice([n for n in (1, 2, 3) if n != said.count])))


def _relation(said: Content, rng: np.random.Generator, unseen: bool | None) -> Content | None:
    return replace(said, relation=OPPOSITE[said.relation]) if said.relation else None


def _hallucination(said: Content, rng: np.random.Generator, unseen: bool | None) -> Content | None:
    if len(said.events) == 1 and (said.count == 3 or rng.random() < 0.5):
        added = draw_events(rng, 1, unseen)
        return replace(said, events=said.events + added) if added[0] not in said.events else None
    if said.count == 3:
        return None
    second = draw_thing(rng, False if unseen is not None else None)
    if unseen:  # one held-out word is enough
        family = ("shape", "colour")[int(rng.integers(2))]
        second = replace(second, **{family: pick(rng, choices(family, True))})
    if (second.shape, second.colour) == (said.thing.shape, said.thing.colour):
        return None
    return replace(said, second=Thing(second.shape, second.colour, None))


def _flip(said: Content, rng: np.random.Generator, unseen: bool | None) -> Content | None:
    return replace(said, events=said.events[::-1]) if len(said.events) == 2 else None


CHANGES = {
    Misalignment.OBJECT: _object,
    Misalignment.ACTION: _action,
    Misalignment.ATTRIBUTE: _attribute,
    Misalignment.COUNT: _count,
    Misalignment.RELATION: _relation,
    Misalignment.HALLUCINATION: _hallucination,
    Misalignment.FLIP: _flip,
}


def negative(
    said: Content, misalignment: Misalignment, rng: np.random.Generator, towards_unseen: bool
) -> Content | None:
    """The content with one thing changed, or None if this draw does not work (the caller draws again).

    `towards_unseen`: replacements are held-out concepts in half of the cases and never in the other half; otherwise
    they are uniform over all concepts.
    """
    unseen = bool(rng.random() < 0.5) if towards_unseen else None
    changed = CHANGES[misalignment](said, rng, unseen)
    return None if changed == said else changed


def replaced_concepts(said: Content, changed: Content) -> set[tuple[str, str]]:
    """The concepts that the negative brings in."""
    return changed.concepts() - said.concepts()


def brings_unseen(said: Content, changed: Content) -> bool:
    return any(word in HELD_OUT[family] for family, word in replaced_concepts(said, changed))
