"""A video LLM as a scorer of clips, beside the ensemble."""

import json
import shutil

import numpy as np
import pytest
import torch
from run_files import score, weight_rows

from synvita.core.artefacts import read_scores, read_weights
from synvita.core.records import Triplet
from synvita.core.store import read_records
from synvita.core.video import sample_video
from synvita.core.write_video import write_video
from synvita.evaluate.results import beside_ensemble, score_differences, weight_quality
from synvita.train.arms import Arm
from synvita.train.examples import weights_for
from synvita.weigh.config import WeighConfig
from synvita.weigh.video_llm import VideoLLMScorer
from synvita.weigh.weigh import weigh

CAPTIONS = ["a red ring moving left", "a blue cross", "two rings then a cross"]


def test_scores_are_the_probability_of_yes_and_its_end_in_one_plain_pass(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mp4", frames, 8)
    scorer = VideoLLMScorer("mini-video-llava")
    scorer.load()
    video = sample_video(tmp_path / "a.mp4", scorer.looks_at)
    model, answers = scorer.model, scorer.model.questioner.answers
    media = model.media([model.look(video)])[0]
    want = []
    for caption in CAPTIONS:
        ids = torch.tensor([[*media.ids, *model.questioner.ask(caption).ids, answers.yes]])
        embedded = model.language.get_input_embeddings()(ids)
        embedded[ids == model.placeholder] = media.visual
        with torch.no_grad():
            states = model.language(inputs_embeds=embedded, use_cache=False).last_hidden_state[0, -2:]
        logs = torch.log_softmax(model.logits(states), -1)
        want.append(float(((logs[0, answers.yes] + logs[1, answers.end]) / 2).exp()))
    np.testing.assert_allclose(scorer.score(video, CAPTIONS), want, atol=1e-5)


def test_its_weights_stand_beside_the_ensembles_and_an_arm_names_them(small_run, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("triplets.jsonl", "clip_of_triplet.jsonl"):
        (run / name).write_bytes((small_run / name).read_bytes())
    (run / "clips").symlink_to(small_run / "clips")
    for scorer in ("llava", "video_llm", "world_truth"):
        shutil.copytree(small_run / "scores" / scorer, run / "scores" / scorer)
    config = WeighConfig(also=("video_llm", "llava+video_llm"), criteria=("difference", "product"))
    score(run, config)
    assert {s.scorer for s in read_scores(run)} == {"llava", "video_llm", "world_truth"}
    weigh(run, config)
    rows = weight_rows(run)
    ensembles = [("llava",), ("video_llm",), ("llava", "video_llm"), ("world_truth",)]
    assert {(r.criterion, *r.scorers) for r in rows} == {(c, *s) for c in ("difference", "product") for s in ensembles}
    scores = {(s.clip_id, s.caption, s.scorer): s.score for s in read_scores(run)}
    triplets = {t.id: t for t in read_records(run / "triplets.jsonl", Triplet)}
    both = [r for r in rows if len(r.scorers) == 2 and r.criterion == "difference"]
    for r in both:
        t = triplets[r.triplet_id]
        mean = [np.mean([scores[r.clip_id, text, s] for s in r.scorers]) for text in (t.negative_caption, t.caption)]
        assert r.weight == pytest.approx(max(0.0, mean[0] - mean[1]), abs=1e-6)
    assert weights_for(run, Arm("learned"))[1] == "difference of llava"
    assert weights_for(run, Arm("learned", scorers=("video_llm",)))[1] == "difference of video_llm"
    assert weights_for(run, Arm("oracle", criterion="product"))[1] == "product of world_truth"
    with pytest.raises(ValueError, match=r"no weights llava-hard .*run: synvita weigh"):
        weights_for(run, Arm("learned", criterion="hard"))
    assert json.dumps([r.weight for r in rows])  # finite
    figure = score_differences(run)  # Figure 2 is the ensemble's, whoever else has scored
    for kind, found in figure.items():
        alone = [r for r in rows if r.criterion == "difference" and r.scorers == ["llava"]]
        weights = [r.weight for r in alone if triplets[r.triplet_id].misalignment == kind]
        assert sorted(max(0.0, v) for v in found["values"]) == pytest.approx(sorted(weights), abs=1e-5)
    assert beside_ensemble(run) == [["video_llm"], ["llava", "video_llm"]]
    weigh(run, WeighConfig(scorers=("video_llm",), also=("video_llm",)))
    alone = [r for r in rows if r.scorers == ["video_llm"] and r.criterion == "difference"]
    assert read_weights(run, ["video_llm"], "difference") == alone  # named twice, there once
    weigh(run, config)
    frames, both = weight_quality(run), weight_quality(run, ["llava", "video_llm"])
    assert frames == weight_quality(run, ["llava"]) != both


def test_a_checkpoint_that_cannot_be_used_is_refused_by_the_scorers_knob(tmp_path):
    with pytest.raises(ValueError, match=r"--scorers\.video_llm\.checkpoint: .*: no such folder"):
        VideoLLMScorer(str(tmp_path / "nothing")).load()
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"--scorers\.video_llm\.checkpoint: .*config\.json: expected an object"):
        VideoLLMScorer(str(tmp_path)).load()
