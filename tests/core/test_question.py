"""The question of a shipped checkpoint, token by token against its own tokenizer; what cannot be asked is refused."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from synvita.core.question import Questioner, check_caption


@pytest.fixture(scope="module")
def tokenizer(checkpoints: Path):
    return AutoTokenizer.from_pretrained(checkpoints / "mini-video-llava")


@pytest.fixture
def questioner(tokenizer) -> Questioner:
    return Questioner(tokenizer)


CAPTION = "a small red cross moving left"


def whole(questioner: Questioner, text: str) -> list[int]:
    """The prompt in one piece."""
    return questioner.tokens(questioner.render(text))


def test_prefix_and_question_are_the_whole_prompt_in_one_piece(questioner):
    asked = questioner.ask(CAPTION)
    text = questioner.question.replace("{caption}", CAPTION)
    assert questioner.prefix() + asked.ids == whole(questioner, text)
    assert questioner.prefix()[-1] == questioner.placeholder


def test_the_captions_tokens_are_found_in_the_question(questioner, tokenizer):
    for caption in (CAPTION, "red", "red red red"):
        asked = questioner.ask(caption)
        start, stop = asked.caption
        inside = [tokenizer.decode([token]).strip(' "?\n') for token in asked.ids[start:stop]]
        assert tokenizer.decode(asked.ids[start:stop]).strip(' "?\n') == caption
        assert inside[0] and caption.startswith(inside[0]) and inside[-1] and caption.endswith(inside[-1])


def test_the_answers_are_the_tokens_of_yes_and_no_and_what_ends_them(questioner, tokenizer):
    answers = questioner.answers
    assert [tokenizer.decode([token]).strip() for token in (answers.yes, answers.no)] == ["Yes", "No"]
    assert answers.end in tokenizer.all_special_ids
    assert questioner.answer_ids("Yes") == [answers.yes, answers.end]
    assert questioner.decode([answers.no, answers.end]) == "No"


def test_the_explanation_is_asked_behind_the_same_prefix(questioner):
    text = f'What is the misalignment between this video and the description: "{CAPTION}"?'
    assert questioner.prefix() + questioner.explain(CAPTION) == whole(questioner, text)


def test_a_question_of_its_own_is_asked_as_it_stands_behind_the_same_prefix(questioner, tokenizer):
    question = "Does the cross move before it grows? Answer with Yes or No."
    asked = questioner.ask_question(question)
    assert questioner.prefix() + asked.ids == whole(questioner, question)
    assert tokenizer.decode(asked.ids[slice(*asked.caption)]).strip() == question
    assert questioner.ask(CAPTION).ids != asked.ids and questioner.ask_question(question) == asked


@pytest.mark.parametrize(("caption", "says"), [("", "empty"), (" \n", "empty"), ("a <video> of a dog", "'<video>'")])
def test_a_caption_is_plain_text_and_not_empty(questioner, caption, says):
    for ask in (
        questioner.ask,
        questioner.ask_question,
        questioner.explain,
        lambda caption: check_caption(caption, ["<video>"]),
    ):
        with pytest.raises(ValueError, match=f"^caption.*{says}"):
            ask(caption)


def test_a_checkpoint_whose_prompt_cannot_be_made_is_refused_with_the_way_out(tokenizer):
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    with pytest.raises(ValueError, match=r"has no chat template; save one as chat_template.jinja"):
        Questioner(bare)
    assert Questioner(bare, template=tokenizer.chat_template).prefix() == Questioner(tokenizer).prefix()
    with pytest.raises(ValueError, match=r"gives no <image> for a video; save one that does"):
        Questioner(tokenizer, media="<image>")


@pytest.mark.parametrize(
    ("words", "says"),
    [(["Yes", "Yes"], "start with the same token id"), (["Yes", "a red cross"], "expected one token and an end token")],
)
def test_answer_words_are_two_different_single_tokens(tokenizer, words, says):
    other = copy.deepcopy(tokenizer)
    other.init_kwargs["answer_words"] = words
    with pytest.raises(ValueError, match=says):
        Questioner(other)


def test_a_checkpoint_may_bring_its_own_question_and_answers(tokenizer):
    other = copy.deepcopy(tokenizer)
    other.init_kwargs |= {"question": "{caption} ?", "answer_words": ["No", "Yes"]}
    asked, plain = Questioner(other), Questioner(tokenizer)
    assert (asked.answers.yes, asked.answers.no) == (plain.answers.no, plain.answers.yes)
    assert asked.prefix() + asked.ask(CAPTION).ids == whole(asked, f"{CAPTION} ?")
