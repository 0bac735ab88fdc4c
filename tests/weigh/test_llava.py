"""The miniature's LLaVA scores as transformers' own forward pass of one frame and one caption at a time does, with the
prompt and the preprocessing that it was trained with."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from synvita.core.pixels import Preprocess
from synvita.core.video import Sampled
from synvita.weigh.llava import Llava

CAPTIONS = ["a red ring moving left", "a blue cross", "two rings then a cross"]


@pytest.fixture(scope="module")
def frames():
    coarse = np.random.default_rng(0).integers(0, 256, (4, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)  # four frames that differ


def variant(folder: Path, checkpoints: Path, question: str | None, **config) -> Path:
    """mini-llava with another config; `question` stored with the tokenizer, None = none is."""
    shutil.copytree(checkpoints / "mini-llava", folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    path = folder / "tokenizer_config.json"
    stored = {k: v for k, v in json.loads(path.read_text()).items() if k != "question"}
    path.write_text(json.dumps(stored | ({"question": question} if question else {})))
    return folder


def naive(folder: Path, frames: np.ndarray, caption: str, question: str, tokens: int) -> list[float]:
    """Per frame, exp of the mean log-probability of "Yes" and the end, from all logits of one plain forward pass."""
    from transformers import AutoTokenizer, LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = f"USER:<image>\n{question.replace('{caption}', caption)} ASSISTANT: Yes</s>"
    ids = tokenizer(text)["input_ids"]
    image = tokenizer.convert_tokens_to_ids("<image>")
    ids = [i for token in ids for i in [token] * (tokens if token == image else 1)]
    assert tokenizer.convert_ids_to_tokens(ids[-1]) == "</s>"
    found = []
    for pixels in Preprocess(30)(frames):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), pixel_values=pixels[None]).logits[0].double()
        logs = [float(torch.log_softmax(logits[at - 1], -1)[ids[at]]) for at in (len(ids) - 2, len(ids) - 1)]
        found.append(math.exp(sum(logs) / 2))
    return found


def shown(frames):
    return Sampled(frames, list(range(len(frames))), len(frames), 8.0)


PAPER = 'Does this figure show "{caption}"? Please answer yes or no.'
VARIANTS = {
    "as_shipped": ('Does this figure show "{caption}"?', {}, 10),
    "the_papers_question": (PAPER, {}, 10),
    "without_cls": (PAPER, {"vision_feature_select_strategy": "default", "vision_feature_layer": -2}, 9),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_scores_equal_one_plain_forward_pass_per_frame_and_caption(name, tmp_path, checkpoints, frames):
    stored, config, tokens = VARIANTS[name]
    folder = variant(tmp_path / "llava", checkpoints, stored, **config)
    each = [naive(folder, frames, caption, stored, tokens) for caption in CAPTIONS]
    for values in each:  # else a maximum, or the first frame, would look like the mean
        assert max(values) - sum(values) / len(values) > 1e-4
    want = [sum(values) / len(values) for values in each]
    assert max(want) - min(want) > 1e-4
    np.testing.assert_allclose(Llava(str(folder)).score(shown(frames), CAPTIONS), want, atol=2e-6, rtol=1e-4)


def test_scores_do_not_depend_on_the_captions_beside_them(frames):
    scorer = Llava("mini-llava")
    together = scorer.score(shown(frames), CAPTIONS)
    for caption, value in zip(CAPTIONS, together, strict=True):
        assert scorer.score(shown(frames), [caption])[0] == pytest.approx(value, abs=1e-5)


def test_another_family_is_refused_by_its_knob():
    with pytest.raises(ValueError, match=r"--scorers\.llava\.checkpoint: .* is a 'video_llava' checkpoint, not"):
        Llava("mini-video-llava").load()


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"--scorers\.llava\.device: cuda asked for, but"):
        Llava("mini-llava", "cuda")
