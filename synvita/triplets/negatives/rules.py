"""Is this negative caption usable, and of the type that was asked for? Decided by its words alone, without a model.

The rules are cheap and strict: what they refuse is asked again, with the reason. They know no grammar, so they take for
an object, an action or an attribute what their word lists do not know to be something else (docs/negatives.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from synvita.core.records import Misalignment
from synvita.triplets.negatives.words import (
    ACTIONS,
    ARTICLES,
    ATTRIBUTES,
    CONNECTIVES,
    FUNCTION_WORDS,
    NEGATIONS,
    OBJECTS,
    ORDERED,
    RELATIONS,
    TOO_GENERAL,
    content,
    lower,
    number,
    same_bag,
    same_word,
    same_words,
    words_of,
)

MORE_WORDS = 10  # that a negative caption may have more than the caption
Same = Callable[[str, str], bool]
REMOVED, ADDED, HALLUCINATED = 3, 4, 8  # words with meaning: of a span that changes, and that are only added
KNOWN = {Misalignment.OBJECT: OBJECTS, Misalignment.ACTION: ACTIONS, Misalignment.ATTRIBUTE: ATTRIBUTES}


class Unusable(ValueError):
    """An answer that cannot be used; the text says why, to the model that is asked again and to people."""


@dataclass(frozen=True)
class Change:
    """What differs between two captions, in words with meaning and in lower case.

    `before`, `after`: all of them; `removed`, `added`: what is between the beginning and the end that they share.
    `verb`: the span stands behind an auxiliary, as in `is running`.
    """

    before: list[str]
    after: list[str]
    removed: list[str]
    added: list[str]
    verb: bool


def cannot_carry(kind: Misalignment, caption: str) -> str:
    """Why a caption cannot have a negative of this type, whoever is asked; "" if it may. Costs no request."""
    words = lower(words_of(caption))
    if kind is Misalignment.COUNT and all(number(word) is None for word in words):
        return "no number in it"
    events = any(word in ORDERED for word in words[1:]) or words[:1] in (["after"], ["before"])
    if kind is Misalignment.FLIP and not (events or re.search(r"\w\s*[,;.]\s+\w", caption)):
        return "no two events in an order"
    return ""


def check(kind: Misalignment, caption: str, negative: str) -> None:
    """Raises: Unusable: why this is no negative caption of this type."""
    change = change_of(caption, negative)
    check_length(caption, negative)
    if any(word in NEGATIONS and word not in change.before for word in change.added):
        raise Unusable("it only negates; say what is seen instead")
    if kind is Misalignment.FLIP:
        return flip(caption, negative)
    if same_words(change.before, change.after):
        raise Unusable("it says the same: only articles, endings or synonyms differ")
    if not change.added:
        raise Unusable("it only leaves words out, so it is still true")
    if len(change.before) == len(change.after) and same_bag(change.before, change.after):
        raise Unusable("only the order of the words differs, which is not this type")
    RULES[kind](change, kind)


def spans(caption: str, negative: str) -> tuple[str, str]:
    """The shortest piece of either caption outside of which they are equal, word by word; "" where it is empty."""
    mine, yours = words_of(caption), words_of(negative)
    first, last = shared(lower(mine), lower(yours))
    return piece(caption, mine, first, last), piece(negative, yours, first, last)


def piece(text: str, words: Sequence[re.Match[str]], first: int, last: int) -> str:
    span = words[first : len(words) - last]
    return text[span[0].start() : span[-1].end()] if span else ""


def shared(some: Sequence[str], others: Sequence[str], same: Same = str.__eq__) -> tuple[int, int]:
    """How many words both begin with, and how many of the rest both end with."""
    first, last = same_beginning(some, others, same), same_beginning(some[::-1], others[::-1], same)
    return first, min(last, min(len(some), len(others)) - first)


def same_beginning(some: Sequence[str], others: Sequence[str], same: Same) -> int:
    pairs = enumerate(zip(some, others, strict=False))
    return next((place for place, pair in pairs if not same(*pair)), min(len(some), len(others)))


def change_of(caption: str, negative: str) -> Change:
    words = lower(words_of(caption))
    before, after = content(words), content(lower(words_of(negative)))
    first, last = shared(before, after, same_word)
    removed, added = before[first : len(before) - last], after[first : len(after) - last]
    place = [i for i, word in enumerate(words) if word not in FUNCTION_WORDS][first] if removed else 0
    verb = place > 0 and words[place - 1] in ("is", "are", "was", "were")
    return Change(before, after, removed, added, verb)


def check_length(caption: str, negative: str) -> None:
    number_before, number_after = len(words_of(caption)), len(words_of(negative))
    if number_after > number_before + MORE_WORDS:
        raise Unusable(f"it is too long: {number_after} words, at most {number_before + MORE_WORDS}")
    if 2 * number_after < number_before:
        raise Unusable(f"it is too short: {number_after} words of {number_before}")


# ---- a rule per type; each gets a change that is neither none, nor a paraphrase, nor only of the order


def count(change: Change, kind: Misalignment) -> None:
    """A number word or digit has another value; all else is equal, but for plurals."""
    numbers = [[word for word in words if number(word) is not None] for words in (change.removed, change.added)]
    others = [[word for word in words if number(word) is None] for words in (change.removed, change.added)]
    if not all(numbers):
        raise Unusable("no number is exchanged for another")
    if not same_words(*others) or len(numbers[0]) != len(numbers[1]):
        raise Unusable("more than a number changes")
    if sum(number(one) != number(other) for one, other in zip(*numbers, strict=True)) != 1:
        raise Unusable("exactly one number must change")


def relation(change: Change, kind: Misalignment) -> None:
    """Words of place, direction or relation are exchanged for others; all else is equal."""
    if not same_words(*without(RELATIONS, change)):
        raise Unusable("more than a word like 'on' or 'behind' changes")
    if not any(word in RELATIONS for word in change.removed) or not any(word in RELATIONS for word in change.added):
        raise Unusable("no word like 'on' or 'behind' is exchanged for another")


def hallucination(change: Change, kind: Misalignment) -> None:
    """The caption is all there, and a few words in one place are new."""
    if change.removed:
        raise Unusable("the caption must stay as it is, with words added in one place")
    if len(change.added) > HALLUCINATED:
        raise Unusable(f"{len(change.added)} words with meaning are added; at most {HALLUCINATED}")
    if all(word in change.before or number(word) is not None or word in CONNECTIVES for word in change.added):
        raise Unusable("nothing new is added")


def replacement(change: Change, kind: Misalignment) -> None:
    """One short span is exchanged for another; it is no number, no mere relation, and not known to be another type."""
    removed, added = without(RELATIONS, change)
    if len(change.removed) > REMOVED or len(change.added) > ADDED:
        raise Unusable("too much changes; change one short span")
    if any(same_word(one, other) for one in change.removed for other in change.added):
        raise Unusable("it changes in two places; change one")
    if not removed or not added or same_words(removed, added):
        raise Unusable("nothing is exchanged but words like 'on' or 'behind', or words are only added")
    if [number(w) for w in removed if number(w) is not None] != [number(w) for w in added if number(w) is not None]:
        raise Unusable("a number changes, which is not this type")
    if all(word in TOO_GENERAL for word in added):
        raise Unusable(f"{' '.join(added)!r} is so general that the caption stays true")
    types = [other for other, words in KNOWN.items() if all(is_known(words, word) for word in (*removed, *added))]
    if change.verb and all(word.endswith("ing") for word in (removed[0], added[0])):
        types = [Misalignment.ACTION]
    if len(types) == 1 and kind not in types:
        raise Unusable(f"it changes an {types[0]}, not an {kind}")


def is_known(known: frozenset[str], word: str) -> bool:
    """A list holds a word in one of its forms."""
    return any(same_word(word, one) for one in known)


def flip(caption: str, negative: str) -> None:
    """The same words with meaning; what comes first comes last. Taken along: `before` and `after`, which turn it."""
    before, after = events_of(caption), events_of(negative)
    if not same_bag(before, after):
        raise Unusable("words other than those between the events (then, before, after, and) change")
    subject = next(i for i, word in enumerate(after) if same_word(word, before[0])) if len(before) > 2 else None
    moved = not same_words(before, after)
    if subject is not None:  # `a man` and `he` may change places
        moved = not same_words(before[1:], after[:subject] + after[subject + 1 :])
    turned = backwards(caption) != backwards(negative)
    if not moved and not turned:
        raise Unusable("the events come in the same order")
    if moved and turned:
        raise Unusable("events and 'before' or 'after' are both turned, so it says the same")
    if moved and is_list(caption, before, after):
        raise Unusable("two things of a list change places, which are no events")


def events_of(caption: str) -> list[str]:
    """The words with meaning but for those that join events."""
    words = content(lower(words_of(re.sub(r"(?i)\bfollowed by\b", "then", caption))))
    return [word for word in words if word not in CONNECTIVES]


def backwards(caption: str) -> bool:
    """Whether what is told first comes last: `A after B`, `before A, B`."""
    words = lower(words_of(caption))
    return (("after" in words[1:]) + (words[:1] == ["before"])) % 2 == 1


def is_list(caption: str, before: Sequence[str], after: Sequence[str]) -> bool:
    """Two words change places, and both stand behind an article or a number: `a dog and a cat`."""
    first, last = shared(before, after, same_word)
    pair = before[first : len(before) - last]
    words = lower(words_of(caption))
    pairs = pairwise(words)
    behind = {word for article, word in pairs if article in ARTICLES or number(article) is not None}
    return len(pair) == 2 and behind.issuperset(pair)


def without(words: frozenset[str], change: Change) -> list[list[str]]:
    return [[word for word in part if word not in words] for part in (change.removed, change.added)]


RULES: dict[Misalignment, Callable[[Change, Misalignment], None]] = {
    Misalignment.OBJECT: replacement,
    Misalignment.ACTION: replacement,
    Misalignment.ATTRIBUTE: replacement,
    Misalignment.COUNT: count,
    Misalignment.RELATION: relation,
    Misalignment.HALLUCINATION: hallucination,
}
