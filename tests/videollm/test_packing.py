"""Packed questions give the numbers of separate sequences."""

import numpy as np
import pytest
import torch

from synvita.core.packing import Segment, pack
from synvita.core.pixels import Preprocess
from synvita.core.question import Questioner
from synvita.pretrain.models import tiny_video_llava
from synvita.videollm.scoring import expand, score_captions, score_packed
from synvita.videollm.video_llava import VideoLlava

CAPTIONS = [
    "a small red cross moving left then growing",
    "a ring",
    "two purple objects blinking",
    "a large blue square left of a white circle shrinking",
    'a man says "Yes" \U0001f600',
]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    bare, tokenizer = tiny_video_llava()
    for p in bare.parameters():  # the fresh model's answers hardly differ: make them differ
        p.data.mul_(3 if p.ndim > 1 else 1)
    return VideoLlava(bare.eval(), Questioner(tokenizer), Preprocess(30), 8, "test").eval()


@pytest.fixture(scope="module")
def visual(model):
    pixels = torch.randn(3, 8, 3, 30, 30, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.visual(model.features(pixels))


def alone(model, visual, caption):
    """The naive truth: one caption, the class's own forward with its own causal mask."""
    ids = expand(model.questioner.ask(caption).ids, model.placeholder, visual.shape[0])
    embedded = model.model.get_input_embeddings()(torch.tensor([ids]))
    embedded[0, torch.tensor(ids) == model.placeholder] = visual
    logits = model.model(inputs_embeds=embedded).logits[0, -1].float()
    return float(logits[model.questioner.answers.yes] - logits[model.questioner.answers.no])


def test_packed_scores_equal_one_forward_per_pair(model, visual):
    got = score_captions(model, visual, [CAPTIONS] * 3)
    for b in range(3):
        want = [alone(model, visual[b], caption) for caption in CAPTIONS]
        assert np.ptp(want) > 0.01  # else equality would say nothing
        np.testing.assert_allclose(got[b].numpy(), want, atol=1e-4)


def test_scores_do_not_depend_on_batch_size_order_padding_or_number_of_captions(model, visual):
    whole = score_captions(model, visual, [CAPTIONS, CAPTIONS[:1], CAPTIONS[2:]])
    for rows, questions in ((1, 1), (2, 3), (7, 2)):
        parts = score_captions(model, visual, [CAPTIONS, CAPTIONS[:1], CAPTIONS[2:]], rows, questions)
        for a, b in zip(whole, parts, strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
    backwards = score_captions(model, visual[:1], [CAPTIONS[::-1]])[0]
    torch.testing.assert_close(backwards.flip(0), whole[0], atol=1e-4, rtol=0)


def test_the_preprocessed_video_goes_through_the_class_the_same_way(model):
    """features + projector = transformers' own get_video_features."""
    pixels = torch.randn(2, 8, 3, 30, 30, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = model.visual(model.features(pixels))
        theirs = model.model.model.get_video_features(pixels).pooler_output
    torch.testing.assert_close(ours, theirs.reshape(ours.shape), atol=1e-5, rtol=1e-5)


def test_a_hidden_token_is_seen_by_nobody_but_keeps_its_place():
    packed = pack([[Segment([5, 6]), Segment([7, 8, 9], 0, hidden=[1]), Segment([4], 0)]], pad=0)
    assert packed.ids.tolist() == [[5, 6, 7, 8, 9, 4]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 4, 2]]
    want = [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]
    assert packed.mask[0, 0].int().tolist() == want


def test_a_grandchild_sees_all_its_ancestors_and_no_uncle():
    packed = pack([[Segment([1]), Segment([2], 0), Segment([3], 0), Segment([4], 1)], [Segment([9])]], pad=0)
    assert packed.mask[0, 0, 3].int().tolist() == [1, 1, 0, 1]
    assert packed.positions[0].tolist() == [0, 1, 1, 2]
    assert packed.mask[1, 0].int().diagonal().tolist() == [1, 1, 1, 1]  # padding sees itself: no NaN


def test_masked_twins_equal_a_separate_sequence_with_a_key_mask(model, visual):
    asked = model.questioner.ask(CAPTIONS[0])
    hidden = [asked.caption[0] + 1, asked.caption[0] + 4]
    ids = expand(asked.ids, model.placeholder, visual.shape[1])
    shift = visual.shape[1] - 1
    keys = torch.ones(1, len(ids), dtype=torch.long)
    keys[0, [h + shift for h in hidden]] = 0
    embedded = model.model.get_input_embeddings()(torch.tensor([ids]))
    embedded[0, torch.tensor(ids) == model.placeholder] = visual[0]
    positions = torch.arange(len(ids))[None]
    with torch.no_grad():
        logits = model.model(inputs_embeds=embedded, attention_mask=keys, position_ids=positions).logits[0, -1]
    from synvita.videollm.scoring import question_segments

    packed = pack([question_segments(model, [asked, asked], visual.shape[1], [[], hidden])], pad=0)
    with torch.no_grad():
        ours = model.logits(model.hidden(packed, visual[:1])[0, -1])
    torch.testing.assert_close(ours, logits.float(), atol=1e-4, rtol=1e-4)
    full = score_packed(model, visual[:1], [[asked]])[0]
    a = model.questioner.answers
    assert abs(float(ours[a.yes] - ours[a.no]) - float(full)) > 1e-4  # hiding tokens matters
