"""Eq. 7 on packed batches equals one separate sequence per question, losses and LoRA gradients."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from synvita.core.records import Triplet
from synvita.pretrain.models import save, tiny_video_llava
from synvita.train.examples import Example, Pair, example_of, items_of
from synvita.train.objective import Counts, Wanted, answers, count, objective, rows_of
from synvita.train.prepare import prepare
from synvita.train.shared_semantics import keep_mask
from synvita.videollm.families.video_llava import VideoLlava
from synvita.videollm.lora import Lora, add_lora
from synvita.videollm.protocol import Media


def triplet(name, caption, negative, clips=(), explanation=""):
    record = Triplet(name, f"{name}.mp4", caption, negative, explanation=explanation)
    return example_of(name, items_of(record, list(clips), bool(explanation)))


EXAMPLES = [
    triplet("a", "a red cross moving left then growing", "a red cross growing then moving left", [("s.mp4", 0.7)]),
    triplet("b", "two rings blinking", "two cyan rings blinking", explanation="the rings are red"),
    triplet("c", "a small circle moving up", "a small ring moving up", [("t.mp4", 0.0)]),
    triplet(
        "d", "a square left of a blue circle growing", "a square right of a blue circle growing",
        [("u.mp4", 0.4), ("v.mp4", 0.9)],
    ),
]  # fmt: skip
VIDEOS = ["a.mp4", "b.mp4", "c.mp4", "d.mp4", "s.mp4", "t.mp4", "u.mp4", "v.mp4"]


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
    visual = torch.randn(len(VIDEOS), 80, 128, generator=torch.Generator().manual_seed(0)) * 0.5
    prefix = model.questioner.prefix()
    ids = [*prefix, *[model.placeholder] * 79]
    return {name: Media(ids, tokens) for name, tokens in zip(VIDEOS, visual, strict=True)}


def forward(model, media, ids, keys):
    """Logits of one sequence behind its video through the language model's own forward."""
    ids = torch.tensor([[*media.ids, *ids]])
    at = ids == model.placeholder
    embedded = model.language.get_input_embeddings()(ids.masked_fill(at, 0)).clone()
    embedded[at] = media.visual
    keys = torch.cat([torch.ones(1, len(media.ids), dtype=torch.long), keys], 1)
    positions, extra = torch.arange(ids.shape[1])[None], {}
    if media.positions is not None:
        behind = torch.arange(ids.shape[1] - len(media.ids)) + media.positions.max() + 1
        positions = torch.cat([media.positions, behind.expand(3, -1)], 1)[:, None]
    if media.deep is not None:
        extra = {"visual_pos_masks": at, "deepstack_visual_embeds": list(media.deep)}
    out = model.language(inputs_embeds=embedded, attention_mask=keys, position_ids=positions, use_cache=False, **extra)
    return model.logits(out.last_hidden_state[0])


def naive(model, media, examples, margin):
    """One sequence at a time through the model's own forward; sums written out as in Eq. 2, 5, 6, 7."""
    answers, questioner = model.questioner.answers, model.questioner
    real = synthetic = torch.tensor(0.0)
    tokens, terms = 0, []
    for example in examples:
        f = {}
        for i, line in enumerate(example.lines):
            yes_no = line.answer in ("Yes", "No")
            asked = questioner.ask(line.caption) if yes_no else None
            ids = asked.ids if yes_no else questioner.explain(line.caption)
            word = {"Yes": answers.yes, "No": answers.no}.get(line.answer)
            said = [word, answers.end] if yes_no else questioner.answer_ids(line.answer)
            keys = torch.ones(1, len(ids) + len(said) - 1, dtype=torch.long)
            logits = forward(model, media[line.video], [*ids, *said[:-1]], keys)
            ce = functional.cross_entropy(logits[-len(said) :], torch.tensor(said), reduction="sum")
            tokens += len(said)
            real, synthetic = (real, synthetic + line.weight * ce) if line.synthetic else (real + ce, synthetic)
            if not yes_no:
                continue
            against = questioner.ask(line.other)
            keep = keep_mask(ids[slice(*asked.caption)], against.ids[slice(*against.caption)])
            hidden = keys.clone()
            for j, kept in enumerate(keep):
                hidden[0, asked.caption[0] + j] = int(kept)
            twin = forward(model, media[line.video], [*ids, *said[:-1]], hidden)
            for kind, found in (("full", logits), ("shared", twin)):
                p = torch.softmax(found[-len(said)], -1)
                f[i, kind] = p[answers.yes] / (p[answers.yes] + p[answers.no])
        for i, line in enumerate(example.lines):
            if not line.synthetic:
                continue
            r = next(j for j, o in enumerate(example.lines) if not o.synthetic and o.caption == line.caption)
            plus, minus = (r, i) if line.answer == "No" else (i, r)
            closer = torch.relu(margin + f[plus, "shared"] - f[plus, "full"])
            farther = torch.relu(margin + f[minus, "full"] - f[minus, "shared"])
            terms.append(line.weight * (closer + farther))
    return real / tokens, synthetic / tokens, sum(terms) / len(terms)


