"""The authors' prompts, tokenised as the authors do: piece by piece, so that the ids are those of the training."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from synvita.core.question import ENTAILMENT, EXPLANATION, SENTINEL, Answers, Asked, check_caption

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


def mplug_owl_tokens(
    prompt: str, encode: Encode, limit: int | None = None, placeholder: int = -2, caption: str = ""
) -> Tokens:
    """Ids of a prompt, with an answer behind it or without; `caption` is put in place of `SENTINEL`, never cut.

    Every piece between the marks, and every mark, is tokenised alone: each gets sentencepiece's leading blank, which
    tokenising the whole text at once would not give. With `limit` the end is cut, answer included, as the authors do.
    """
    ids: list[int] = [BOS]
    labels: list[int] = []
    answering = False
    for piece in MPLUG_OWL_MARKS.split(prompt):
        if piece == "<|video|>":
            ids += [placeholder] * VIDEO_TOKENS
        elif piece == "<image>":
            ids += [placeholder + 1]
        elif piece:
            found = encode(piece.replace(SENTINEL, caption))
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


def video_llava_tokens(prompt: str, encode: Encode, placeholder: int = -200, caption: str = "") -> list[int]:
    """Ids of a prompt: BOS, the text between the frames piece by piece, one placeholder per frame.

    `caption` is put in place of `SENTINEL`.
    """
    ids = [BOS]
    for i, piece in enumerate(prompt.split(IMAGE)):
        ids += [placeholder] if i else []
        ids += encode(piece.replace(SENTINEL, caption)) if piece else []
    return ids


class SentencePiece:
    """A checkpoint's own sentencepiece model.

    Raises:
        ValueError: no `tokenizer.model` in the folder.
    """

    def __init__(self, folder: Path):
        from sentencepiece import SentencePieceProcessor

        path = folder / "tokenizer.model"
        if not path.exists():
            raise ValueError(f"--model: {folder}: no tokenizer.model; fetch the checkpoint's sentencepiece model, too")
        self.model = SentencePieceProcessor(model_file=str(path))

    def encode(self, text: str) -> list[int]:
        return self.model.encode(text)

    def decode(self, ids: list[int]) -> str:
        known = self.model.get_piece_size()  # a model may have rows for added tokens that the file knows nothing of
        return self.model.decode([i for i in ids if i < known])


class PieceQuestioner:
    """Asks in a prompt that is tokenised piece by piece; see `core.question.Questioner` for what the names mean.

    Args:
        tokens: (question with `SENTINEL`, caption) -> ids of the whole prompt.
        placeholder: its id; the last one ends the video.
    Raises:
        ValueError: "Yes" or "No" is not a single token.
    """

    def __init__(
        self,
        encode: Encode,
        decode: Callable[[list[int]], str],
        tokens: Callable[[str, str], list[int]],
        placeholder: int,
    ):
        self.encode, self.decode, self.tokens, self.placeholder = encode, decode, tokens, placeholder
        ids = []
        for word in ("Yes", "No"):
            found = encode(word)
            if len(found) != 1:
                raise ValueError(f"answer {word!r}: the checkpoint's tokenizer makes {len(found)} tokens of it")
            ids += found
        self.answers = Answers(ids[0], ids[1], EOS)

    def _split(self, ids: list[int]) -> tuple[list[int], list[int]]:
        behind = len(ids) - ids[::-1].index(self.placeholder)
        return ids[:behind], ids[behind:]

    def prefix(self) -> list[int]:
        return self._split(self.tokens(ENTAILMENT.replace("{caption}", SENTINEL), "x"))[0]

    def ask(self, caption: str) -> Asked:
        """Token ids behind the video; `caption` are the positions of `"caption"?`, as in the authors' masks.

        Raises:
            ValueError: an empty caption.
        """
        check_caption(caption, [])
        question = ENTAILMENT.replace("{caption}", SENTINEL)
        ids = self._split(self.tokens(question, caption))[1]
        quoted = self.encode(f'"{caption}"?')
        start = next((i for i in range(len(ids)) if ids[i : i + len(quoted)] == quoted), None)
        if start is not None:
            return Asked(ids, (start, start + len(quoted)))
        # Signs around the caption joined other tokens: what differs from another caption's question is the caption.
        return Asked(ids, self._differing(ids, question))

    def ask_question(self, question: str) -> Asked:
        """Token ids behind the video of a question that is asked as it stands, in place of the authors' own.

        Raises:
            ValueError: an empty question.
        """
        check_caption(question, [])
        ids = self._split(self.tokens(SENTINEL, question))[1]
        return Asked(ids, self._differing(ids, SENTINEL))

    def _differing(self, ids: list[int], question: str) -> tuple[int, int]:
        """The positions (start, stop) in which `ids` differ from those of other texts in the same question."""
        others = [self._split(self.tokens(question, text))[1] for text in ("x", "1")]
        start = next(i for i in range(len(ids)) if any(i >= len(o) or o[i] != ids[i] for o in others))
        stop = next(i for i in range(len(ids)) if any(i >= len(o) or o[-1 - i] != ids[-1 - i] for o in others))
        return start, max(start + 1, len(ids) - stop)

    def answer_ids(self, text: str) -> list[int]:
        return [*self.encode(text), EOS]

    def explain(self, caption: str) -> list[int]:
        check_caption(caption, [])
        return self._split(self.tokens(EXPLANATION.replace("{caption}", SENTINEL), caption))[1]


def mplug_owl_questioner(pieces: SentencePiece, visual: int = VIDEO_TOKENS) -> PieceQuestioner:
    """The prompt of VideoCon, which fine-tuned mPLUG-Owl first. `visual`: how many tokens stand for a video."""

    def tokens(question: str, caption: str) -> list[int]:
        ids = mplug_owl_tokens(mplug_owl_prompt(SENTINEL, question), pieces.encode, caption=caption).ids
        at = ids.index(-2)
        return [*ids[:at], *[-2] * visual, *ids[at + VIDEO_TOKENS :]]

    return PieceQuestioner(pieces.encode, pieces.decode, tokens, -2)


def video_llava_questioner(pieces: SentencePiece, training: bool = False) -> PieceQuestioner:
    """The prompt that the authors score with; `training`: the one they train with, which differs."""

    def tokens(question: str, caption: str) -> list[int]:
        return video_llava_tokens(video_llava_prompt(SENTINEL, training, question), pieces.encode, caption=caption)

    return PieceQuestioner(pieces.encode, pieces.decode, tokens, -200)
