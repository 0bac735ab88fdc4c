"""Every tiny model learns from the scorer's own prompts, and its folder is what the scorer loads."""

import json

import numpy as np
import pytest
import torch

from synvita.core.video import Sampled
from synvita.pretrain import run, tower
from synvita.pretrain.models import tower_model
from synvita.pretrain.run import PUPILS, parse_plan
from synvita.pretrain.scenes import Sample, as_stored, draw_batch
from synvita.weigh import load
from synvita.world.captions import parse_caption
from synvita.world.render import FPS, FRAMES

SCORED_BY = {"video_llava": "video_llm", "llava": "llava", "clip_flant5": "clip_flant5", "instructblip": "instructblip"}
TRIED = parse_plan("wide:3@2e-3")


def tower_of(folder, name):
    """A random tower's file, which is faster than to train one."""
    torch.manual_seed(1)
    file = folder / "tower.pt"
    torch.save(tower_model("eva" if name == "instructblip" else "clip").state_dict(), file)
    return file


@pytest.mark.parametrize("name", PUPILS)
def test_a_saved_pupil_scores_as_the_loss_it_was_trained_on_says(name, tmp_path, monkeypatch):
    """VQAScore's exp(-mean cross-entropy of "Yes" and its end), Sec. 4, is exp(-loss) of a clip that fits."""
    kept = {}
    made = PUPILS[name]

    def keeping(*args):
        kept["pupil"] = made(*args)
        kept["save"] = kept["pupil"].save
        kept["pupil"].save = lambda folder: kept.update(folder=folder)  # before the weights lose their precision
        return kept["pupil"]

    monkeypatch.setitem(run.PUPILS, name, keeping)
    run.train(name, tower_of(tmp_path, name), tmp_path / "run", TRIED, size=8)
    pupil = kept["pupil"]
    frames = draw_batch(3, 0, 8)[0].frames
    if name != "video_llava":
        frames = np.repeat(frames[:1], FRAMES, 0)  # whichever frame is drawn, it is this one
    captions = ["a red ring moving left", "two small blue objects growing then blinking"]
    losses = []
    with torch.no_grad():
        for caption in captions:
            batch = pupil.prepare([Sample(frames, "a ring", [caption], [])], np.random.default_rng(0))
            losses.append(pupil.losses(batch)[0].item())

    kept["save"](kept["folder"])
    scorer = load(SCORED_BY[name], checkpoint=str(kept["folder"]), quantity="vqa_score")
    clip = Sampled(as_stored(frames), list(range(FRAMES)), FRAMES, FPS)
    scores = scorer.score(clip, captions)
    assert np.exp(-np.array(losses)) == pytest.approx(scores, rel=2e-3)
    assert abs(losses[0] - losses[1]) > 1e-3


@pytest.mark.parametrize("name", PUPILS)
def test_a_stopped_pupil_ends_with_the_weights_and_log_of_an_uninterrupted_one(name, tmp_path, monkeypatch):
    plan, given = parse_plan("wide:4@2e-3"), tower_of(tmp_path, name)
    run.train(name, given, tmp_path / "whole", plan, size=6, save_every=2)

    real = run.drawn
    monkeypatch.setattr(run, "drawn", lambda *args: 1 / 0 if args[-1] == 3 else real(*args))
    with pytest.raises(ZeroDivisionError):
        run.train(name, given, tmp_path / "parts", plan, size=6, save_every=2)
    assert not (tmp_path / "parts" / "checkpoint").exists()
    monkeypatch.setattr(run, "drawn", real)
    run.train(name, given, tmp_path / "parts", plan, size=6, save_every=2)

    a, b = (torch.load(tmp_path / part / "state.pt", weights_only=True) for part in ("whole", "parts"))
    assert a["step"] == b["step"] == 4
    assert all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])


