"""CLIP-FlanT5 gives the numbers recorded from the official code, from folders in the official layouts."""

import json
import math
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from synvita.core.question import CaptionError
from synvita.core.video import Sampled
from synvita.weigh.clip_flant5 import ClipFlanT5, ClipFlanT5Scorer
from synvita.weigh.image_pixels import ImagePixels
from synvita.weigh.vqa_prompts import framed

GOLDEN = Path(__file__).parent.parent / "data" / "clip_flant5_tiny"
META = json.loads((GOLDEN / "meta.json").read_text())
CAPTIONS = ["two dogs run", "a man walks his old dog home", "rain"]


@pytest.fixture(scope="module")
def io():
    return load_file(GOLDEN / "io.safetensors")


@pytest.fixture(scope="module")
def model():
    return ClipFlanT5.from_pretrained(GOLDEN)


@pytest.mark.parametrize("case", META["cases"])
def test_every_recorded_case_comes_out(model, io, case):
    inputs = [io[f"{case}.{name}"] for name in ("pixel_values", "input_ids", "attention_mask", "labels")]
    torch.testing.assert_close(model(*inputs), io[f"{case}.logits"], rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(model.vqa_score(*inputs), io[f"{case}.vqascore"], rtol=1e-5, atol=0)
    pixels = inputs[0].flatten(0, 1) if inputs[0].ndim == 5 else inputs[0]
    torch.testing.assert_close(model.look(pixels), io[f"{case}.projected_features"], rtol=1e-5, atol=2e-6)


def test_the_head_is_no_copy_of_the_embedding(model):
    stored = load_file(GOLDEN / "state_dict.safetensors")
    assert torch.equal(model.t5.lm_head.weight, stored["lm_head.weight"])
    assert torch.equal(model.t5.shared.weight, stored["shared.weight"])
    assert torch.equal(model.t5.encoder.embed_tokens.weight, stored["shared.weight"])


class ToyTokenizer:
    """The recording's: words by checksum, an end token behind every text."""

    all_special_tokens, eos_token_id, model_max_length = ["</s>"], 1, 60

    def __call__(self, text):
        known = {"Yes": 163, "No": 65}
        return {"input_ids": [*(known.get(w, 3 + zlib.crc32(w.encode()) % 370) for w in text.split()), 1]}

    def get_added_vocab(self):
        return {}

    def __len__(self):
        return 384


@pytest.fixture
def scorer(monkeypatch, tmp_path):
    folder = tmp_path / "golden"
    folder.mkdir()
    shutil.copy(GOLDEN / "config.json", folder)
    shutil.copy(GOLDEN / "state_dict.safetensors", folder / "model.safetensors")
    monkeypatch.setattr("synvita.weigh.clip_flant5.tokenizer_of", lambda *_: ToyTokenizer())

    def make(**settings):
        made = ClipFlanT5Scorer(str(folder), **settings)
        made.load()
        return made

    return make


def test_images_prompts_and_scores_of_the_official_wrapper_come_out(io, scorer):
    own = scorer()
    texts = ["a photo of a dog", "two red cubes stacked on top of a large blue ball in the park"]
    assert ["<image>".join(framed(text)) for text in texts] == META["full_prompts"]
    for i, text in enumerate(texts):
        image = io[f"wrapper.img{i}_rgb_uint8"].numpy()
        torch.testing.assert_close(ImagePixels(28, pad=True).one(image), io["wrapper.pixel_values"][i])
        ids = io["wrapper.default.input_ids"][i]
        assert own.ask(text).tolist() == ids[ids != 0].tolist()
        want = io["wrapper.default.vqascore"][i].item()
        assert own.score(Sampled(image[None], [0], 1, 8.0), [text])[0] == pytest.approx(want, rel=1e-5)


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (4, 3, 9, 3), dtype=np.uint8).repeat(11, 1).repeat(7, 2)
    high = rng.integers(0, 256, (4, 9, 4, 3), dtype=np.uint8).repeat(6, 1).repeat(5, 2)
    return [Sampled(frames, list(range(4)), 4, 8.0) for frames in (wide, high)]


def logs(model, frame, caption, width=384):
    """Log-probabilities of Yes, its end and No for one frame and caption, from all logits of one plain pass."""
    tokenizer, ids = ToyTokenizer(), []
    for i, text in enumerate(framed(caption)):
        ids += [-200] * bool(i) + tokenizer(text)["input_ids"]
    ids = torch.tensor([ids])
    pixels = ImagePixels(28, pad=True).one(frame)[None]
    logits = model(pixels, ids, torch.ones_like(ids), torch.tensor([[163, 1]]))[0].double()
    first, end = torch.log_softmax(logits[:, :width], -1)
    return {"yes": float(first[163]), "no": float(first[65]), "end": float(end[1])}


QUANTITIES = {
    "vqa_score": lambda p: math.exp((p["yes"] + p["end"]) / 2),
    "p_yes": lambda p: math.exp(p["yes"]),
    "alignment": lambda p: 1 / (1 + math.exp(p["no"] - p["yes"])),
}


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_scores_equal_one_frame_and_caption_at_a_time_whatever_shares_the_pass(model, scorer, clips, quantity):
    each = [[[QUANTITIES[quantity](logs(model, f, c)) for f in clip.frames] for c in CAPTIONS] for clip in clips]
    want = np.mean(each, -1)
    assert np.max(want) / np.min(want) > 1.1 and np.max(np.max(each, -1) / want) > 1.01  # what is seen matters
    both = scorer(quantity=quantity).score_many(clips, [CAPTIONS, CAPTIONS])
    np.testing.assert_allclose(both, want, rtol=1e-5)
    few = scorer(quantity=quantity, at_once=3).score_many(clips[::-1], [CAPTIONS[1:], CAPTIONS[:1]])
    np.testing.assert_allclose(few[0], want[1][1:], rtol=1e-5)
    np.testing.assert_allclose(few[1], want[0][:1], rtol=1e-5)


