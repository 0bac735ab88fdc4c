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


def make_tokenizer(question: str) -> Any:
    """A transformers fast tokenizer: whole words of the miniature, bytes for the rest; lossless for any text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    whole = [form for word in words() for form in (word, "Ġ" + word) if len(form) > 1]
    punctuation = ['Ġ"', '"?']
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*SPECIAL, *alphabet, *whole, *punctuation]))}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    bos = vocabulary["<s>"]
    core.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", bos)]),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["<image>", "<video>"],
        chat_template=TEMPLATE,
        question=question,
        answer_words=["Yes", "No"],
        clean_up_tokenization_spaces=False,
    )
