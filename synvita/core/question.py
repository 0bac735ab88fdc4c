"""From a caption to the token ids that a model is asked, and to the ids of its two answers.

The prompt template (a chat template), the question and the answer words are data stored with a checkpoint, read here
by the same code for 1 M and 7 B parameters. Captions are text, never markup: one that holds a special token is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ENTAILMENT = 'Does this video entail the description: "{caption}"?'
SENTINEL = "\x02caption\x03"


@dataclass(frozen=True)
class Asked:
    """A tokenised question. `caption` are the positions (start, stop) of the caption's tokens in `ids`."""

    ids: list[int]
    caption: tuple[int, int]


@dataclass(frozen=True)
class Answers:
    """First token ids of the two answers, and the token that ends an answer."""

    yes: int
    no: int
    end: int


class Questioner:
    """Asks one question with a checkpoint's own tokenizer, chat template and answer words.

    Args:
        tokenizer: a fast transformers tokenizer with a chat template.
        medium: "video" or "image": the placeholder that the template gets.
    Raises:
        ValueError: no chat template; an answer word is not a single token after the prompt.
    """

    def __init__(self, tokenizer: Any, medium: str = "video", default_question: str = ENTAILMENT):
        self.tokenizer = tokenizer
        self.medium = medium
        stored = getattr(tokenizer, "init_kwargs", {})
        self.question = stored.get("question") or default_question
        self.answer_words = tuple(stored.get("answer_words") or ("Yes", "No"))
        if not getattr(tokenizer, "chat_template", None):
            raise ValueError("the checkpoint's tokenizer has no chat template; save one as chat_template.jinja")
        asked = self._render(self._text(SENTINEL))
        self.head, self.tail = asked.split(SENTINEL)
        self.special = [token for token in tokenizer.all_special_tokens + list(tokenizer.get_added_vocab()) if token]
        self.answers = self._answers()

    def _text(self, caption: str) -> str:
        return self.question.replace("{caption}", caption)

    def _render(self, text: str, answer: str | None = None) -> str:
        content = [{"type": self.medium}, {"type": "text", "text": text}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if answer is not None:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        return self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=answer is None, continue_final_message=False
        )

    def tokens(self, text: str) -> list[int]:
        return self.tokenizer(text)["input_ids"]

    def _answers(self) -> Answers:
        """What the chat template puts after the prompt for each answer word; it must be one token and then an end."""
        prompt = self.tokens(self.head + self.tail)
        after = []
        for word in self.answer_words:
            rendered = self._render(self._text(SENTINEL), word)
            ids = self.tokens(rendered.replace(SENTINEL, ""))
            after.append(ids[len(prompt) :])
            if ids[: len(prompt)] != prompt or len(after[-1]) != 2:
                raise ValueError(
                    f"answer {word!r}: expected one token and an end token after the prompt, got ids {after[-1]}; "
                    "store the checkpoint's answer words as `answer_words` in tokenizer_config.json"
                )
        (yes, end), (no, _) = after
        if yes == no:
            raise ValueError(f"answers {self.answer_words} start with the same token id {yes}")
        return Answers(yes, no, end)

    def ask(self, caption: str) -> Asked:
        """Token ids of the whole prompt; the media placeholder is one token.

        Raises:
            ValueError: an empty caption, or one that holds a special token.
        """
        if not caption.strip():
            raise ValueError("caption: empty; give some text")
        clash = next((token for token in self.special if token in caption), None)
        if clash is not None:
            raise ValueError(f"caption {caption[:60]!r}: holds the special token {clash!r}; captions are plain text")
        encoded = self.tokenizer(self.head + caption + self.tail, return_offsets_mapping=True)
        start, stop = len(self.head), len(self.head) + len(caption)
        # A token may join the caption with the quote around it: whatever overlaps the caption belongs to it.
        spans = encoded["offset_mapping"]
        inside = [i for i, (low, high) in enumerate(spans) if low < stop and high > start]
        return Asked(encoded["input_ids"], (inside[0], inside[-1] + 1))