def test_the_softmax_runs_over_the_tokenizers_size(model, scorer, clips, monkeypatch):
    monkeypatch.setattr(ToyTokenizer, "__len__", lambda self: 200)  # the head has 384 rows
    image = Sampled(clips[0].frames[:1], [0], 1, 8.0)
    found = logs(model, image.frames[0], CAPTIONS[0], 200)
    want = QUANTITIES["vqa_score"](found)
    assert want > 1.01 * QUANTITIES["vqa_score"](logs(model, image.frames[0], CAPTIONS[0]))
    assert scorer().score(image, CAPTIONS[:1])[0] == pytest.approx(want, rel=1e-5)


def test_captions_that_cannot_be_asked_are_named(scorer, clips):
    for caption, reason in (
        ("dog " * 60, "'dog dog .* tokens, the model takes 60; shorten it"),
        ("a </s> b", "holds the special token '</s>'"),
        ("", "empty"),
    ):
        with pytest.raises(CaptionError, match=reason):
            scorer().score(clips[0], [caption])


# ---- official folders


def official(folder, kind="t5", tower="inside", weights="bin"):
    """The golden model as released: a flat config, `embed_tokens.weight` beside its alias, the tower in or out."""
    nested = json.loads((GOLDEN / "config.json").read_text())
    folder.mkdir()
    config = nested["t5"] | nested["multimodal"] | {"model_type": kind, "mm_vision_tower": "clip-vit"}
    tensors = load_file(GOLDEN / "state_dict.safetensors")
    shared = tensors["shared.weight"]
    tensors |= {"embed_tokens.weight": shared, "encoder.embed_tokens.weight": shared}
    inside = "vision_tower.vision_tower."
    seen = {k.removeprefix(inside): tensors.pop(k) for k in list(tensors) if k.startswith(inside)}
    if tower == "inside":
        tensors |= {inside + k: v for k, v in seen.items()}
    else:
        (folder / "clip-vit").mkdir()
        save_file(seen, folder / "clip-vit" / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    if tower == "outside":  # the whole CLIP's config
        (folder / "clip-vit" / "config.json").write_text(json.dumps({"vision_config": nested["clip_vision"]}))
    if weights == "bin":
        torch.save(tensors, folder / "pytorch_model.bin")
    elif weights == "safetensors":
        save_file({k: v.clone() for k, v in tensors.items()}, folder / "model.safetensors")
    else:
        names = sorted(tensors)
        shards = {name: f"pytorch_model-0000{1 + (i % 2)}-of-00002.bin" for i, name in enumerate(names)}
        for shard in set(shards.values()):
            torch.save({k: tensors[k] for k in names if shards[k] == shard}, folder / shard)
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": shards}))
    return folder


@pytest.mark.parametrize("weights", ["bin", "safetensors", "shards"])
@pytest.mark.parametrize("kind", ["t5", "clip_t5"])
def test_official_folders_give_the_recorded_logits(tmp_path, io, kind, weights):
    model = ClipFlanT5.from_pretrained(official(tmp_path / "x", kind, "outside", weights))
    inputs = [io[f"single.{name}"] for name in ("pixel_values", "input_ids", "attention_mask", "labels")]
    torch.testing.assert_close(model(*inputs), io["single.logits"], rtol=1e-5, atol=2e-5)


def test_a_tower_inside_needs_no_other_folder_and_its_sizes_are_read_from_its_tensors(tmp_path):
    """Its heads are 64 wide as CLIP ViT-L's, which the recording's are not: shapes and weights are compared."""
    model = ClipFlanT5.from_pretrained(official(tmp_path / "x"))
    config = model.tower.config
    assert (config.image_size, config.patch_size, config.num_hidden_layers, config.intermediate_size) == (28, 7, 3, 40)
    assert config.hidden_act == "quick_gelu" and config.num_attention_heads == 1
    stored = load_file(GOLDEN / "state_dict.safetensors")
    name = "vision_tower.vision_tower.vision_model.encoder.layers.2.mlp.fc1.weight"
    assert torch.equal(model.tower.state_dict()["encoder.layers.2.mlp.fc1.weight"], stored[name])


def test_what_is_no_whole_clip_flant5_is_one_line_with_a_way_out(tmp_path):
    shards = official(tmp_path / "a", weights="shards")
    (shards / "pytorch_model-00002-of-00002.bin").unlink()
    away = official(tmp_path / "b", tower="outside")
    shutil.rmtree(away / "clip-vit")
    other = official(tmp_path / "c")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "mm_vision_tower"}))
    for folder, message in (
        (shards, "names pytorch_model-00002-of-00002.bin, which is not there; fetch it again"),
        (away, r"--scorers\.clip_flant5\.tower: clip-vit: no such folder.*give .*the folder of clip-vit"),
        (other, "is a 't5' checkpoint without mm_vision_tower, not a CLIP-FlanT5"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            ClipFlanT5Scorer(str(folder)).load()
        assert "\n" not in str(caught.value)
