"""From a caption to the token ids that a model is asked, and to the ids of its two answers.

The prompt template (a chat template), the question and the answer words are data stored with a checkpoint, read here
by the same code for 1 M and 7 B parameters. Captions are text, never markup: one that holds a special token is refused.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import Any

from synvita.core.records import as_list

ENTAILMENT = 'Does this video entail the description: "{caption}"?'
EXPLANATION = 'What is the misalignment between this video and the description: "{caption}"?'  # NLE of VideoCon
SENTINEL = "\x02caption\x03"


@dataclass(frozen=True)
class Question:
    """A yes-or-no question that is asked as it stands, in place of the one about a caption."""

    text: str


@dataclass(frozen=True)
class Asked:
    """The tokenised question behind the video. `caption` are the positions (start, stop) of its tokens in `ids`."""

    ids: list[int]
    caption: tuple[int, int]


@dataclass(frozen=True)
class Answers:
    """First token ids of the two answers, and the token that ends an answer."""

    yes: int
    no: int
    end: int


class CaptionError(ValueError):
    """A caption that cannot be asked about; the message says why and the way out."""


def shown(caption: str) -> str:
    """A caption in a message: its start."""
    return f"{caption[:40]!r}..." if len(caption) > 40 else repr(caption)


def check_caption(caption: str, special: list[str]) -> None:
    """CaptionError: an empty caption, or one that holds a special token."""
    if not caption.strip():
        raise CaptionError("caption: empty; give some text")
    clash = next((token for token in special if token in caption), None)
    if clash is not None:
        raise CaptionError(f"caption {caption[:60]!r}: holds the special token {clash!r}; captions are plain text")


class Questioner:
    """Asks one question with a checkpoint's own tokenizer, chat template and answer words.

    The prompt is cut behind the placeholder token of the video: `before` is the text up to it, the same for all
    captions; `ask` gives the ids of what follows.

    Args:
        tokenizer: a fast transformers tokenizer.
        medium: "video" or "image": the placeholder that the template gets.
        media: the placeholder token as text, if not `<medium>`.
        template: a chat template for checkpoints that have none of their own.
    Raises:
        ValueError: no chat template; no placeholder in it; an answer word is not a single token after the prompt.
    """

    def __init__(
        self,
        tokenizer: Any,
        medium: str = "video",
        default_question: str = ENTAILMENT,
        media: str | None = None,
        template: str | None = None,
    ):
        self.tokenizer = tokenizer
        self.medium = medium
        self.media = media or f"<{medium}>"
        stored = getattr(tokenizer, "init_kwargs", {})
        self.question = stored.get("question") or default_question
        self.answer_words = tuple(as_list(stored.get("answer_words")) or ("Yes", "No"))
        if not isinstance(self.question, str) or not all(isinstance(word, str) for word in self.answer_words):
            raise ValueError("tokenizer_config.json: question and answer_words must be text")
        self.template = getattr(tokenizer, "chat_template", None) or template
        if not self.template:
            raise ValueError("the checkpoint's tokenizer has no chat template; save one as chat_template.jinja")
        self.placeholder = tokenizer.convert_tokens_to_ids(self.media)
        self.special = [token for token in tokenizer.all_special_tokens + list(tokenizer.get_added_vocab()) if token]
        self._cut()

    def _cut(self) -> None:
        """The prompt around video and caption, and the answers behind it."""
        asked = self.render(self._text(SENTINEL))
        if self.media not in asked:
            raise ValueError(
                f"the checkpoint's chat template gives no {self.media} for a {self.medium}; save one that does"
            )
        at = asked.index(self.media) + len(self.media)
        self.before, (self.head, self.tail) = asked[:at], asked[at:].split(SENTINEL)
        self.answers = self._answers()

    def asking(self, question: str) -> Questioner:
        """The same with another question, in which {caption} stands once. ValueError: as of the class."""
        other = copy.copy(self)
        vars(other).pop("plain", None)
        other.question = question
        other._cut()
        return other

    @functools.cached_property
    def plain(self) -> Questioner:
        """The same, asking nothing but what it is given."""
        return self.asking("{caption}")

    def ask_question(self, question: str) -> Asked:
        """Token ids of a question that is asked as it stands; `caption` are the positions of all of it.

        Raises:
            ValueError: an empty question, or one that holds a special token.
        """
        return self.plain.ask(question)

    def _text(self, caption: str) -> str:
        return self.question.replace("{caption}", caption)

    def render(self, text: str, answer: str | None = None) -> str:
        content = [{"type": self.medium}, {"type": "text", "text": text}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if answer is not None:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        return self.tokenizer.apply_chat_template(
            messages,
            chat_template=self.template,
            tokenize=False,
            add_generation_prompt=answer is None,
            continue_final_message=False,
        )

    def tokens(self, text: str) -> list[int]:
        """Ids of a whole prompt. A template that writes BOS itself gets no second one."""
        bos = getattr(self.tokenizer, "bos_token", None)
        return self.tokenizer(text, add_special_tokens=not (bos and text.startswith(bos)))["input_ids"]

    def prefix(self, media_text: str | None = None) -> list[int]:
        """Ids of the prompt up to and including the video; `media_text` stands for the placeholder, if given."""
        before = self.before
        if media_text is not None:
            before = before[: -len(self.media)] + media_text
        return self.tokens(before)

    def _behind(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and character spans of what follows the video: tokenised behind the placeholder, as in the prompt."""
        encoded = self.tokenizer(self.media + text, return_offsets_mapping=True)
        at = encoded["input_ids"].index(self.placeholder) + 1
        spans = [(low - len(self.media), high - len(self.media)) for low, high in encoded["offset_mapping"][at:]]
        return encoded["input_ids"][at:], spans

    def _answers(self) -> Answers:
        """What the chat template puts after the prompt for each answer word: one token, then what ends an answer.

        The end is a special token; a template may put white space behind it, which is no part of the answer.
        """
        prompt = self.tokens(self.before + self.head + self.tail)
        after = []
        for word in self.answer_words:
            ids = self.tokens(self.render(self._text(SENTINEL), word).replace(SENTINEL, ""))
            rest = ids[len(prompt) :]
            after.append(rest)
            if ids[: len(prompt)] != prompt or len(rest) < 2 or self.tokenizer.decode(rest[2:]).strip():
                raise ValueError(
                    f"answer {word!r}: expected one token and an end token after the prompt, got ids {rest}; "
                    "store the checkpoint's answer words as `answer_words` in tokenizer_config.json"
                )
        (yes, end, *_), (no, *_) = after
        if yes == no:
            raise ValueError(f"answers {self.answer_words} start with the same token id {yes}")
        return Answers(yes, no, end)

    def ask(self, caption: str) -> Asked:
        """Token ids of the question and the start of the answer.

        Raises:
            ValueError: an empty caption, or one that holds a special token.
        """
        check_caption(caption, self.special)
        ids, spans = self._behind(self.head + caption + self.tail)
        start, stop = len(self.head), len(self.head) + len(caption)
        # A token may join the caption with the quote around it: whatever overlaps the caption belongs to it.
        inside = [i for i, (low, high) in enumerate(spans) if low < stop and high > start]
        return Asked(ids, (inside[0], inside[-1] + 1))

    def explain(self, caption: str) -> list[int]:
        """Ids of the question what is wrong with a caption (VideoCon's natural-language explanation)."""
        check_caption(caption, self.special)
        text = self.render(EXPLANATION.replace("{caption}", caption))
        return self._behind(text[text.index(self.media) + len(self.media) :])[0]

    def answer_ids(self, text: str) -> list[int]:
        """Ids of a free answer and its end token, as the chat template puts them behind the prompt."""
        prompt = self.tokens(self.before + self.head + self.tail)
        ids = self.tokens(self.render(self._text(SENTINEL), text).replace(SENTINEL, ""))[len(prompt) :]
        return ids[: len(ids) - ids[::-1].index(self.answers.end)]

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip()
