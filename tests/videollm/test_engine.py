"""The contract of every video LLM: shared prefixes give the numbers of one plain forward pass per pair."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synvita.core.question import Question
from synvita.videollm.scoring import ask_within, explain, score_captions, score_each, score_questions

CAPTIONS = [
    "a small red cross moving left then growing",
    "a ring",
    "two purple objects blinking",
    "a large blue square left of a white circle shrinking",
    'a man says "Yes" or "No" \U0001f600',
    "a ring\nthen a cross",
]


def alone(model, media, asked, hidden=()):
    """The naive truth: one pair, no cache, the decoder's own causal mask (or a plain key mask)."""
    language = model.language
    ids = torch.tensor([[*media.ids, *asked.ids]])
    at = ids == model.placeholder
    embedded = language.get_input_embeddings()(ids.masked_fill(at, 0))
    embedded[at] = media.visual
    keys = torch.ones_like(ids)
    keys[0, [len(media.ids) + i for i in hidden]] = 0
    positions = torch.arange(ids.shape[1])[None]
    with torch.no_grad():
        out = language(
            inputs_embeds=embedded, attention_mask=keys if hidden else None, position_ids=positions, use_cache=False
        )
        logits = model.logits(out.last_hidden_state[0, -1])
    return float(logits[model.questioner.answers.yes] - logits[model.questioner.answers.no])


def test_scores_equal_one_forward_pass_per_pair(model, media):
    got = score_captions(model, media, [CAPTIONS] * 3)
    for b in range(3):
        want = [alone(model, media[b], model.questioner.ask(caption)) for caption in CAPTIONS]
        assert np.ptp(want) > 0.01  # else equality would say nothing
        np.testing.assert_allclose(got[b].numpy(), want, atol=1e-4)
    assert np.ptp([odds[0] for odds in got]) > 0.001  # the videos matter, too


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(st.lists(st.integers(0, len(CAPTIONS) - 1), max_size=9), min_size=3, max_size=3),
    questions=st.integers(1, 9),
    tokens=st.integers(1, 5000),
)
def test_scores_do_not_depend_on_batch_size_order_padding_or_number_of_captions(model, media, asked, questions, tokens):
    whole = score_captions(model, media, [CAPTIONS] * 3)
    texts = [[CAPTIONS[i] for i in some] for some in asked]
    got = score_captions(model, media, texts, questions_at_once=questions, tokens_at_once=tokens)
    for b, some in enumerate(asked):
        torch.testing.assert_close(got[b], whole[b][some], atol=1e-4, rtol=0)


def test_masked_twins_equal_a_plain_pass_with_a_key_mask(model, media):
    asked = [model.questioner.ask(caption) for caption in CAPTIONS]
    hidden = [[a.caption[0] + 1, a.caption[1] - 1] if a.caption[1] - a.caption[0] > 2 else [] for a in asked]
    for b in range(2):
        got = score_questions(model, [media[b]], [asked], [hidden])[0]
        want = [alone(model, media[b], a, tuple(h)) for a, h in zip(asked, hidden, strict=True)]
        np.testing.assert_allclose(got.numpy(), want, atol=1e-4)
    full = score_questions(model, [media[1]], [asked])[0]
    assert (full - got).abs().max() > 1e-3  # hiding tokens matters


def test_the_caption_is_where_the_question_says_it_is(model):
    for caption in CAPTIONS:
        asked = model.questioner.ask(caption)
        start, stop = asked.caption
        assert caption.split()[0] in model.questioner.decode(asked.ids[start:stop])
        assert "entail" not in model.questioner.decode(asked.ids[start:stop])


def test_an_item_that_gives_no_score_does_not_stop_the_others(model, media):
    whole = score_captions(model, media[:1], [CAPTIONS])[0]
    found = score_each(model, media[:1], [[CAPTIONS[0], " ", "word " * 2000, CAPTIONS[2]]])[0]
    assert found[0] == (pytest.approx(whole[0].item(), abs=1e-4), None)
    assert found[3] == (pytest.approx(whole[2].item(), abs=1e-4), None)
    assert math.isnan(found[1][0]) and "empty" in found[1][1]
    assert math.isnan(found[2][0]) and "--long-captions truncate" in found[2][1]