def assert_equal_gradients(ours, theirs, tolerance=1e-4):
    largest = max(b.abs().max() for b in theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).abs().max() <= tolerance * largest


@pytest.mark.parametrize("consistency_weight", [0.0, 1.0])
@pytest.mark.parametrize("grouping", ["triplet", "item"])
def test_losses_and_gradients_equal_separate_sequences(model, media, consistency_weight, grouping):
    trained = [p for p in model.parameters() if p.requires_grad]
    examples = EXAMPLES
    if grouping == "item":
        examples = [Example(f"{e.id}{i}", *part) for e in EXAMPLES for i, part in enumerate(split(e))]
    batch = [prepare(model.questioner, e, "token") for e in examples]
    got = objective(model, batch, media, consistency_weight, 0.2)
    ours = torch.autograd.grad(got["loss"], trained)
    real, synthetic, consistency = naive(model, media, examples, 0.2)
    theirs = torch.autograd.grad(real + synthetic + consistency_weight * consistency, trained)
    torch.testing.assert_close(got["real"], real, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(got["synthetic"], synthetic, rtol=1e-5, atol=1e-6)
    if consistency_weight:
        torch.testing.assert_close(got["consistency"], consistency, rtol=1e-5, atol=1e-6)
    assert_equal_gradients(ours, theirs)


def split(example):
    """The authors' composition: each real question with the clips that answer the opposite."""
    for i, line in enumerate(example.lines):
        if line.synthetic:
            continue
        clips = [
            p.counterpart if p.aligned == i else p.aligned for p in example.pairs if i in (p.aligned, p.counterpart)
        ]
        lines = (line, *(example.lines[c] for c in clips))
        pairs = tuple(
            Pair(0, n, lines[n].weight) if line.answer == "Yes" else Pair(n, 0, lines[n].weight)
            for n in range(1, len(lines))
        )
        yield lines, pairs


@pytest.mark.parametrize("normaliser", ["global", "separate", "weighted"])
def test_parts_of_a_batch_add_up_to_the_whole(model, media, normaliser):
    """Micro-batches and processes: b has no synthetic token, c none that is computed."""
    trained = [p for p in model.parameters() if p.requires_grad]
    batch = [prepare(model.questioner, e) for e in EXAMPLES]
    counts = count(batch, normaliser)
    whole = objective(model, batch, media, 1.0, 0.2, counts)
    shares = (batch[:1], batch[1:2], batch[2:3], batch[3:])
    parts = [objective(model, some, media, 1.0, 0.2, counts) for some in shares]
    for name in whole:
        torch.testing.assert_close(sum(p[name] for p in parts), whole[name], rtol=1e-5, atol=1e-6)
    ours = torch.autograd.grad(sum(p["loss"] for p in parts), trained)
    assert_equal_gradients(ours, torch.autograd.grad(whole["loss"], trained), 1e-5)


def test_a_clip_of_weight_zero_is_counted_but_never_computed(model, media):
    batch = [prepare(model.questioner, EXAMPLES[2])]
    assert [row.video for row in rows_of(batch, True)] == ["c.mp4"]
    assert count(batch) == Counts(8, 8, 2) and count(batch, "weighted") == Counts(4, 4, 2)
    assert count(batch, "separate") == Counts(4, 4, 2)
    without = {k: v for k, v in media.items() if k != "t.mp4"}
    got = objective(model, batch, without, 1.0)
    assert got["synthetic"] == 0 and got["consistency"] == 0 and torch.isfinite(got["loss"])


def test_a_batch_without_clips_has_no_synthetic_and_no_consistency_part(model, media):
    batch = [prepare(model.questioner, EXAMPLES[1])]
    got = objective(model, batch, media, 1.0)
    assert got["synthetic"] == 0 and got["consistency"] == 0
    torch.testing.assert_close(got["loss"], got["real"])


def test_the_weighted_normaliser_divides_by_what_the_clips_count(model, media):
    batch = [prepare(model.questioner, EXAMPLES[0])]
    plain, weighted = (objective(model, batch, media, 0.0, 0.2, count(batch, n)) for n in ("global", "weighted"))
    torch.testing.assert_close(weighted["real"], plain["real"] * 8 / (4 + 4 * 0.7))


@torch.no_grad()
@pytest.mark.parametrize("margin", [0.0, 0.6])
def test_the_margin_is_the_one_that_is_given(model, media, margin):
    batch = [prepare(model.questioner, e) for e in EXAMPLES]
    got = objective(model, batch, media, 1.0, margin)
    _, _, want = naive(model, media, EXAMPLES, margin)
    torch.testing.assert_close(got["consistency"], want, rtol=1e-5, atol=1e-6)
    _, _, usual = naive(model, media, EXAMPLES, 0.2)
    assert abs(usual - want) > 0.01


# ---- what the answer losses are divided by


@torch.no_grad()
def test_each_part_has_its_own_divisor_under_separate_and_one_for_both_otherwise(model, media):
    """Against the naive sums, which `naive` has divided by all tokens."""
    batch = [prepare(model.questioner, e) for e in EXAMPLES]
    why = len(model.questioner.answer_ids("the rings are red"))
    real_tokens, synthetic_tokens = 4 * 4 + why, 4 * (1 + 1 + 2)  # two questions of two tokens per video and triplet
    n, weights = real_tokens + synthetic_tokens, 4 * (0.7 + 0.0 + 0.4 + 0.9)
    assert count(batch, "separate") == Counts(real_tokens, synthetic_tokens, 8)
    assert count(batch) == Counts(n, n, 8) and count(batch, "authors") == Counts(n, n, 8)
    weighted = count(batch, "weighted")
    assert weighted.real == weighted.synthetic == pytest.approx(real_tokens + weights)
    real, synthetic, consistency = naive(model, media, EXAMPLES, 0.2)
    got = objective(model, batch, media, 0.5, 0.2, count(batch, "separate"))
    torch.testing.assert_close(got["real"], real * n / real_tokens, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(got["synthetic"], synthetic * n / synthetic_tokens, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(got["consistency"], consistency, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(got["loss"], got["real"] + got["synthetic"] + 0.5 * got["consistency"])


@pytest.mark.parametrize("clips", [1, 3])
def test_under_global_the_real_part_weighs_a_share_of_what_it_does_without_clips(model, clips):
    """By hand: equal logits over V words cost ln V per token, so only divisors and weights are left.

    k clips of weight w: global = (real + k synthetic + (1 + k) lambda consistency) / (1 + k), terms as under separate.
    """
    words, w, lam, scr = 7, 0.25, 0.5, 0.3
    names = [f"s{i}.mp4" for i in range(clips)]
    with_clips = [prepare(model.questioner, triplet("a", "a red cross", "a blue cross", [(n, w) for n in names]))]
    alone = [prepare(model.questioner, triplet("a", "a red cross", "a blue cross"))]

    def parts(batch, normaliser):
        wanted = Wanted()
        for i, q in enumerate(batch[0].questions):
            q = SimpleNamespace(answer=[1, 2], weight=q.weight, synthetic=q.synthetic)
            wanted.answer((0, i), 0, 0, q)
        logits = torch.zeros(len(wanted.targets), words)
        return [loss.item() for loss in answers(logits, wanted, count(batch, normaliser))]

    cost = math.log(words)
    assert parts(alone, "global") == parts(alone, "separate") == pytest.approx([cost, 0.0])
    assert parts(with_clips, "separate") == pytest.approx([cost, w * cost])
    whole = parts(with_clips, "global")
    assert whole == pytest.approx([cost / (1 + clips), w * cost * clips / (1 + clips)])
    want = (cost + clips * w * cost + (1 + clips) * lam * scr) / (1 + clips)
    assert sum(whole) + lam * scr == pytest.approx(want)
