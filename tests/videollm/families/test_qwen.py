"""Qwen2.5-VL and Qwen3-VL give the numbers of transformers' own forward, and of its video processors."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from tiny_qwen import tiny_checkpoint, tiny_tokenizer
from torch import Tensor

from synvita.core.frame_rules import FramePolicy, uniform_indices
from synvita.core.video import Sampled, sample_video
from synvita.core.video_file import VideoError
from synvita.core.write_video import write_video
from synvita.videollm.chat import ChatVideoLLM
from synvita.videollm.families.qwen import Qwen3VL, Qwen25VL, rope_positions
from synvita.videollm.families.qwen_pixels import fitting_size
from synvita.videollm.protocol import Loading, Media
from synvita.videollm.scoring import score_captions, score_questions

CAPTIONS = [
    "a small red cross moving left then growing",
    "a ring",
    "two purple objects blinking",
    'a man says "Yes" and No \U0001f600',
    "a large blue square left of a white circle shrinking",
]
KINDS = ("qwen2_5_vl", "qwen3_vl")


@dataclass
class Case:
    kind: str
    folder: Path
    model: ChatVideoLLM
    videos: list[Sampled]
    media: list[Media]


@pytest.fixture(scope="module", params=KINDS)
def case(request, tmp_path_factory) -> Case:
    """Videos of different sizes, lengths and rates.

    The second has an interval of no whole steps and an odd last frame; the third's last time is beyond its sides.
    """
    folder = tiny_checkpoint(tmp_path_factory.mktemp(request.param), request.param)
    model = ChatVideoLLM.from_pretrained(folder)
    videos = []
    for seed, (frames, height, width, rate) in enumerate([(12, 32, 48, 4), (18, 100, 76, 5), (24, 32, 32, 4)]):
        path = folder / f"{seed}.mp4"
        pictures = np.random.default_rng(seed).integers(0, 256, (frames, height // 4, width // 4, 3), np.uint8)
        write_video(path, pictures.repeat(4, 1).repeat(4, 2), rate)
        videos.append(sample_video(path, model.policy))
    return Case(request.param, folder, model, videos, model.media([model.look(video) for video in videos]))


def official_ids(case: Case, video: Sampled, caption: str) -> list[int]:
    """The whole prompt, rendered with the caption and filled in as text, as the authors' processors do."""
    questioner, given = case.model.questioner, case.model.family.pixels(video)
    time, rows, columns = given["video_grid_thw"][0].tolist()
    text = questioner.render(questioner.question.replace("{caption}", caption))
    wrapped = "<|vision_start|>{}<|vision_end|>"
    each = "<|video_pad|>" * (rows * columns // 4)
    if case.kind == "qwen2_5_vl":
        return questioner.tokenizer(text.replace("<|video_pad|>", each * time))["input_ids"]
    indices = [*video.indices, video.indices[-1]]
    seconds = [(indices[2 * i] / video.rate + indices[2 * i + 1] / video.rate) / 2 for i in range(time)]
    filled = "".join(f"<{s:.1f} seconds>" + wrapped.format(each) for s in seconds)
    return questioner.tokenizer(text.replace(wrapped.format("<|video_pad|>"), filled))["input_ids"]


@torch.no_grad()
def plain_log_odds(case: Case, video: Sampled, ids: list[int], **more: Tensor) -> float:
    """The class's own forward of one pair."""
    given = {name: value for name, value in case.model.family.pixels(video).items() if name != "timestamps"}
    row = torch.tensor([ids])
    kinds = torch.where(row == case.model.placeholder, 2, 0)
    more = {"attention_mask": torch.ones_like(row)} | more
    logits = case.model.model(input_ids=row, mm_token_type_ids=kinds, **given, **more).logits[0, -1]
    answers = case.model.questioner.answers
    return float(logits[answers.yes] - logits[answers.no])


def test_scores_equal_the_models_own_forward_of_one_pair_at_a_time(case):
    got = score_captions(case.model, case.media, [CAPTIONS] * 3)
    for video, media, odds in zip(case.videos, case.media, got, strict=True):
        if case.kind == "qwen2_5_vl" and video is case.videos[2]:
            continue  # transformers lets text go on before the video's last time; see `rope_positions`
        rows = [official_ids(case, video, caption) for caption in CAPTIONS]
        for caption, row in zip(CAPTIONS, rows, strict=True):
            assert media.ids + case.model.questioner.ask(caption).ids == row
        want = [plain_log_odds(case, video, row) for row in rows]
        assert np.ptp(want) > 0.1  # else equality would say nothing
        np.testing.assert_allclose(odds.numpy(), want, atol=1e-4)
    assert (got[0] - got[1]).abs().max() > 0.1


def test_scores_do_not_depend_on_number_and_order_of_captions(case):
    whole = score_captions(case.model, case.media, [CAPTIONS] * 3)
    parts = [CAPTIONS[::-1], CAPTIONS[1:2], CAPTIONS[2:]]
    back = score_captions(case.model, case.media[::-1], parts, questions_at_once=2)
    torch.testing.assert_close(back[0].flip(0), whole[2], atol=1e-4, rtol=0)
    torch.testing.assert_close(back[1], whole[1][1:2], atol=1e-4, rtol=0)
    torch.testing.assert_close(back[2], whole[0][2:], atol=1e-4, rtol=0)


def test_hidden_tokens_are_as_a_mask_over_keys_with_positions_unchanged(case):
    asked = [case.model.questioner.ask(caption) for caption in CAPTIONS]
    hidden = [list(range(a.caption[0] + 1, a.caption[1], 2)) for a in asked]
    for video, media in zip(case.videos, case.media, strict=True):
        odds = score_questions(case.model, [media], [asked], [hidden])[0]
        shown = score_questions(case.model, [media], [asked])[0]
        assert (odds - shown).abs().max() > 0.01
        for a, gone, value in zip(asked, hidden, odds, strict=True):
            ids = media.ids + a.ids
            mask = torch.ones(1, len(ids), dtype=torch.long)
            mask[0, [len(media.ids) + i for i in gone]] = 0
            behind = torch.arange(len(a.ids)) + media.positions.max() + 1
            places = torch.cat([media.positions, behind.expand(3, -1)], 1)[:, None]
            want = plain_log_odds(case, video, ids, attention_mask=mask, position_ids=places)
            assert float(value) == pytest.approx(want, abs=1e-4)


def test_positions_are_the_models_own(case):
    for video, media in zip(case.videos, case.media, strict=True):
        given = case.model.family.pixels(video)
        row = torch.tensor([media.ids])
        want, _ = case.model.model.model.get_rope_index(
            row,
            torch.where(row == case.model.placeholder, 2, 0),
            video_grid_thw=given["video_grid_thw"],
            second_per_grid_ts=given.get("second_per_grid_ts"),
        )
        assert torch.equal(media.positions, want[:, 0])


def test_text_goes_on_behind_the_last_time_of_a_long_video():
    """As the authors' docstring of Qwen2.5-VL has it: times 0, 50, 100, then text at 101 (plus one token before)."""
    times = torch.tensor([0, 50, 100])
    places = rope_positions([7] + [9] * 12 + [7, 7], 9, [(times, 2, 2)])
    assert places[0].tolist() == [0] + [1] * 4 + [51] * 4 + [101] * 4 + [102, 103]
    assert places[1].tolist() == [0] + [1, 1, 2, 2] * 3 + [102, 103]
    assert places[2].tolist() == [0] + [1, 2, 1, 2] * 3 + [102, 103]


def test_features_survive_the_cache(case):
    video = case.videos[1]
    features = case.model.look(video)
    kept = load(save({name: value.contiguous() for name, value in features.items()}))
    again = case.model.media([kept])[0]
    assert again.ids == case.media[1].ids
    assert torch.equal(again.positions, case.media[1].positions)
    assert torch.equal(again.visual, case.media[1].visual)
    assert again.ids.count(case.model.placeholder) == len(again.visual)
    assert (again.deep is None) == (case.kind == "qwen2_5_vl")


def official_indices(kind: str, total: int, rate: float) -> list[int]:
    """The formulas of transformers' `sample_frames` at 2 frames a second; they need torchvision to be imported."""
    wanted = total / rate * 2
    if kind == "qwen3_vl":
        count = min(max(int(wanted), 4), 768, total)
        return np.linspace(0, total - 1, count).round().astype(int).tolist()
    count = int(min(max(wanted, 4), min(768, total) // 2 * 2, total) // 2 * 2)
    return torch.arange(0, total, total / count).int()[:count].tolist()  # rounding may give one more, past the end


def test_frames_are_those_of_the_official_rule(case):
    for total in [*range(4, 200, 3), 1501, 50000]:
        for rate in (1.0, 12.0, 23.976, 30.0):
            assert case.model.policy.indices(total, rate) == official_indices(case.kind, total, rate)


@pytest.mark.parametrize("family", [Qwen25VL, Qwen3VL])
def test_a_number_of_frames_asked_for_is_kept_and_must_be_even(tmp_path, family):
    folder = tiny_checkpoint(tmp_path, KINDS[family is Qwen3VL])
    policy = family(folder, 8).policy
    assert policy.indices(100, 25.0) == uniform_indices(100, 8, policy.rule)
    assert len(policy.indices(3, 25.0)) == 8
    with pytest.raises(ValueError, match=r"--frames: 7; .* give 8"):
        ChatVideoLLM.from_pretrained(folder, Loading(frames=7))


def test_a_model_with_window_attention_is_refused_by_name(tmp_path):
    folder = tiny_checkpoint(tmp_path, "qwen2_5_vl")
    config = json.loads((folder / "config.json").read_text())
    text = config["text_config"]
    del text["layer_types"]
    text |= {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config.json: use_sliding_window: true with 16 tokens"):
        ChatVideoLLM.from_pretrained(folder)


@pytest.mark.parametrize("case", ["qwen3_vl"], indirect=True)  # Qwen2.5-VL's prompt needs no marks
def test_a_template_without_marks_around_the_video_is_refused(case):
    tokenizer = tiny_tokenizer(case.kind)
    tokenizer.chat_template = tokenizer.chat_template.replace("<|vision_start|><|video_pad|>", "<|video_pad|>")
    questioner = type(case.model.questioner)(tokenizer, media="<|video_pad|>")
    with pytest.raises(ValueError, match=r"chat template has no <\|vision_start\|><\|video_pad\|>"):
        case.model.family.media(case.model.model, questioner, case.model.look(case.videos[0]))


def test_sizes_without_bounds_are_refused(tmp_path):
    folder = tiny_checkpoint(tmp_path, "qwen3_vl")
    (folder / "video_preprocessor_config.json").write_text(json.dumps({"size": {"height": 8, "width": 8}}))
    with pytest.raises(ValueError, match=r"video_preprocessor_config.json: size: .*shortest_edge"):
        Qwen3VL(folder)


def test_a_strip_of_a_video_is_the_videos_fault():
    with pytest.raises(VideoError, match="2x402 pixels"):
        fitting_size(402, 2, 28, 1, 10**6)


# ---- against the official processors; they need torchvision, which synvita does not


def official_processor(kind: str, folder: Path, **more: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torchvision")
    name = "Qwen2VLVideoProcessor" if kind == "qwen2_5_vl" else "Qwen3VLVideoProcessor"
    return getattr(transformers, name).from_pretrained(folder, **more)


@pytest.mark.torchvision
@pytest.mark.parametrize("capped", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_equal_the_official_video_processors(tmp_path, kind, capped):
    folder = tiny_checkpoint(tmp_path, kind)
    (file,) = folder.glob("*preprocessor_config.json")
    released = {"patch_size": 14, "min_pixels": 3136, "max_pixels": 200000}
    if kind == "qwen3_vl":
        released = {"patch_size": 16, "size": {"shortest_edge": 4096, "longest_edge": 800000}}
    caps = {"cap_pixels_per_frame": True, "max_video_tokens": 90} if capped else {}
    for settings in ({}, released):
        file.write_text(json.dumps(json.loads(file.read_text()) | settings | caps))
        ours = (Qwen25VL if kind == "qwen2_5_vl" else Qwen3VL)(folder)
        official = official_processor(kind, folder)
        for seed, shape in enumerate([(4, 96, 128), (5, 33, 47), (3, 240, 320), (6, 6, 10), (7, 500, 41), (2, 56, 84)]):
            frames = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
            given = ours.pixels(Sampled(frames, list(range(shape[0])), shape[0], 24.0))
            want = official(frames, return_tensors="pt", do_sample_frames=False)
            assert torch.equal(given["video_grid_thw"], want["video_grid_thw"])
            torch.testing.assert_close(given["pixel_values_videos"], want["pixel_values_videos"], atol=0, rtol=0)


@pytest.mark.torchvision
@pytest.mark.parametrize("kind", KINDS)
def test_frames_equal_those_of_the_official_video_processors(tmp_path, kind):
    from transformers.video_utils import VideoMetadata

    folder = tiny_checkpoint(tmp_path, kind)
    policy: FramePolicy = (Qwen25VL if kind == "qwen2_5_vl" else Qwen3VL)(folder).policy
    official = official_processor(kind, folder)
    for total in range(4, 400, 7):
        for rate in (1.0, 12.0, 23.976, 30.0):
            want = official.sample_frames(VideoMetadata(total, fps=rate), fps=2).tolist()
            assert policy.indices(total, rate) == want[: len(want) // policy.step * policy.step]


@pytest.mark.torchvision
def test_prompt_and_timing_equal_the_official_processors(case):
    """transformers 5 keeps the template's marks around Qwen3-VL's pairs of frames, 4.57 (the authors') did not."""
    import transformers

    official = official_processor(case.kind, case.folder)
    name = "Qwen2_5_VLProcessor" if case.kind == "qwen2_5_vl" else "Qwen3VLProcessor"
    questioner = case.model.questioner
    images = transformers.Qwen2VLImageProcessor(patch_size=4)
    processor = getattr(transformers, name)(images, questioner.tokenizer, official, questioner.template)
    for video, media in zip(case.videos, case.media, strict=True):
        facts = {"total_num_frames": video.total, "fps": video.rate, "frames_indices": list(video.indices)}
        got = processor(
            text=[questioner.before + questioner.head],
            videos=[video.frames],
            video_metadata=[facts],
            do_sample_frames=False,
            return_tensors="pt",
        )
        pixels = case.model.family.pixels(video)
        assert torch.equal(got["pixel_values_videos"], pixels["pixel_values_videos"])
        ids = media.ids + questioner.tokenizer(questioner.head)["input_ids"]
        if case.kind == "qwen2_5_vl":
            torch.testing.assert_close(
                torch.as_tensor(got["second_per_grid_ts"]), pixels["second_per_grid_ts"], check_dtype=False
            )
        else:
            start, end = (questioner.tokenizer.convert_tokens_to_ids(f"<|vision_{s}|>") for s in ("start", "end"))
            at = len(questioner.tokens(questioner.before.removesuffix("<|vision_start|><|video_pad|>")))
            ids = [*ids[:at], start, *ids[at : len(media.ids)], end, *ids[len(media.ids) :]]
        assert got["input_ids"][0].tolist() == ids
