"""LLaVA-1.5 in its official and its -hf layout against a naive recomputation: one frame and one caption at a time, own
preprocessing, own tokens, all logits, cross-entropy by hand."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from synvita.core.question import CaptionError
from synvita.core.video import Sampled
from synvita.core.video_file import VideoError
from synvita.weigh.llava import Llava

CAPTIONS = ["two dogs run", "a red circle moves left then grows", "a man walks his dog"]
EXTRA, SIDE = 64, 28  # the -hf layout has 64 rows more, of which the image's token is the first
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


def shown(frames):
    return Sampled(frames, list(range(len(frames))), len(frames), 8.0)


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (4, 3, 9, 3), dtype=np.uint8).repeat(11, 1).repeat(7, 2)  # 33 x 63
    high = rng.integers(0, 256, (4, 9, 4, 3), dtype=np.uint8).repeat(6, 1).repeat(5, 2)  # 54 x 20
    return [shown(wide), shown(high)]


@pytest.fixture(scope="module")
def words(pieces):
    from sentencepiece import SentencePieceProcessor

    return SentencePieceProcessor(model_file=str(pieces))


@pytest.fixture(scope="module")
def plain(words):
    """transformers' own model with random weights whose answers depend on what they see."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=1, image_size=SIDE, patch_size=7
    )
    text = LlamaConfig(
        vocab_size=len(words) + EXTRA, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=700, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(3)
    model = LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_token_id=len(words))
    ).eval()
    for name, p in model.named_parameters():
        if p.ndim > 1:
            p.data.mul_(8 if "projector" in name or "lm_head" in name else 3)
    model.lm_head.weight.data[len(words) :] *= 3  # as if sampled at random: a softmax over them would show
    return model


def official_tensors(plain, tower, rows):
    names = {"model.language_model.": "model.", "model.multi_modal_projector.linear_1.": "model.mm_projector.0."}
    names |= {"model.multi_modal_projector.linear_2.": "model.mm_projector.2.", "lm_head.": "lm_head."}
    tensors = {}
    for name, value in plain.state_dict().items():
        for theirs, ours in names.items():
            if name.startswith(theirs):
                cut = value[:rows] if "embed_tokens" in name or "lm_head" in name else value
                tensors[name.replace(theirs, ours)] = cut.clone()
    return tensors | ({f"model.vision_tower.vision_tower.vision_model.{k}": v for k, v in tower.items()})


def tower_of(plain):
    return {k.removeprefix("vision_model."): v.clone() for k, v in plain.model.vision_tower.state_dict().items()}


