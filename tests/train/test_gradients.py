"""LoRA gradients of packed batches equal those of separate sequences, for the paper's models and chat LLMs."""

import sys
from pathlib import Path

import pytest
import torch
from test_objective import assert_equal_gradients, naive, triplet

from synvita.core.video import sample_video
from synvita.train.objective import objective
from synvita.train.prepare import prepare
from synvita.videollm.lora import ALL_LINEAR, Lora, add_lora
from synvita.videollm.models import load_model

sys.path.insert(0, str(Path(__file__).parents[1] / "videollm" / "families"))


def folder_of(kind, request, tmp_path_factory):
    fixtures = {"mplug_owl": "mplug_owl_folder", "video_llava": "official_folder", "video_llava_hf": "hf_folder"}
    if kind in fixtures:
        return request.getfixturevalue(fixtures[kind])
    from test_qwen import tiny_checkpoint

    return tiny_checkpoint(tmp_path_factory.mktemp(kind), kind)


@pytest.mark.parametrize("kind", ["mplug_owl", "video_llava", "video_llava_hf", "qwen2_5_vl", "qwen3_vl"])
def test_losses_and_lora_gradients_equal_separate_sequences(kind, request, tmp_path_factory, videos):
    model = load_model(folder_of(kind, request, tmp_path_factory))
    torch.manual_seed(0)
    wrapped = add_lora(model, Lora(4, 8, 0.0, ALL_LINEAR))
    for name, p in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.05)
    real, first, second = map(str, videos)
    examples = [
        triplet("a", "a red ring moving left", "a red ring moving right", [(first, 0.6), (second, 0.9)]),
        triplet("b", "two dogs run", "two dogs sit and run", [(second, 0.3)], "they do not sit"),
    ]
    examples = [type(e)(e.id, tuple(moved(line, real) for line in e.lines), e.pairs) for e in examples]
    found = model.media([model.look(sample_video(path, model.policy)) for path in videos])
    media = dict(zip(map(str, videos), found, strict=True))
    trained = [p for p in model.language.parameters() if p.requires_grad]
    got = objective(model, [prepare(model.questioner, e) for e in examples], media, 1.0, 0.2)
    ours = torch.autograd.grad(got["loss"], trained)
    real_part, synthetic, consistency = naive(model, media, examples, 0.2)
    theirs = torch.autograd.grad(real_part + synthetic + consistency, trained)
    for name, want in (("real", real_part), ("synthetic", synthetic), ("consistency", consistency)):
        torch.testing.assert_close(got[name], want, rtol=1e-5, atol=1e-6)
    assert_equal_gradients(ours, theirs)


def moved(line, real):
    from dataclasses import replace

    return line if line.synthetic else replace(line, video=real)


@pytest.mark.parametrize("kind", ["video_llava_hf", "qwen3_vl"])
def test_gradient_checkpointing_changes_no_gradient(kind, request, tmp_path_factory, videos):
    grads = []
    for checkpointing in (False, True):
        model = load_model(folder_of(kind, request, tmp_path_factory))
        torch.manual_seed(0)
        wrapped = add_lora(model, Lora(4, 8, 0.0, ALL_LINEAR))
        if checkpointing:
            wrapped.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        wrapped.train()
        example = triplet("a", "a red ring moving left", "a red ring moving right", [(str(videos[1]), 0.6)])
        example = type(example)("a", tuple(moved(line, str(videos[0])) for line in example.lines), example.pairs)
        found = model.media([model.look(sample_video(path, model.policy)) for path in videos[:2]])
        media = dict(zip(map(str, videos), found, strict=False))
        loss = objective(model, [prepare(model.questioner, example)], media, 1.0)["loss"]
        grads.append(torch.autograd.grad(loss, [p for p in model.language.parameters() if p.requires_grad]))
    assert_equal_gradients(*grads, 1e-6)
