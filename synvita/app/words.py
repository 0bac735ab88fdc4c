"""Which words of a caption carry its score: each is left out once, and the score is asked again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from synvita.core import arguments

Score = Callable[[list[str]], Sequence[float]]  # captions of one video -> log-odds of Yes against No, (N,)


@dataclass(frozen=True)
class Word:
    """`carries`: log-odds of the caption minus those without this word. Positive: the word makes the caption fit
    better; negative: it makes it fit worse. None: it is the only word."""

    text: str
    carries: float | None


@dataclass(frozen=True)
class Explained:
    caption: str
    log_odds: float
    words: list[Word]


def explain(score: Score, captions: str | Sequence[str]) -> list[Explained]:
    """Every caption with its words. All are scored in one call, so that the video is decoded and encoded once.

    Words are what white space separates. Leaving one out says what it adds where it stands, not what it means alone:
    of two words that say the same, neither carries much.

    Raises:
        ValueError: no caption, or one without a word.
    """
    listed = [" ".join(text.split()) for text in arguments.captions("captions", captions)]
    if not all(listed):
        raise ValueError(f"captions[{listed.index('')}]: empty; give some text")
    asked = [text for caption in listed for text in [caption, *without_each(caption)]]
    unique = list(dict.fromkeys(asked))
    value = dict(zip(unique, map(float, score(unique)), strict=True))
    return [Explained(caption, value[caption], words_of(caption, value)) for caption in listed]


def without_each(caption: str) -> list[str]:
    """The caption without its first word, without its second, ...; none of a single word."""
    words = caption.split()
    return [" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))] if len(words) > 1 else []


def words_of(caption: str, value: dict[str, float]) -> list[Word]:
    shorter: list[str] | list[None] = without_each(caption) or [None]
    return [
        Word(word, None if less is None else value[caption] - value[less])
        for word, less in zip(caption.split(), shorter, strict=True)
    ]