def test_questions_of_their_own_share_a_prefix_with_captions_and_score_as_alone(model, media):
    """The naive truth asks nothing but the question: the words around a caption are not in it."""
    questions = ["Does the cross grow?", "Is there a ring?\nAnswer with Yes or No.", "Does the square move left first?"]
    texts = [Question(questions[0]), CAPTIONS[0], *map(Question, questions[1:]), Question(" ")]
    found = score_each(model, media[:1], [texts])[0]
    asked = [model.questioner.ask_question(text) for text in questions]
    want = [alone(model, media[0], one) for one in asked]
    assert [found[i][0] for i in (0, 2, 3)] == pytest.approx(want, abs=1e-4) and np.ptp(want) > 0.001
    assert found[1][0] == pytest.approx(alone(model, media[0], model.questioner.ask(CAPTIONS[0])), abs=1e-4)
    assert math.isnan(found[4][0]) and "empty" in found[4][1]
    for text, one in zip(questions, asked, strict=True):
        decoded = model.questioner.decode(one.ids)
        assert text.split()[0] in decoded and "entail" not in decoded and '"' not in decoded


def test_a_model_of_ones_own_that_asks_about_captions_only_says_so_of_each_question(model, media, monkeypatch):
    class Captions:
        def __init__(self, whole):
            self.answers, self.ask = whole.answers, whole.ask

    monkeypatch.setattr(model, "questioner", Captions(model.questioner))
    found = score_each(model, media[:1], [[Question("Is it red?"), "a ring"]])[0]
    assert "question 'Is it red?': the model asks about captions only" in found[0][1] and found[1][1] is None


def test_a_caption_longer_than_the_context_is_cut_only_if_asked_for_and_never_the_answer(model, media):
    long = "a red cross and " * 1000
    with pytest.raises(ValueError, match=r"tokens with its video, the model takes \d+; shorten it"):
        ask_within(model, media[0], long)
    with pytest.warns(UserWarning, match=r"cut to its first \d+ of 4000 words"):
        asked = ask_within(model, media[0], long, "truncate")
    context = model.language.config.max_position_embeddings
    assert context - 40 < len(media[0].ids) + len(asked.ids) + 2 <= context
    short = model.questioner.ask("a red cross")
    assert asked.ids[-5:] == short.ids[-5:]  # the end of the prompt is there
    assert math.isfinite(score_questions(model, media[:1], [[asked]])[0].item())


def test_a_score_that_is_not_finite_is_named(model, media):
    from dataclasses import replace

    broken = [replace(media[0], visual=torch.full_like(media[0].visual, math.nan))]
    found = score_each(model, broken, [["a ring"]])[0]
    assert math.isnan(found[0][0]) and "'a ring': the model's score is nan" in found[0][1]


def test_explain_writes_what_greedy_decoding_without_a_cache_writes(model, media):
    said = explain(model, media[0], "a ring", limit=6)
    ids, written = model.questioner.explain("a ring"), []
    for _ in range(6):
        whole = torch.tensor([[*media[0].ids, *ids, *written]])
        at = whole == model.placeholder
        embedded = model.language.get_input_embeddings()(whole.masked_fill(at, 0))
        embedded[at] = media[0].visual
        with torch.no_grad():
            states = model.language(inputs_embeds=embedded, use_cache=False).last_hidden_state
        token = int(model.logits(states[0, -1]).argmax())
        if token == model.questioner.answers.end:
            break
        written.append(token)
    assert said == model.questioner.decode(written)


def test_peak_memory_does_not_depend_on_the_number_of_captions(model, media, monkeypatch):
    """No tensor of the second pass grows with the number of captions: the largest mask says so."""
    from synvita.videollm import scoring

    sizes: list[int] = []
    real = scoring.pack

    def spy(*arguments, **named):
        found = real(*arguments, **named)
        sizes.append(found.mask.numel())
        return found

    monkeypatch.setattr(scoring, "pack", spy)
    asked = [model.questioner.ask(caption) for caption in CAPTIONS[:4]]
    score_questions(model, media[:1], [asked * 4])
    few = max(sizes)
    sizes.clear()
    score_questions(model, media[:1], [asked * 40])
    assert max(sizes) == few
