"""A tokenizer that knows the miniature's words and spells everything else in bytes, so no text is ever unknown."""

from __future__ import annotations

from typing import Any

from synvita.world.captions import NUMBERS, OBJECT, plural
from synvita.world.scenes import ACTIONS, COLOURS, RELATIONS, SHAPES, SIZES

SPECIAL = ("<pad>", "<s>", "</s>", "<image>", "<video>")
PROMPT = "USER: \nDoes this video figure entail show the description of what happens in ASSISTANT: Yes No"
TEMPLATE = (
    "{%- for m in messages -%}{%- if m.role == 'user' -%}USER: "
    "{%- for c in m.content -%}{%- if c.type == 'text' -%}{{ '\n' + c.text }}"
    "{%- else -%}<{{ c.type }}>{%- endif -%}{%- endfor -%}"
    "{%- else -%}{{ ' ASSISTANT: ' + m.content[0].text + '</s>' }}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ ' ASSISTANT:' }}{%- endif -%}"
)


def words() -> list[str]:
    nouns = [form for shape in (*SHAPES, OBJECT) for form in (shape, plural(shape))]
    text = [*nouns, *COLOURS, *SIZES, *ACTIONS, *RELATIONS, *NUMBERS.values(), "an near then", PROMPT]
    return sorted({word for entry in text for word in entry.replace(":", "").split()})


def core_tokenizer(special: tuple[str, ...], single: str, more: tuple[str, ...] = ()) -> Any:
    """A `tokenizers` tokenizer: whole words of the miniature, bytes for the rest; lossless for any text.

    Args:
        special: special tokens, by id. single: how a text is framed by them, e.g. "<s> $A". more: pieces beside the
            miniature's words that are one token, as the byte-level alphabet writes them.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    whole = [form for word in words() for form in (word, "Ġ" + word) if len(form) > 1]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*special, *alphabet, *whole, *more]))}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    used = [(token, vocabulary[token]) for token in special if token in single.split()]
    core.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=single, special_tokens=used),
        ]
    )
    return core


def pieces_of(text: str) -> tuple[str, ...]:
    """What the byte-level alphabet cuts a text into before any vocabulary."""
    from tokenizers import pre_tokenizers

    return tuple(piece for piece, _ in pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text))


def make_tokenizer(question: str) -> Any:
    """A transformers fast tokenizer for a chat model of the miniature."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=core_tokenizer(SPECIAL, "<s> $A", ('Ġ"', '"?')),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["<image>", "<video>"],
        chat_template=TEMPLATE,
        question=question,
        answer_words=["Yes", "No"],
        clean_up_tokenization_spaces=False,
    )
