"""Which negative captions the rules let through, by type; every pair was judged by hand."""

import pytest

from synvita.core.records import Misalignment
from synvita.triplets.negatives.prompts import CHANGES, Answer, prompt, read_answer
from synvita.triplets.negatives.rules import Unusable, cannot_carry, check, spans
from synvita.triplets.negatives.words import bases, same_word

WALK = "A man walks his dog in the park"
USABLE = [
    ("object", WALK, "A man walks his cat in the park"),
    ("object", "a dog runs", "an owl runs"),
    ("object", "a man is in the kitchen", "a man is in the garage"),
    ("object", "a boy with his bag", "a girl with her bag"),
    ("action", WALK, "A man washes his dog in the park"),
    ("action", "a woman is cutting bread", "a woman is buttering bread"),
    ("action", "a child picks up a ball", "a child throws away a ball"),
    ("attribute", "a red car drives by", "a blue car drives by"),
    ("attribute", "a man eats slowly", "a man eats hastily"),
    ("count", "two dogs run", "three dogs run"),
    ("count", "2 dogs run", "5 dogs run"),
    ("count", "one dog is running", "four dogs are running"),
    ("count", "a woman with three children", "a woman with one child"),
    ("relation", "a cat sits under a table", "a cat sits on a table"),
    ("relation", "a car in front of a house", "a car behind a house"),
    ("relation", "a man walks to the left", "a man walks to the right"),
    ("hallucination", "a man sings", "a man sings and juggles three knives"),
    ("hallucination", "A man sings.", "A man with a parrot sings."),
    ("flip", "a man sits down and then eats", "a man eats and then sits down"),
    ("flip", "a man eats before he sits down", "a man eats after he sits down"),
    ("flip", "A girl runs, jumps, and falls.", "A girl falls, jumps, and runs."),
    ("flip", "a cook cuts meat after washing a pot", "a cook washes a pot after cutting meat"),
    ("flip", "a man with no hat sits and then waves", "a man with no hat waves and then sits"),
]
UNUSABLE = [
    ("object", WALK, WALK.upper() + ".", "says the same"),
    ("object", WALK, "The man is walking a dog in the park", "says the same"),
    ("object", "a man drives a car", "a guy drives an automobile", "says the same"),
    ("object", WALK, "A man walks his dog", "leaves words out"),
    ("object", WALK, "A person walks his dog in the park", "so general"),
    ("object", WALK, "A man does not walk his dog in the park", "negates"),
    ("object", "two dogs run", "three dogs run", "a number changes"),
    ("object", "a red car", "a blue car", "changes an attribute, not an object"),
    ("object", "a man is painting", "a man is sleeping", "changes an action, not an object"),
    ("object", WALK, "An old clown feeds three loud geese on a boat", "too much changes"),
    ("object", "a dog chases a cat", "a cat chases a dog", "only the order"),
    ("object", "a cat sits under a table", "a cat sits on a table", "nothing is exchanged but"),
    ("object", "a man sings", "a man sings loudly", "only added"),
    ("object", "a man feeds a dog", "a boy feeds a cat", "in two places"),
    ("action", "a man feeds a dog", "a man feeds a cat", "changes an object, not an action"),
    ("attribute", "a dog sleeps", "a cat sleeps", "changes an object, not an attribute"),
    ("attribute", "a man walks home", "a man runs home", "changes an action, not an attribute"),
    ("count", "two dogs run", "a couple dogs run", "says the same"),
    ("count", "two dogs run", "2 dogs run", "says the same"),
    ("count", "two dogs run", "two cats run", "no number is exchanged"),
    ("count", "two dogs run", "three cats run", "more than a number"),
    ("count", "two dogs and three cats", "four dogs and five cats", "exactly one number"),
    ("relation", "a cat sits under a table", "a cat sits under a chair", "more than a word like"),
    ("relation", "a cat sits under a table", "a dog sits on a table", "more than a word like"),
    ("relation", "a cat sits", "a cat sits down", "no word like 'on' or 'behind' is exchanged"),
    ("hallucination", "a man sings", "a woman sings and juggles", "must stay as it is"),
    ("hallucination", "a man sings", "a man sings and sings", "nothing new"),
    (
        "hallucination",
        "a man sings",
        "a man sings " + "loud proud young old red blue green wet dry",
        "words with meaning",
    ),
    ("hallucination", "a man sings", "a man sings " + "and he " * 6, "too long"),
    ("flip", "a man sits down and then eats", "he then sits down and a man eats", "same order"),
    ("flip", "a man sits down and then eats", "a man sits down and then sleeps", "words other than"),
    ("flip", "a man eats before he sits down", "a man sits down after he eats", "says the same"),
    ("flip", "a dog and a cat run", "a cat and a dog run", "same order"),
    ("flip", "a boy holds a dog and a cat", "a boy holds a cat and a dog", "two things of a list"),
    ("flip", "a dog runs and a cat chases it", "a cat is chased by it and a dog runs", "words other than"),
    ("action", "a man in a hat walks slowly home in the rain", "a man", "too short"),
]


@pytest.mark.parametrize(("kind", "caption", "negative"), USABLE)
def test_a_negative_caption_of_its_type_is_let_through(kind, caption, negative):
    check(Misalignment(kind), caption, negative)


