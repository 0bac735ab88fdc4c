"""InstructBLIP's scores are those of one frame and one caption at a time, and of none of the known mistakes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from naive_instructblip import LIMIT, MISTAKES, Naive, write_checkpoint
from safetensors.torch import load_file, save_file

from synvita.core.backends import Part
from synvita.core.video import Sampled
from synvita.weigh.instructblip import InstructBlip, vocabulary
from synvita.weigh.scorer import load_scorer

CAPTIONS = ["a red ring moving left", "a blue cross", "two rings then a cross beside a red ring moving left"]
NEAR, FAR = 2e-5, 5e-4  # of log scores: what the comparison forgives, and what each mistake moves at least


def clip(seed: int, frames: int, height: int, width: int) -> Sampled:
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, height // 4, width // 4, 3), dtype=np.uint8)
    return Sampled(pixels.repeat(4, 1).repeat(4, 2), list(range(frames)), frames, 8.0)


CLIPS = [clip(0, 2, 48, 80), clip(1, 3, 100, 36), clip(2, 1, 32, 32)]


def fresh() -> list[Sampled]:
    """Of which nothing is kept yet."""
    return [replace(video, kept={}) for video in CLIPS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("instructblip") / "instructblip-flan-t5-xl"
    write_checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def scorer(folder) -> InstructBlip:
    scorer = InstructBlip(str(folder), at_once=5)
    scorer.load()
    return scorer


@pytest.fixture(scope="module")
def scores(scorer) -> list[np.ndarray]:
    return scorer.score_many(CLIPS, [CAPTIONS] * len(CLIPS))


def distance(some, others) -> float:
    """The largest difference of log scores."""
    return max(float(np.abs(np.log(a) - np.log(b)).max()) for a, b in zip(some, others, strict=True))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_scores_are_those_of_one_pair_at_a_time_and_of_no_known_mistake(mistake, folder, scores):
    naive = Naive(folder, mistake)
    far = distance([naive.score(video, CAPTIONS) for video in CLIPS], scores)
    print(mistake, far)
    if mistake == "none":
        assert far < NEAR
    else:
        assert far > FAR


# ---- batches


@pytest.mark.parametrize("at_once", [1, 100])
def test_scores_do_not_depend_on_what_is_in_the_same_pass(at_once, scorer, scores, monkeypatch):
    monkeypatch.setattr(scorer, "at_once", at_once)
    assert distance(scorer.score_many(fresh(), [CAPTIONS] * len(CLIPS)), scores) < NEAR
    alone = [[scorer.score(video, [caption])[0] for caption in CAPTIONS] for video in fresh()[1:]]
    assert distance(alone, scores[1:]) < NEAR


def test_each_clip_has_captions_of_its_own(scorer, scores):
    found = scorer.score_many(CLIPS, [CAPTIONS[:1], CAPTIONS[::-1], CAPTIONS[1:]])
    assert distance(found, [scores[0][:1], scores[1][::-1], scores[2][1:]]) < NEAR


def test_a_frame_goes_through_the_tower_once_for_all_its_captions(scorer):
    frames = []
    hook = scorer.model.vision_model.register_forward_hook(lambda *call: frames.append(len(call[2].last_hidden_state)))
    scorer.score_many(fresh(), [CAPTIONS] * len(CLIPS))
    hook.remove()
    assert sum(frames) == sum(len(video.frames) for video in CLIPS)


# ---- captions


def ids(scorer: InstructBlip, caption: str) -> tuple[list[str], list[str]]:
    both = zip((scorer.qformer_tokenizer, scorer.t5_tokenizer), scorer.ask(caption), strict=True)
    bert, t5 = (one.convert_ids_to_tokens(found) for one, found in both)
    return bert, t5


def test_the_question_is_read_by_both_tokenizers(scorer):
    bert, t5 = ids(scorer, "a red ring")
    want = ["[CLS]", 'question : does this figure show " a red ri ##ng " ? please answer yes or no .', "[SEP]"]
    assert " ".join(bert) == " ".join(want)
    assert " ".join(t5) == 'Question : Does this figure show " a red ring " ? Please answer yes or no . </s>'


def test_a_caption_that_is_cut_upstream_is_refused_with_both_numbers(scorer):
    fits = "red " * (LIMIT - len(ids(scorer, "red")[0]) + 1)
    assert len(ids(scorer, fits)[0]) == LIMIT
    with pytest.raises(
        ValueError, match=r"caption 'red red .*129 tokens for the Q-Former, 128 for T5; .* 128; .*"
    ) as why:
        scorer.score(CLIPS[2], ["blue cross", fits + "red"])
    assert "--scorers.instructblip.long_captions truncate" in str(why.value)


def test_long_captions_lose_their_start_if_one_asks_for_it(folder, scorer, monkeypatch):
    caption = "two rings then a cross " * 30 + "a red ring moving left " * 30
    monkeypatch.setattr(scorer, "long_captions", "truncate")
    bert, t5 = ids(scorer, caption)
    assert len(bert) == len(t5) == LIMIT and (bert[0], bert[-2:], t5[-2:]) == ("[CLS]", [".", "[SEP]"], [".", "</s>"])
    found = [scorer.score(CLIPS[2], [caption])]
    assert distance([Naive(folder).score(CLIPS[2], [caption])], found) < NEAR
    assert distance([Naive(folder, "right").score(CLIPS[2], [caption])], found) > FAR
    assert distance([scorer.score(CLIPS[2], CAPTIONS)], [InstructBlip(str(folder)).score(CLIPS[2], CAPTIONS)]) < NEAR


@pytest.mark.parametrize("caption", ["a [SEP] ring", "a ring</s>", "<image> a ring", " "])
def test_captions_are_plain_text(caption, scorer):
    with pytest.raises(ValueError, match="caption"):
        scorer.score(CLIPS[2], [caption])


# ---- settings


def test_the_other_quantities_ask_lower_case_yes_and_no(folder, scorer, scores, monkeypatch):
    naive = Naive(folder)
    monkeypatch.setattr(naive, "mistake", "no end")
    want = naive.score(CLIPS[2], CAPTIONS)
    monkeypatch.setattr(scorer, "quantity", "p_yes")
    assert distance([want], [scorer.score(CLIPS[2], CAPTIONS)]) < NEAR
    words = naive.t5_words
    monkeypatch.setattr(words, "convert_tokens_to_ids", lambda t, get=words.convert_tokens_to_ids: get(no(t)))
    against = naive.score(CLIPS[2], CAPTIONS)
    monkeypatch.setattr(scorer, "quantity", "alignment")
    shares = [yes / (yes + other) for yes, other in zip(want, against, strict=True)]
    assert distance([shares], [scorer.score(CLIPS[2], CAPTIONS)]) < NEAR


def no(tokens):
    return ["no" if token == "yes" else token for token in tokens] if isinstance(tokens, list) else tokens


def variant(folder: Path, to: Path, **config) -> Path:
    """A copy with other settings in config.json, `part__name=value`."""
    to.mkdir()
    for path in folder.iterdir():
        if path.name != "config.json":
            (to / path.name).symlink_to(path)
    stored = json.loads((folder / "config.json").read_text())
    for name, value in config.items():
        part, _, inner = name.rpartition("__")
        (stored[part] if part else stored)[inner] = value
    (to / "config.json").write_text(json.dumps(stored))
    return to


def test_what_config_json_says_against_lavis_does_not_count(folder, scores, tmp_path):
    """As transformers 5 saves it: tied, scaled; GELU and eps of another program."""
    told = {"text_config__tie_word_embeddings": True, "text_config__scale_decoder_outputs": True}
    told |= {"text_config__dense_act_fn": "gelu_new", "vision_config__layer_norm_eps": 1e-5}
    other = InstructBlip(str(variant(folder, tmp_path / "other", **told)))
    assert distance(other.score_many(CLIPS, [CAPTIONS] * len(CLIPS)), scores) < NEAR


def test_the_softmax_runs_over_flan_t5s_own_rows():
    assert [vocabulary(rows, image) for rows, image in ((32_128, 32_100), (32_192, 32_128), (32_128, None))] == [
        32_128
    ] * 3
    assert vocabulary(40, 37) == 37 and vocabulary(40, None) == 40


def test_it_is_known_by_name_and_says_what_decides_its_scores(folder):
    options = {"checkpoint": str(folder), "long_captions": "truncate"}
    said = load_scorer(Part("scorers", "instructblip", "instructblip", options)).describe()
    assert said["question"] == 'Question: Does this figure show "{caption}"? Please answer yes or no.'
    assert (
        said["images"] == "short side, bicubic to the tower's size, centre crop" and said["long_captions"] == "truncate"
    )
    with pytest.raises(
        ValueError, match=r"--scorers\.instructblip\.long_captions: unknown 'cut'; known: error, truncate"
    ):
        InstructBlip(str(folder), long_captions="cut")


# ---- other checkpoints

WAY_OUT = "give Salesforce/instructblip-flan-t5-xxl"


def refused(folder: Path) -> str:
    with pytest.raises(ValueError) as caught:
        InstructBlip(str(folder)).load()
    text = str(caught.value)
    assert text.startswith("--scorers.instructblip.checkpoint: ") and "\n" not in text and str(folder) in text
    return text


def test_lavis_own_files_are_refused_with_the_layout_to_use(folder, tmp_path):
    path = tmp_path / "lavis" / "instruct_blip_flanxxl_trimmed.pth"
    path.parent.mkdir()
    torch.save({"model": {}}, path)
    for place in (path, path.parent):
        assert WAY_OUT in refused(place)
    (path.parent / "config.json").write_text("{}")
    assert WAY_OUT in refused(path.parent)
    other = variant(folder, tmp_path / "names")
    (other / "model.safetensors").unlink()
    save_file({"Qformer.bert.embeddings.word_embeddings.weight": torch.zeros(40, 32)}, other / "model.safetensors")
    assert "LAVIS' names (Qformer.bert.embeddings.word_embeddings.weight)" in refused(other)


def test_another_model_is_refused_with_a_way_out(folder, tmp_path):
    text = refused(variant(folder, tmp_path / "blip2", model_type="blip-2"))
    assert "is a 'blip-2' checkpoint, not 'instructblip'" in text and WAY_OUT in text
    text = refused(variant(folder, tmp_path / "vicuna", text_config={"model_type": "llama"}))
    assert "its language model is a 'llama'" in text and WAY_OUT in text


def test_a_checkpoint_with_a_part_missing_is_refused(folder, tmp_path):
    other = variant(folder, tmp_path / "words")
    (other / "qformer_tokenizer").unlink()
    assert "no qformer_tokenizer/" in refused(other)
    other = variant(folder, tmp_path / "head")
    (other / "model.safetensors").unlink()
    tensors = {k: v for k, v in load_file(folder / "model.safetensors").items() if "lm_head" not in k}
    save_file(tensors, other / "model.safetensors", {"format": "pt"})
    assert "no head of its own" in refused(other)
