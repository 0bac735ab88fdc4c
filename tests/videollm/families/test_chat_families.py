"""LLaVA-OneVision, SmolVLM2 and InternVL give the numbers of their own plain forward, asked the shared way."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tiny_chat_models import PROMPT, SAVE

from synvita.core.decoder import Decoder
from synvita.core.frame_rules import FramePolicy
from synvita.core.video import Sampled, sample_video
from synvita.core.write_video import write_video
from synvita.videollm.chat import ChatVideoLLM
from synvita.videollm.families.pixels import VideoSettings
from synvita.videollm.protocol import Loading
from synvita.videollm.scoring import score_captions, score_questions

CAPTIONS = ["a red ball rolls left", "two dogs run", 'a man says "Yes" \U0001f600', "nobody, anywhere\nat all"]
ENTAILMENT = 'Does this video entail the description: "{}"?'
HALF = [0.5, 0.5, 0.5]


@dataclass
class Loaded:
    name: str
    model: ChatVideoLLM
    folder: object
    videos: list
    media: list

    def official_ids(self, b, caption, monkeypatch):
        """The official prompt as one text, tokenised as a whole."""
        video = self.videos[b]
        pixels = self.model.family.pixels(video)
        template, text = PROMPT[self.name](video, pixels, monkeypatch)
        content = [{"type": "video"}, {"type": "text", "text": ENTAILMENT.format(caption)}]
        words = self.model.questioner.tokenizer
        prompt = words.apply_chat_template(
            [{"role": "user", "content": content}], chat_template=template, tokenize=False, add_generation_prompt=True
        )
        assert prompt.count("<video>") == 1
        return words(prompt.replace("<video>", text), add_special_tokens=False)["input_ids"]

    @torch.no_grad()
    def alone(self, b, ids, hide=()):
        """The naive truth: log-odds by the class's own forward of one video and one caption."""
        pixels = self.model.family.pixels(self.videos[b])
        if self.name == "internvl":  # its processor renames them: one row per frame
            pixels = {"pixel_values": pixels["pixel_values_videos"].flatten(0, 1)}
        mask = torch.ones(1, len(ids), dtype=torch.long)
        mask[0, list(hide)] = 0
        places = torch.arange(len(ids))[None]
        more = {"position_ids": places} if hide else {}
        logits = self.model.model(input_ids=torch.tensor([ids]), attention_mask=mask, **pixels, **more).logits[0, -1]
        answers = self.model.questioner.answers
        return float(logits[answers.yes] - logits[answers.no])


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Two videos of different size and length: 5.6 s and 3 s."""
    folder, rng, found = tmp_path_factory.mktemp("videos"), np.random.default_rng(0), []
    for name, (frames, height, width) in {"a": (45, 48, 64), "b": (24, 50, 40)}.items():
        coarse = rng.integers(0, 256, (frames, 5, 4, 3), np.uint8)
        smooth = coarse.repeat(height // 5 + 1, 1).repeat(width // 4 + 1, 2)[:, :height, :width]
        write_video(folder / f"{name}.mp4", np.ascontiguousarray(smooth), 8)
        found.append(folder / f"{name}.mp4")
    return found


@pytest.fixture(scope="module", params=SAVE)
def loaded(request, tmp_path_factory, paths):
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(1)
    bare = SAVE[request.param](folder)
    for p in bare.parameters():  # fresh weights answer nearly the same to all: make answers differ
        if p.ndim > 1:
            p.data.normal_(0, 0.25)
    bare.save_pretrained(folder)
    model = ChatVideoLLM.from_pretrained(folder)
    videos = [sample_video(path, model.policy) for path in paths]
    return Loaded(request.param, model, folder, videos, model.media([model.look(video) for video in videos]))


def test_the_prompt_has_the_tokens_of_the_official_processors_text(loaded, monkeypatch):
    for b, media in enumerate(loaded.media):
        assert media.ids.count(loaded.model.placeholder) == len(media.visual)
        for caption in CAPTIONS:
            ours = media.ids + loaded.model.questioner.ask(caption).ids
            assert ours == loaded.official_ids(b, caption, monkeypatch)


def test_scores_equal_the_models_own_forward_of_one_pair_at_a_time(loaded, monkeypatch):
    got = score_captions(loaded.model, loaded.media, [CAPTIONS] * 2)
    wanted = [[loaded.alone(b, loaded.official_ids(b, c, monkeypatch)) for c in CAPTIONS] for b in range(2)]
    assert np.ptp(wanted, axis=1).min() > 0.01  # else equality would say nothing
    assert np.abs(np.subtract(*wanted)).max() > 0.01
    np.testing.assert_allclose(torch.stack(got).numpy(), wanted, atol=1e-4, rtol=0)


def test_scores_do_not_depend_on_the_number_and_order_of_captions(loaded):
    whole = score_captions(loaded.model, loaded.media, [CAPTIONS, CAPTIONS])
    for pick in ([2], [3, 0, 1], [3, 2, 1, 0, 0]):
        some = [CAPTIONS[i] for i in pick]
        for a, b in zip(score_captions(loaded.model, loaded.media, [some, some]), whole, strict=True):
            torch.testing.assert_close(a, b[pick], atol=1e-4, rtol=0)
    one = score_captions(loaded.model, loaded.media[1:], [CAPTIONS], questions_at_once=1)[0]
    torch.testing.assert_close(one, whole[1], atol=1e-4, rtol=0)


def test_a_masked_twin_equals_a_forward_with_these_keys_masked(loaded):
    asked = loaded.model.questioner.ask(CAPTIONS[0])
    gone = [asked.caption[0] + 1, asked.caption[1] - 2]
    media = loaded.media[0]
    full, twin = score_questions(loaded.model, [media], [[asked, asked]], hidden=[[[], gone]])[0].tolist()
    ids = media.ids + asked.ids
    assert abs(twin - loaded.alone(0, ids, [len(media.ids) + i for i in gone])) < 1e-4
    assert abs(full - loaded.alone(0, ids)) < 1e-4
    assert abs(full - twin) > 1e-3  # hiding tokens matters


def test_the_answers_are_what_the_template_lets_the_model_say(loaded):
    words, answers = loaded.model.questioner.tokenizer, loaded.model.questioner.answers
    space = " " if loaded.name == "smolvlm" else ""
    said = [words.decode([i]) for i in (answers.yes, answers.no, answers.end)]
    assert said == [space + "Yes", space + "No", words.eos_token]


def test_cached_features_give_the_same_media(loaded, tmp_path):
    from safetensors.torch import load_file, save_file

    features = loaded.model.look(loaded.videos[0])
    save_file({name: value.contiguous() for name, value in features.items()}, tmp_path / "features.safetensors")
    again = loaded.model.media([load_file(tmp_path / "features.safetensors")])[0]
    assert again.ids == loaded.media[0].ids
    torch.testing.assert_close(again.visual, loaded.media[0].visual, atol=0, rtol=0)


def test_a_number_of_frames_given_by_the_user_is_taken(loaded, paths):
    family = type(loaded.model.family)(loaded.folder, 5)
    assert len(sample_video(paths[1], family.policy).indices) == 5


def test_frames_are_taken_by_each_familys_own_rule(loaded):
    indices = loaded.model.policy.indices
    if loaded.name == "llava_onevision":
        assert indices(320, 25.0) == np.linspace(0, 319, 32, dtype=int).tolist()
    if loaded.name == "internvl":
        assert indices(80, 25.0) == [5, 15, 25, 35, 45, 55, 65, 75]
        assert indices(4, 25.0) == [0, 0, 1, 1, 2, 2, 3, 3]  # the official one refuses fewer than eight
    if loaded.name == "smolvlm":
        assert indices(45, 8.0) == [0, 8, 17, 26, 35, 44]
        assert indices(3, 30.0) == [0]
        long = indices(3000, 30.0)  # 100 s: the first and last second are left out
        assert (long[0], long[-1], len(long)) == (30, 2970, 64)


def test_a_decoder_process_takes_the_same_frames(loaded, paths):
    with Decoder() as decoder:
        for path, video in zip(paths, loaded.videos, strict=True):
            assert decoder.video(path, loaded.model.policy).indices == video.indices


def test_smolvlm_tells_the_number_of_frames_in_words():
    from synvita.videollm.families.smolvlm import in_words

    said = {1: "one", 12: "twelve", 20: "twenty", 64: "sixty-four", 100: "one hundred", 615: "six hundred and fifteen"}
    assert {number: in_words(number) for number in said} == said
    with pytest.raises(ValueError, match="--frames: 1000 frames"):
        in_words(1000)


def test_settings_that_are_not_supported_are_named(tmp_path):
    default = dict(size={"height": 30, "width": 30}, resample=3, image_mean=HALF, image_std=HALF)
    with pytest.raises(ValueError, match=r"no video_preprocessor_config\.json"):
        VideoSettings.from_folder(tmp_path, **default)
    path = tmp_path / "preprocessor_config.json"
    for stored in ({"resample": 5}, {"do_center_crop": True}, {"do_normalize": False}):
        path.write_text(json.dumps(stored))
        with pytest.raises(ValueError, match=f"{path}: {next(iter(stored))}: "):
            VideoSettings.from_folder(tmp_path, **default)
    path.write_text(json.dumps({"size": {"shortest_edge": 30}}))
    with pytest.raises(ValueError, match=r"size: .*height and width"):
        VideoSettings.from_folder(tmp_path, **default).square()


@pytest.mark.torchvision
def test_pixels_and_frames_are_those_of_the_official_video_processor(loaded):
    pytest.importorskip("torchvision")
    import transformers
    from transformers.video_utils import VideoMetadata

    kind = {"llava_onevision": "LlavaOnevision", "smolvlm": "SmolVLM", "internvl": "InternVL"}[loaded.name]
    official = getattr(transformers, f"{kind}VideoProcessor").from_pretrained(loaded.folder)
    rng = np.random.default_rng(1)
    shapes = [(3, 48, 64), (2, 101, 33), (1, 17, 90), (4, 30, 30), (2, 28, 28), (1, 400, 300)]
    for frames in [v.frames for v in loaded.videos] + [rng.integers(0, 256, (*s, 3), np.uint8) for s in shapes]:
        ours = loaded.model.family.pixels(Sampled(frames, [], len(frames), 8.0))
        theirs = official(frames, return_tensors="pt")
        for name, value in ours.items():
            assert value.shape == theirs[name].shape
            assert value.dtype == theirs[name].dtype
            assert (value - theirs[name]).abs().max() < 1e-6
    if loaded.name == "llava_onevision":  # its processor takes whatever frames it gets
        return
    policy = loaded.model.policy if loaded.name == "smolvlm" else FramePolicy(8)
    for total in (8, 9, 24, 45, 100, 331, 3000, 10007):
        for rate in (8.0, 23.976, 30.0):
            about = VideoMetadata(total, rate, duration=total / rate)
            wanted = official.sample_frames(about, num_frames=None if policy.count == 0 else policy.count)
            assert loaded.model.policy.indices(total, rate) == wanted.tolist()


def test_a_model_loads_with_frames_from_the_user(loaded):
    model = ChatVideoLLM.from_pretrained(loaded.folder, Loading(frames=3))
    assert model.policy.count == 3
    assert model.visual_key != loaded.model.visual_key
