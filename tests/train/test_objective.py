"""Eq. 7 on packed batches equals one separate sequence per question, losses and LoRA gradients."""

import pytest
import torch
from torch.nn import functional

from synvita.pretrain.models import save, tiny_video_llava
from synvita.train.examples import Example
from synvita.train.objective import objective, prepare
from synvita.train.shared_semantics import keep_mask
from synvita.videollm.lora import Lora, add_lora
from synvita.videollm.protocol import Media
from synvita.videollm.video_llava import VideoLlava

EXAMPLES = [
    Example("a", "a.mp4", "a red cross moving left then growing", "a red cross growing then moving left", "s.mp4", 0.7),
    Example("b", "b.mp4", "two rings blinking", "two cyan rings blinking"),
    Example("c", "c.mp4", "a small circle moving up", "a small ring moving up", "t.mp4", 0.0),
    Example(
        "d", "d.mp4", "a square left of a blue circle growing", "a square right of a blue circle growing", "u.mp4", 0.4
    ),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    bare, tokenizer = tiny_video_llava()
    for p in bare.parameters():
        p.data.mul_(2 if p.ndim > 1 else 1)
    folder = tmp_path_factory.mktemp("model")
    save(bare, tokenizer, folder)
    found = VideoLlava.from_pretrained(folder)
    wrapped = add_lora(found, Lora(r=4, alpha=8, dropout=0.0))
    for name, p in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.05)
    return found


@pytest.fixture(scope="module")
def media(model):
    visual = torch.randn(7, 80, 128, generator=torch.Generator().manual_seed(0)) * 0.5
    prefix = model.questioner.prefix()
    return [Media([*prefix, *[model.placeholder] * 79], tokens) for tokens in visual]


def forward(model, media, ids, keys):
    """Logits of one sequence behind its video through the language model's own forward."""
    ids = torch.tensor([[*media.ids, *ids]])
    at = ids == model.placeholder
    embedded = model.language.get_input_embeddings()(ids.masked_fill(at, 0)).clone()
    embedded[at] = media.visual
    keys = torch.cat([torch.ones(1, len(media.ids), dtype=torch.long), keys], 1)
    positions = torch.arange(ids.shape[1])[None]
    out = model.language(inputs_embeds=embedded, attention_mask=keys, position_ids=positions, use_cache=False)
    return model.logits(out.last_hidden_state[0])


def naive(model, media, weight_of_consistency, margin):
    """One sequence at a time through the class's own forward; sums written out as in Eq. 2, 5, 6, 7."""
    answers, ask = model.questioner.answers, model.questioner.ask
    rows = [(e, True) for e in EXAMPLES] + [(e, False) for e in EXAMPLES if e.synthetic_video]
    real = synthetic = torch.tensor(0.0)
    f = {}
    for r, (example, is_real) in enumerate(rows):
        for caption, other in (
            (example.caption, example.negative_caption),
            (example.negative_caption, example.caption),
        ):
            asked, against = ask(caption), ask(other)
            yes = (caption == example.caption) == is_real
            keep = keep_mask(asked.ids[slice(*asked.caption)], against.ids[slice(*against.caption)])
            mask = torch.ones(1, len(asked.ids) + 1, dtype=torch.long)
            masks = {"full": mask, "shared": mask.clone()}
            for i, kept in enumerate(keep):
                masks["shared"][0, asked.caption[0] + i] = int(kept)
            word = answers.yes if yes else answers.no
            for kind, keys in masks.items():
                logits = forward(model, media[r], [*asked.ids, word], keys)
                p = torch.softmax(logits[-2], -1)
                f[r, caption, kind] = p[answers.yes] / (p[answers.yes] + p[answers.no])
                if kind == "full":
                    ce = functional.cross_entropy(logits[-2:], torch.tensor([word, answers.end]), reduction="sum")
                    if is_real:
                        real = real + ce
                    else:
                        synthetic = synthetic + example.weight * ce
    tokens, pairs = 4 * len(rows), []
    for s, (example, is_real) in enumerate(rows):
        if is_real:
            continue
        r = EXAMPLES.index(example)
        for caption, plus, minus in ((example.caption, r, s), (example.negative_caption, s, r)):
            closer = torch.relu(margin + f[plus, caption, "shared"] - f[plus, caption, "full"])
            farther = torch.relu(margin + f[minus, caption, "full"] - f[minus, caption, "shared"])
            pairs.append(example.weight * (closer + farther))
    consistency = sum(pairs) / len(pairs)
    return real / tokens, synthetic / tokens, consistency


@pytest.mark.parametrize("consistency_weight", [0.0, 1.0])
def test_losses_and_gradients_equal_separate_sequences(model, media, consistency_weight):
    trained = [p for p in model.parameters() if p.requires_grad]
    batch = [(e, prepare(model.questioner, e, "token")) for e in EXAMPLES]
    got = objective(model, batch, media, consistency_weight, 0.2)
    ours = torch.autograd.grad(got["loss"], trained)
    real, synthetic, consistency = naive(model, media, consistency_weight, 0.2)
    want = real + synthetic + consistency_weight * consistency
    theirs = torch.autograd.grad(want, trained)
    torch.testing.assert_close(got["real"], real, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(got["synthetic"], synthetic, rtol=1e-5, atol=1e-6)
    if consistency_weight:
        torch.testing.assert_close(got["consistency"], consistency, rtol=1e-5, atol=1e-6)
        assert consistency > 0
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max() + 1e-9
    assert max(float(g.abs().max()) for g in theirs) > 1e-4


def test_a_batch_without_clips_has_no_synthetic_and_no_consistency_part(model, media):
    batch = [(EXAMPLES[1], prepare(model.questioner, EXAMPLES[1], "token"))]
    got = objective(model, batch, media[:1], 1.0)
    assert got["synthetic"] == 0 and got["consistency"] == 0 and got["loss"] == got["real"] > 0
