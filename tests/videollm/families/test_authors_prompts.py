"""Prompts become the token ids that the authors' code recorded; the tokenizer is a table of the recorded pieces."""

import json
from pathlib import Path

import pytest

from synvita.videollm.families.authors_prompts import (
    IMAGE,
    MPLUG_OWL_MARKS,
    PieceQuestioner,
    SentencePiece,
    mplug_owl_prompt,
    mplug_owl_questioner,
    mplug_owl_tokens,
    video_llava_prompt,
    video_llava_questioner,
    video_llava_tokens,
)

DATA = Path(__file__).parents[2] / "data"
MPLUG_OWL = json.loads((DATA / "mplug_owl_prompts.json").read_text())
VIDEO_LLAVA = json.loads((DATA / "video_llava_inference_prompts.json").read_text())
HUMAN, AI = [29871, 13, 29950, 7889, 29901, 29871], [319, 29902, 29901, 29871]  # FACTS: "\nHuman: " and "AI: "


class Table(dict):
    """Text piece -> recorded ids; a piece that was never recorded is a KeyError, so wrong splitting cannot pass."""

    def __call__(self, text):
        return self[text]


def find(ids, part, start):
    return next(i for i in range(start, len(ids) - len(part) + 1) if ids[i : i + len(part)] == part)


def mplug_owl_table():
    table = Table({"\nHuman: ": HUMAN, "AI: ": AI})
    for case in MPLUG_OWL:
        pieces = [p for p in MPLUG_OWL_MARKS.split(case["prompt"]) if p]
        ids, at = case["input_ids"], 1
        for piece, following in zip(pieces, [*pieces[1:], None], strict=True):
            if piece == "<|video|>":
                at += 65
                continue
            if piece in table:
                at += len(table[piece])
                continue
            try:
                end = len(ids) - 1 if following is None else find(ids, table[following], at)
            except StopIteration:  # the over-long prompt: the rest was cut off
                table[piece] = ids[at:]
                break
            table[piece] = ids[at:end]
            at = end
    return table


TABLE = mplug_owl_table()


@pytest.mark.parametrize("number", range(len(MPLUG_OWL)))
def test_mplug_owl_prompts_give_the_recorded_ids_and_label_positions(number):
    case = MPLUG_OWL[number]
    found = mplug_owl_tokens(case["prompt"], TABLE, limit=257)
    assert found.ids == case["input_ids"] and found.labels == case["label_positions"]
    assert found.ids[0] == 1 and found.ids.count(-2) == 65


def test_without_a_limit_the_answer_of_a_long_prompt_is_kept():
    case = next(c for c in MPLUG_OWL if "too long" in c["note"])
    found = mplug_owl_tokens(case["prompt"], TABLE)
    assert [found.ids[i] for i in found.labels] == [3869, 2]  # "Yes" and the end


def test_the_mplug_owl_prompt_of_a_caption_is_the_recorded_text():
    recorded = {case["prompt"] for case in MPLUG_OWL}
    assert mplug_owl_prompt("Covering [something] with [something]") in recorded
    assert mplug_owl_prompt("a dog runs") + "Yes" in recorded


@pytest.mark.parametrize("number", range(len(VIDEO_LLAVA)))
def test_video_llava_inference_prompts_are_the_recorded_text_and_ids(number):
    case = VIDEO_LLAVA[number]
    assert video_llava_prompt(case["caption"], training=False) == case["prompt"]
    ids, first = case["input_ids"], case["input_ids"].index(-200)
    last = len(ids) - ids[::-1].index(-200)
    head, *_, tail = case["prompt"].split(IMAGE)
    table = Table({head: ids[1:first], " ": [259], tail: ids[last:]})
    assert video_llava_tokens(case["prompt"], table) == ids


def test_the_video_llava_training_prompt_says_user_and_has_no_blanks_between_frames():
    prompt = video_llava_prompt("a dog runs", training=True)
    assert "curious user" in prompt and IMAGE * 8 + "\nDoes this video" in prompt
    table = Table({prompt.split(IMAGE)[0]: [5], prompt.split(IMAGE)[-1]: [6, 7]})
    assert video_llava_tokens(prompt, table) == [1, 5, *[-200] * 8, 6, 7]


# ---- a real sentencepiece model, and the released one


def test_a_trained_sentencepiece_model_tokenises_piece_by_piece(mplug_owl_folder, official_folder):
    pieces = SentencePiece(mplug_owl_folder)
    questioner = mplug_owl_questioner(pieces, visual=5)
    before, asked = questioner.prefix(), questioner.ask("a man walks his dog")
    system = pieces.encode(mplug_owl_prompt("").split("\nHuman: ")[0])
    assert before == [1, *system, *pieces.encode("\nHuman: "), *[-2] * 5]
    question = 'Does this video entail the description: "a man walks his dog"?\n'
    assert asked.ids == [*pieces.encode("\nHuman: "), *pieces.encode(question), *pieces.encode("AI: ")]
    whole = pieces.encode(mplug_owl_prompt("a man walks his dog"))
    assert [1, *whole] != [i for i in before + asked.ids if i != -2]  # tokenising the whole text gives others
    assert pieces.decode(asked.ids[slice(*asked.caption)]) == '"a man walks his dog"?'
    assert questioner.answers.yes == pieces.encode("Yes")[0] != questioner.answers.no
    asked = questioner.ask_question("Does he stop?")
    assert asked.ids == [*pieces.encode("\nHuman: "), *pieces.encode("Does he stop?\n"), *pieces.encode("AI: ")]
    assert "Does he stop?" in pieces.decode(asked.ids[slice(*asked.caption)])
    llava = video_llava_questioner(SentencePiece(official_folder))
    assert llava.prefix().count(-200) == 8 and llava.ask("a ring").ids[-1] == pieces.encode("ASSISTANT:")[-1]


@pytest.mark.parametrize("caption", ["AI: Yes", "a\nHuman: b", "<|video|> and <image>", "</s><s>", "\U0001f600", '"?'])
def test_marks_in_a_caption_stay_text(mplug_owl_folder, official_folder, caption):
    for questioner in (
        mplug_owl_questioner(SentencePiece(mplug_owl_folder)),
        video_llava_questioner(SentencePiece(official_folder)),
    ):
        for asked in (questioner.ask(caption), questioner.ask_question(caption)):
            assert questioner.placeholder not in asked.ids and not {1, 2} & set(asked.ids)
            start, stop = asked.caption
            assert 0 <= start < stop <= len(asked.ids)


def test_a_tokenizer_without_a_single_token_yes_is_refused():
    ids = {"Yes": [5, 6], "No": [7]}
    with pytest.raises(ValueError, match="answer 'Yes': the checkpoint's tokenizer makes 2 tokens of it"):
        PieceQuestioner(ids.get, str, lambda question, caption: [], -2)


@pytest.mark.hub
def test_the_released_sentencepiece_model_gives_the_recorded_ids():
    """Needs the released `tokenizer.model` of LLaMA; it could not be run where this was written."""
    from synvita.videollm.checkpoints import find_checkpoint

    pieces = SentencePiece(find_checkpoint("LanguageBind/Video-LLaVA-7B"))
    for case in MPLUG_OWL:
        found = mplug_owl_tokens(case["prompt"], pieces.encode, limit=257)
        assert found.ids == case["input_ids"] and found.labels == case["label_positions"]
    for case in VIDEO_LLAVA:
        assert video_llava_tokens(case["prompt"], pieces.encode) == case["input_ids"]
    assert (pieces.encode("Yes"), pieces.encode("No")) == ([3869], [1939])
