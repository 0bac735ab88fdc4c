"""The authors' prompts, tokenised as the authors do: piece by piece, so that the ids are those of the training."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from synvita.core.question import ENTAILMENT

Encode = Callable[[str], list[int]]  # a sentencepiece model's ids of a text, without BOS and EOS

MPLUG_OWL_SYSTEM = (
    "The following is a conversation between a curious human and AI assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
MPLUG_OWL_MARKS = re.compile(r"(<image>|<\|video\|>|AI: |\nHuman: )")
VIDEO_TOKENS = 65  # 64 queries and the end-of-vision vector
BOS, EOS = 1, 2


@dataclass(frozen=True)
class Tokens:
    """`labels`: positions of the answer's tokens and of the end token: what the loss counts."""

    ids: list[int]
    labels: list[int]


def mplug_owl_prompt(caption: str, question: str = ENTAILMENT) -> str:
    return f"{MPLUG_OWL_SYSTEM}\nHuman: <|video|>\nHuman: {question.replace('{caption}', caption)}\nAI: "


def mplug_owl_tokens(prompt: str, encode: Encode, limit: int | None = None, placeholder: int = -2) -> Tokens:
    """Ids of a prompt, with an answer behind it or without.

    Every piece between the marks, and every mark, is tokenised alone: each gets sentencepiece's leading blank, which
    tokenising the whole text at once would not give. With `limit` the end is cut, answer included, as the authors do.
    """
    ids, labels = [BOS], []
    answering = False
    for piece in MPLUG_OWL_MARKS.split(prompt):
        if piece == "<|video|>":
            ids += [placeholder] * VIDEO_TOKENS
        elif piece == "<image>":
            ids += [placeholder + 1]
        elif piece:
            found = encode(piece)
            if answering:
                found = [*found, EOS]
                labels += range(len(ids), len(ids) + len(found))
            ids += found
        answering = piece == "AI: "
    if limit is not None:
        ids, labels = ids[:limit], [i for i in labels if i < limit]
    return Tokens(ids, labels)


IMAGE = "<image>"
FRAMES = 8
# The released training and inference prompts differ: "user" and no blanks, "human" and blanks between the frames.
VIDEO_LLAVA_SYSTEM = (
    "A chat between a curious {asker} and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the {asker}'s questions."
)


def video_llava_prompt(caption: str, training: bool, question: str = ENTAILMENT) -> str:
    asker, between = ("user", "") if training else ("human", " ")
    media = between.join([IMAGE] * FRAMES)
    system = VIDEO_LLAVA_SYSTEM.format(asker=asker)
    return f"{system} USER: {media}\n{question.replace('{caption}', caption)} ASSISTANT:"


def video_llava_tokens(prompt: str, encode: Encode, placeholder: int = -200) -> list[int]:
    """Ids of a prompt: BOS, the text between the frames piece by piece, one placeholder per frame."""
    ids = [BOS]
    for i, piece in enumerate(prompt.split(IMAGE)):
        ids += [placeholder] if i else []
        ids += encode(piece) if piece else []
    return ids