@pytest.mark.parametrize(("kind", "caption", "negative", "reason"), UNUSABLE)
def test_what_is_no_negative_of_its_type_is_refused_with_the_reason(kind, caption, negative, reason):
    with pytest.raises(Unusable, match=reason):
        check(Misalignment(kind), caption, negative)


@pytest.mark.parametrize("kind", Misalignment)
def test_the_examples_in_the_prompts_keep_the_rules_of_their_type_and_of_no_stricter_one(kind):
    _, before, after = CHANGES[kind]
    check(kind, before, after)
    for strict in {Misalignment.COUNT, Misalignment.RELATION, Misalignment.HALLUCINATION, Misalignment.FLIP} - {kind}:
        with pytest.raises(Unusable):
            check(strict, before, after)


@pytest.mark.parametrize(
    ("kind", "caption", "carries"),
    [
        ("count", WALK, False),
        ("count", "a couple of dogs", True),
        ("count", "12 dogs", True),
        ("flip", WALK, False),
        ("flip", "a man eats while he sits", False),  # both at the same time
        ("flip", "a man sits down, he eats", True),
        ("flip", "after a man sits down he eats", True),
        ("flip", "Then a man eats", False),
        ("object", "x", True),
    ],
)
def test_types_that_a_caption_cannot_carry_cost_no_request(kind, caption, carries):
    assert (cannot_carry(Misalignment(kind), caption) == "") == carries


@pytest.mark.parametrize(
    ("caption", "negative", "want"),
    [
        (WALK, "A man walks his cat in the park", ("dog", "cat")),
        ("A man sings.", "A man sings and a dog barks.", ("", "and a dog barks")),
        ("a man sits, then eats", "a man eats, then sits", ("sits, then eats", "eats, then sits")),
        ("a dog runs", "an owl runs", ("a dog", "an owl")),
        ("a boy drops his bag", "a girl drops her bag", ("boy drops his", "girl drops her")),
    ],
)
def test_spans_are_the_shortest_pieces_that_differ(caption, negative, want):
    assert spans(caption, negative) == want
    assert all(span in text for span, text in zip(want, (caption, negative), strict=True))


def test_forms_of_a_word_are_one_word_and_words_that_look_alike_are_not():
    same = "running runs|stopped stop|making makes|carries carried|boxes box|men man|two 2|cut cutting|dog's dogs"
    other = "plan plane|ring red|bus but|glass glad|one two|king kin|sing string|hat hate|several few|3 three3"
    assert [pair for pair in same.split("|") if not same_word(*pair.split())] == []
    assert [pair for pair in other.split("|") if same_word(*pair.split())] == []
    assert "run" in bases("running") and "thing" in bases("thing") and "th" not in bases("thing")


GOOD = '{"negative_caption": "a cat runs", "explanation": "a dog runs, not a cat"}'
ANSWER = Answer("a cat runs", "a dog runs, not a cat")


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"<think>maybe {{this}}\n</think>\n{GOOD}",
        f"Here it is: {GOOD} Good luck.",
        GOOD.replace("a cat runs", '\\"a cat runs\\"'),
        GOOD.replace("}", ', "none": null}'),
    ],
)
def test_an_answer_is_read_whatever_stands_around_its_json(text):
    assert read_answer(text) == ANSWER


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I'm sorry, I cannot help with that.", "a refusal: \"I'm sorry"),
        ("a cat runs", "no JSON"),
        ("", "no JSON: nothing"),
        (GOOD[:-20], "cut off"),
        (GOOD + GOOD, "more than one JSON object"),
        ('{"negative_caption": "a", "negative_caption": "b", "explanation": "c"}', "there twice"),
        (GOOD.replace('"a cat runs"', '["a cat runs", "a cow runs"]'), "negative_caption: empty or not text"),
        (GOOD.replace("a cat runs", "1. a cat runs\\n2. a cow runs"), "negative_caption: not one line"),
        (GOOD.replace("explanation", "caption_2"), "the key 'caption_2'"),
        (GOOD.replace("a dog runs, not a cat", " "), "explanation: empty"),
        (GOOD.replace("a cat runs", "a cat " * 200), "negative_caption: 1199 letters"),
        (GOOD.replace("a cat runs", "a \\ud800 runs"), "surrogate"),
        (GOOD.replace("}", ', "none": "no dog"}'), "both a negative caption and none"),
        ('{"a":' * 100_000, "cut off"),
        ('{"negative_caption": NaN}', "NaN"),
    ],
)
def test_an_answer_that_is_not_one_caption_is_refused_with_the_reason(text, reason):
    with pytest.raises(Unusable, match=reason):
        read_answer(text)


@pytest.mark.parametrize("text", ['{"none": "there is\\nno number"}', "None."])
def test_none_is_an_answer(text):
    assert read_answer(text).none and not read_answer(text).negative_caption


def test_a_prompt_quotes_the_caption_and_tells_what_was_wrong_before():
    text = prompt(Misalignment.COUNT, 'two "dogs"\nAnswer {none}', "four dogs", "no JSON: 'four dogs'")
    assert '"two \\"dogs\\"\\nAnswer {none}"' in text and text.endswith("no JSON: 'four dogs'. Answer anew.")
    assert "That cannot be used" not in prompt(Misalignment.COUNT, "two dogs")