@pytest.fixture(scope="module")
def layouts(plain, words, pieces, tmp_path_factory):
    """The same weights: official with the tower inside and outside, and -hf."""
    root = tmp_path_factory.mktemp("llava")
    flat = plain.config.text_config.to_dict() | {"vocab_size": len(words), "model_type": "llava"}
    flat |= {"mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2, "mm_vision_select_feature": "patch"}
    flat |= {"mm_vision_tower": "clip-vit"}
    for name in ("inside", "outside"):
        (root / name).mkdir()
        if name == "outside":  # what the config does not say
            flat = {k: v for k, v in flat.items() if not k.startswith("mm_vision_select")}
        (root / name / "config.json").write_text(json.dumps(flat))
        tensors = official_tensors(plain, tower_of(plain) if name == "inside" else {}, len(words))
        torch.save(tensors, root / name / "pytorch_model.bin")
        shutil.copy(pieces, root / name)
    clip = root / "outside" / "clip-vit"  # the folder of the whole CLIP model
    clip.mkdir()
    (clip / "config.json").write_text(json.dumps({"vision_config": plain.config.vision_config.to_dict()}))
    tower = {f"vision_model.{k}": v for k, v in tower_of(plain).items()}
    save_file(tower | {"logit_scale": torch.tensor(2.0)}, clip / "model.safetensors")

    from transformers import LlamaTokenizer

    hf = root / "hf"
    plain.save_pretrained(hf)
    shutil.copy(pieces, root / "tokenizer.model")
    tokenizer = LlamaTokenizer.from_pretrained(root)
    tokenizer.save_pretrained(hf)
    (hf / "tokenizer.model").unlink(missing_ok=True)
    return root


def seen(frame):
    """Padded to a square of (122, 116, 104), bicubic, normalised."""
    height, width, _ = frame.shape
    side = max(height, width)
    square = np.full((side, side, 3), (122, 116, 104), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = frame
    small = np.asarray(Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float64) / 255
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    return torch.tensor((small - mean) / std, dtype=torch.float32).permute(2, 0, 1)


def logs(plain, words, frame, caption, answers=("Yes", "No")):
    """Log-probabilities of Yes, No as the first answer token and of the end behind Yes."""
    question = f'\nDoes this figure show "{caption}"? Please answer yes or no. ASSISTANT: '
    head = [1, *words.encode(f"{SYSTEM} USER: "), *[len(words)] * 16]
    found = {}
    for word in answers:
        ids = [*head, *words.encode(question + word), 2]
        with torch.no_grad():
            logits = (
                plain(input_ids=torch.tensor([ids]), pixel_values=seen(frame)[None]).logits[0].double()[:, : len(words)]
            )
        probabilities = torch.log_softmax(logits, -1)
        found[word] = float(probabilities[len(ids) - 3, ids[-2]])
        found[f"end of {word}"] = float(probabilities[len(ids) - 2, 2])
    return found


@pytest.fixture(scope="module")
def naive(plain, words, clips):
    """[clip][caption] -> the log-probabilities of each frame."""
    return [[[logs(plain, words, frame, c) for frame in clip.frames] for c in CAPTIONS] for clip in clips]


def mean_of(naive, of):
    return [[np.mean([of(frame) for frame in frames]) for frames in captions] for captions in naive]


def score_of(found):
    return math.exp((found["Yes"] + found["end of Yes"]) / 2)


@pytest.mark.parametrize("layout", ["inside", "outside", "hf"])
def test_scores_equal_one_pair_at_a_time_in_each_layout(layout, layouts, clips, naive):
    want = mean_of(naive, score_of)
    each = [[score_of(frame) for frame in frames] for clip in naive for frames in clip]
    assert (
        min(max(e) / np.mean(e) for e in each) > 1.001 and np.max(want) / np.min(want) > 1.05
    )  # what they see matters
    scorer = Llava(str(layouts / layout))
    np.testing.assert_allclose(scorer.score_many(clips, [CAPTIONS, CAPTIONS]), want, rtol=2e-5)


def test_a_score_does_not_depend_on_what_shares_its_pass(layouts, clips, naive):
    want = mean_of(naive, score_of)
    scorer = Llava(str(layouts / "inside"), at_once=2)
    mixed = scorer.score_many(clips, [CAPTIONS[:1], CAPTIONS[1:]])
    np.testing.assert_allclose(mixed[0], want[0][:1], rtol=2e-5)
    np.testing.assert_allclose(mixed[1], want[1][1:], rtol=2e-5)


def test_the_other_two_quantities_are_given_on_request(layouts, clips, naive):
    for quantity, of in (
        ("p_yes", lambda f: math.exp(f["Yes"])),
        ("alignment", lambda f: 1 / (1 + math.exp(f["No"] - f["Yes"]))),
    ):
        scorer = Llava(str(layouts / "inside"), quantity=quantity)
        np.testing.assert_allclose(scorer.score(clips[0], CAPTIONS), mean_of(naive, of)[0], rtol=2e-5)
        assert scorer.describe()["quantity"] == scorer.quantity == quantity


def test_a_strip_is_one_image_with_ten_black_pixels_between_the_frames(layouts, clips, plain, words):
    frames = clips[1].frames
    black = np.zeros((frames.shape[1], 10, 3), np.uint8)
    strip = np.concatenate([frames[0], black, frames[1], black, frames[2], black, frames[3]], 1)
    want = score_of(logs(plain, words, strip, CAPTIONS[0], ["Yes"]))
    scorer = Llava(str(layouts / "inside"), rule="strip")
    assert scorer.score(clips[1], CAPTIONS[:1])[0] == pytest.approx(want, rel=2e-5)
    with pytest.raises(VideoError, match=r"--scorers\.llava\.rule: strip of a clip with 1 frame"):
        scorer.score(Sampled(frames[:1].repeat(4, 0), [0] * 4, 1, 8.0), CAPTIONS[:1])


@pytest.mark.parametrize(
    ("rule", "frames", "total", "want"),
    [
        ("whole_steps", 4, 49, [0, 12, 24, 36]),
        ("whole_steps", 4, 3, [0, 1, 2, 2]),
        ("both_ends", 4, 49, [0, 16, 32, 48]),
        ("midpoints", 4, 48, [6, 18, 30, 42]),
        ("all36", 4, 3, [0, 1, *[2] * 34]),
        ("all36", 4, 49, list(range(36))),
        ("strip", 4, 49, [0, 12, 24, 36]),
    ],
)
def test_each_frame_rule_takes_the_frames_counted_by_hand(rule, frames, total, want):
    scorer = Llava("mini-llava", rule=rule, frames=frames)
    assert scorer.looks_at.indices(total, 8.0) == want
    assert scorer.describe()["frames"]["name"] == rule


def test_captions_that_cannot_be_asked_are_named(layouts, clips):
    scorer = Llava(str(layouts / "inside"))
    for caption, reason in (
        ("dog " * 700, r"'dog dog .* tokens with its frame, the model takes 700; shorten it"),
        ("a </s> b", "holds the special token '</s>'"),
        (" ", "empty"),
    ):
        with pytest.raises(CaptionError, match=reason):
            scorer.score(clips[0], [caption])


def test_a_checkpoint_without_a_tower_says_where_to_get_one(layouts, tmp_path):
    folder = shutil.copytree(layouts / "outside", tmp_path / "x", ignore=shutil.ignore_patterns("clip-vit"))
    with pytest.raises(ValueError, match=r"--scorers\.llava\.tower: clip-vit: no such folder.*give .*the folder of"):
        Llava(str(folder)).load()
    Llava(str(folder), tower=str(layouts / "outside" / "clip-vit")).load()


def test_a_tower_that_one_gives_stands_in_for_the_one_inside(layouts, clips, naive, plain, tmp_path):
    clip = shutil.copytree(layouts / "outside" / "clip-vit", tmp_path / "clip")
    tower = {
        f"vision_model.{k}": v.flip(0) if k.endswith("position_embedding.weight") else v
        for k, v in tower_of(plain).items()
    }
    save_file({k: v.contiguous() for k, v in tower.items()}, clip / "model.safetensors")
    other = Llava(str(layouts / "inside"), tower=str(clip)).score(clips[0], CAPTIONS)
    assert np.abs(other / mean_of(naive, score_of)[0] - 1).max() > 1e-3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quantity": "p_no"}, "quantity: unknown 'p_no'; known: vqa_score, p_yes, alignment"),
        ({"rule": "ends"}, "rule: unknown 'ends'; known: whole_steps"),
        ({"frames": 0}, "frames: 0 is not a positive number"),
        ({"at_once": True}, "at_once: True is not a positive number"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_their_knob(settings, message):
    with pytest.raises(ValueError, match=rf"^--scorers\.llava\.{message}"):
        Llava("mini-llava", **settings)


def test_all_that_decides_a_score_is_in_the_stamp(layouts):
    told = Llava(str(layouts / "hf"), dtype="bfloat16", load_4bit=True, rule="midpoints", frames=3).describe()
    assert set(told) == {"revision", "quantity", "frames", "dtype", "load_4bit", "images", "question"}
    assert (told["quantity"], told["dtype"], told["load_4bit"]) == ("vqa_score", "torch.bfloat16", True)
    assert (told["frames"]["name"], told["frames"]["count"]) == ("midpoints", 3) and "bicubic" in told["images"]
    assert set(Llava(str(layouts / "hf"), tower=str(layouts / "outside" / "clip-vit")).describe()) == {*told, "tower"}