@pytest.mark.parametrize("name", PUPILS)
def test_a_pupils_folder_is_small_and_its_tower_is_the_one_given(name, tmp_path):
    given = tower_of(tmp_path, name)
    run.train(name, given, tmp_path / "run", TRIED, size=6)
    files = [file for file in (tmp_path / "run" / "checkpoint").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 6e6
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)["model"]
    for weight, value in torch.load(given, weights_only=True).items():
        assert any(key.endswith(weight) and torch.equal(kept, value) for key, kept in state.items()), weight


@pytest.mark.parametrize("name", ["clip_flant5", "instructblip"])
def test_a_scorer_on_t5_is_asked_about_every_caption_and_told_what_the_frame_shows(name):
    pupil = PUPILS[name]("", None)
    samples = draw_batch(2, 1, 5)
    rows = pupil.prepare(samples, np.random.default_rng(0))
    words = pupil.tokenizer
    assert rows.frame.tolist() == [i for i in range(5) for _ in range(5)]
    for i, sample in enumerate(samples):
        for j, caption in enumerate([*sample.positives, *sample.negatives]):
            row = 5 * i + j
            assert caption in words.decode(rows.text[row])
            yes = pupil.yes_no[0 if j < 2 else 1]
            assert words.decode(rows.targets[row][rows.targets[row] >= 0]) == yes + "</s>"
            assert rows.answer[row]
        told = rows.targets[5 * i + 4]
        assert words.decode(told[told >= 0]) == sample.said + "</s>" and not rows.answer[5 * i + 4]
    whole = pupil.losses(rows)
    for i, sample in enumerate(samples):  # rows are padded to the longest: padding must change no loss
        alone = pupil.prepare([sample], np.random.default_rng(0))
        alone.pixels = rows.pixels[i : i + 1]
        with torch.no_grad():
            losses = [loss.item() for loss in pupil.losses(alone)]
        if i == 0:
            total = np.zeros(2)
        total += np.array(losses[:2]) * np.array([1, (alone.targets[~alone.answer] >= 0).sum().item()])
    counted = (rows.targets[~rows.answer] >= 0).sum().item()
    assert total / np.array([5, counted]) == pytest.approx([loss.item() for loss in whole[:2]], rel=1e-4)


def test_weights_of_another_run_are_where_a_new_one_begins(tmp_path):
    given = tower_of(tmp_path, "llava")
    run.train("llava", given, tmp_path / "first", TRIED, size=6)
    run.train(
        "llava", given, tmp_path / "none", parse_plan("all:1@1e-9"), size=6, start=tmp_path / "first" / "state.pt"
    )
    first, none = (torch.load(tmp_path / part / "state.pt", weights_only=True)["model"] for part in ("first", "none"))
    assert all(torch.allclose(first[name], none[name], atol=1e-6) for name in first)
    assert json.loads((tmp_path / "first" / "checkpoint" / "config.json").read_text())["model_type"] == "llava"


def test_a_tower_of_the_other_kind_is_trained_in_its_own_class(tmp_path):
    tower.train(tmp_path, steps=1, clips=1, rate=1e-3, seed=0, save_every=9, kind="eva")
    file = tmp_path / "tower.pt"
    assert torch.load(file, weights_only=True).keys() == tower_model("eva").state_dict().keys()


def test_every_phase_draws_its_own_mix():
    class Keeps:
        def prepare(self, samples, rng):
            return samples

    plan = parse_plan("shapes:2@1e-3,relations:2@1e-3")
    kinds = [{parse_caption(s.said).kind for s in run.drawn(Keeps(), plan, 24, 0, step)} for step in range(4)]
    assert kinds == [{"single"}, {"single"}, {"relation"}, {"relation"}]
    again = [[s.said for s in run.drawn(Keeps(), plan, 24, 0, step)] for step in (0, 1, 0)]
    assert again[0] == again[2] != again[1]


def test_the_tiny_instructblips_last_norm_is_the_one_that_its_scorer_sets(tmp_path):
    pupil = PUPILS["instructblip"]("", None)
    pupil.save(tmp_path)
    scorer = load("instructblip", checkpoint=str(tmp_path))
    scorer.load()
    assert pupil.model.vision_model.post_layernorm.eps == scorer.model.vision_model.post_layernorm.eps
