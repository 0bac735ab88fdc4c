"""Qwen2.5-VL and Qwen3-VL as scorers: t2v_metrics' question and frame rate, P("Yes") of one plain forward each."""

import numpy as np
import pytest
import torch
from tiny_qwen import tiny_checkpoint

from synvita.core.video import sample_video
from synvita.core.write_video import write_video
from synvita.weigh import load
from synvita.weigh.video_llm import FIGURE, VideoLLMScorer

CAPTIONS = ["a small red cross moving left then growing", "a ring", "two purple objects blinking"]


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def case(request, tmp_path_factory):
    folder = tiny_checkpoint(tmp_path_factory.mktemp(request.param), request.param)
    pictures = np.random.default_rng(1).integers(0, 256, (24, 10, 8, 3), np.uint8).repeat(4, 1).repeat(4, 2)
    write_video(folder / "clip.mp4", pictures, 12)
    return request.param, folder


@torch.no_grad()
def logs(scorer, video, question, caption, words=("Yes", "No")):
    """Log-probabilities over the whole vocabulary behind the whole prompt, and the end's behind "Yes"."""
    model, tokenizer = scorer.model, scorer.model.questioner.tokenizer
    content = [{"type": "video"}, {"type": "text", "text": question.replace("{caption}", caption)}]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    given = model.family.pixels(video)
    time, rows, columns = given["video_grid_thw"][0].tolist()
    each, mark = "<|video_pad|>" * (rows * columns // 4), "<|vision_start|>{}<|vision_end|>"
    if "timestamps" in given:
        seconds = given.pop("timestamps").tolist()
        text = text.replace(
            mark.format("<|video_pad|>"), "".join(f"<{s:.1f} seconds>{mark.format(each)}" for s in seconds)
        )
    else:
        text = text.replace("<|video_pad|>", each * time)
    found = {}
    for word in words:
        row = torch.tensor([tokenizer(text + word)["input_ids"]])
        kinds = torch.where(row == model.placeholder, 2, 0)
        out = model.model(input_ids=row, attention_mask=torch.ones_like(row), mm_token_type_ids=kinds, **given)
        behind = torch.log_softmax(out.logits[0, -2:].double(), -1)
        found[word] = float(behind[0, tokenizer.convert_tokens_to_ids(word)])
        found[f"end of {word}"] = float(behind[1, tokenizer.convert_tokens_to_ids("<|im_end|>")])
    return found


def test_the_score_is_the_first_tokens_probability_over_the_whole_vocabulary(case):
    name, folder = case
    scorer = load(name, checkpoint=str(folder))
    scorer.load()
    assert (scorer.quantity, scorer.describe()["quantity"]) == ("p_yes", "p_yes")
    assert FIGURE == 'Does this figure show "{caption}"? Please answer Yes or No.'
    video = sample_video(folder / "clip.mp4", scorer.looks_at)
    assert len(video.frames) == 16  # two seconds at 8 a second
    want = [np.exp(logs(scorer, video, FIGURE, caption)["Yes"]) for caption in CAPTIONS]
    np.testing.assert_allclose(scorer.score(video, CAPTIONS), want, rtol=2e-4)
    assert np.ptp(np.log(want)) > 0.05


def test_the_other_quantities_and_questions_come_on_request(case):
    name, folder = case
    paper = load(name, checkpoint=str(folder), quantity="vqa_score", question='Is "{caption}" shown?', fps=2)
    paper.load()
    video = sample_video(folder / "clip.mp4", paper.looks_at)
    assert len(video.frames) == 4
    plain = [logs(paper, video, 'Is "{caption}" shown?', caption) for caption in CAPTIONS]
    want = [np.exp((each["Yes"] + each["end of Yes"]) / 2) for each in plain]
    np.testing.assert_allclose(paper.score(video, CAPTIONS), want, rtol=2e-4)
    ours = load(name, checkpoint=str(folder), quantity="alignment", question="entailment", fps=0)
    ours.load()
    own = 'Does this video entail the description: "{caption}"?'
    plain = [logs(ours, video, own, caption) for caption in CAPTIONS]
    want = [1 / (1 + np.exp(each["No"] - each["Yes"])) for each in plain]
    np.testing.assert_allclose(ours.score(video, CAPTIONS), want, rtol=2e-4)
    assert ours.looks_at == ours.model.policy
    known = [scorer.describe() for scorer in (load(name, checkpoint=str(folder)), paper, ours)]
    assert len({str(one) for one in known}) == 3  # another question, rate or quantity is another stamp


def test_a_named_model_needs_no_checkpoint_and_has_the_dtype_of_its_device(monkeypatch):
    from synvita.videollm import protocol

    made = load("qwen3_vl")
    assert (made.checkpoint, made.how.dtype) == ("Qwen/Qwen3-VL-8B-Instruct", torch.float32)
    assert load("qwen2_5_vl").checkpoint == "Qwen/Qwen2.5-VL-7B-Instruct"
    monkeypatch.setattr(protocol, "check_device", lambda *_: None)
    assert load("qwen3_vl", device="cuda").how.dtype == torch.bfloat16
    assert load("qwen3_vl", device_map="auto").how.dtype == torch.bfloat16
    assert load("qwen3_vl", device="cuda", dtype="float32").how.dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"question": "Is it?"}, r"--scorers\.video_llm\.question: 'Is it\?': give entailment, figure, or a text with"),
        ({"quantity": "yes"}, r"--scorers\.video_llm\.quantity: unknown 'yes'; known: vqa_score, p_yes, alignment"),
        ({"fps": -1}, r"--scorers\.video_llm\.fps: -1 is not a number of frames per second"),
        ({"checkpoint": ""}, r"--scorers\.video_llm\.checkpoint: none given"),
        ({"dtype": "half"}, r"--scorers\.video_llm\.dtype: unknown 'half'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_loaded(settings, message):
    with pytest.raises(ValueError, match=message):
        VideoLLMScorer(**{"checkpoint": "mini-video-llava"} | settings)


def test_the_authors_models_take_no_question_and_no_rate(mplug_owl_folder):
    with pytest.raises(ValueError, match=r"--scorers\.video_llm\.question: .* is asked in its authors' words only"):
        VideoLLMScorer(str(mplug_owl_folder), question="figure").load()
    with pytest.raises(ValueError, match=r"--scorers\.video_llm\.fps: mini-video-llava takes 8 frames of every clip"):
        VideoLLMScorer("mini-video-llava", fps=4).load()
