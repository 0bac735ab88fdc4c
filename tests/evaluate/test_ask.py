"""Asking an arm: the model's log-odds, what is kept and what is asked again, whole files whatever happened before."""

import json
import math
import shutil
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from synvita.core.frame_rules import FramePolicy
from synvita.core.provenance import file_digest
from synvita.core.question import Question
from synvita.core.records import Triplet
from synvita.core.store import parse_lines, write_records
from synvita.core.write_video import write_video
from synvita.evaluate import ask
from synvita.evaluate.ask import AskPairs, Base
from synvita.evaluate.config import EvaluateConfig
from synvita.executors import local
from synvita.executors.job import Outcome
from synvita.videollm.models import load_model
from synvita.videollm.protocol import Loading
from synvita.videollm.scoring import score_captions
from synvita.videollm.visual import VisualStore

HOME = "models/mini-video-llava"
MINI = Base(HOME, "mini-video-llava", Loading(), {"dtype": "float32"})


pytestmark = pytest.mark.usefixtures("nothing_loaded")


def rows(stage, run):
    return [fields for _, fields in parse_lines(run / stage.folder / stage.file)]


def test_the_pair_files_hold_the_models_log_odds(tmp_path):
    """Against `score_captions` on the same videos, to 1e-6: the files round no further than the model is exact."""
    rng = np.random.default_rng(0)
    triplets = []
    for i, shape in enumerate(("cross", "circle", "square")):
        write_video(tmp_path / f"{i}.mp4", rng.integers(0, 255, (8, 64, 64, 3), dtype=np.uint8), fps=8)
        captions = (f"a small red {shape} moving left", f"a small blue {shape} moving right")
        triplets.append(Triplet(f"t{i}", f"{i}.mp4", *captions, split="test"))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    triplets.append(Triplet("t9", "broken.mp4", "a", "b", split="test"))
    write_records(tmp_path / "triplets.jsonl", triplets)
    stage = AskPairs("in_distribution", "off_the_shelf", 0, MINI, EvaluateConfig(rows_at_once=2))
    assert local.run(stage, tmp_path) == Outcome(4, 0, 0)
    found = rows(stage, tmp_path)
    model = load_model("mini-video-llava", Loading())
    store = VisualStore(model, None, tmp_path)
    assert [row["log_odds"] for row in found[6:]] == [None, None] and "broken.mp4" in found[6]["reason"]
    assert store.load([t.video for t in triplets[:3]], lambda: None) == {}
    odds = []
    for some in (triplets[:2], triplets[2:3]):
        captions = [[t.caption, t.negative_caption] for t in some]
        media = store.media([t.video for t in some])
        odds += [v for each in score_captions(model, media, captions) for v in each.tolist()]
    store.close()
    assert [row["log_odds"] for row in found[:6]] == pytest.approx(odds, abs=1e-6, rel=0)
    assert len(set(odds)) == 6 and any(abs(value - round(value, 3)) > 1e-5 for value in odds)
    assert json.loads((tmp_path / stage.folder / "model.json").read_text())["model"] == "mini-video-llava"


class Stub:
    """A model that is never run: what the stage does around it is looked at."""

    revision, temporal_attention, visual_key, policy = "r1", False, "key", FramePolicy(2)
    questioner = SimpleNamespace(
        prefix=lambda: [1], ask=lambda text: SimpleNamespace(ids=[2]), answers=SimpleNamespace(yes=3, no=4, end=5)
    )

    def look(self, video):
        return {"features": torch.from_numpy(video.frames).float().mean((1, 2))}

    def media(self, features):
        return [float(f["features"].mean()) for f in features]


PAIRS = [("0.mp4", "one"), ("1.mp4", "three"), ("broken.mp4", "one"), ("0.mp4", "three"), ("1.mp4", "refused")]


def benchmark(run, pairs):
    made = [{"video": v, "caption": c, "label": int(c == "one"), "query": c} for v, c in pairs]
    write_records(run / "benchmarks" / "qa.jsonl", made)
    return made


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A run with five benchmark pairs of three videos, one broken; scores are brightness + length of the caption."""
    for i in range(2):
        write_video(tmp_path / f"{i}.mp4", np.full((4, 16, 16, 3), 100 * i, np.uint8), 8)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    write_records(tmp_path / "triplets.jsonl", [Triplet("a", "0.mp4", "a b", "a c")])
    benchmark(tmp_path, PAIRS)
    loads, batches = [], []

    def load(*arguments):
        loads.append(arguments)
        return Stub()

    def score(model, media, captions):
        batches.append([len(texts) for texts in captions])
        return [
            [(math.nan, "no") if text == "refused" else (value + len(text), None) for text in texts]
            for value, texts in zip(media, captions, strict=True)
        ]

    monkeypatch.setattr("synvita.videollm.models.load_model", load)
    monkeypatch.setattr("synvita.videollm.scoring.score_each", score)
    return tmp_path, loads, batches


def qa(arm="mine", seed=3, rows_at_once=1, **base):
    model = replace(MINI, **{"how": Loading(frames=2)} | base)
    return AskPairs("qa", arm, seed, model, EvaluateConfig(rows_at_once=rows_at_once))


def test_pairs_are_asked_in_batches_of_videos_each_video_once(asked):
    run, loads, batches = asked
    stage, ticks = qa(), []
    assert local.run(stage, run, tick=lambda *_: ticks.append(1)) == Outcome(3, 0, 0)
    assert stage.folder == "models/mini-video-llava/pairs/mine/3" and len(ticks) == 3 and batches == [[2], [2]]
    (name, how, adapter), = loads  # fmt: skip
    assert (name, how.frames, adapter) == ("mini-video-llava", 2, run / "models/mini-video-llava/adapters/mine/3")
    found = rows(stage, run)
    assert [(row["video"], row["caption"]) for row in found] == sorted(PAIRS, key=lambda pair: pair[0])
    dark, bright = found[0]["log_odds"] - 3, found[2]["log_odds"] - 5
    assert dark == pytest.approx(0, abs=3) and bright == pytest.approx(100, abs=3)
    assert found[1]["log_odds"] == pytest.approx(dark + 5, abs=1e-5)
    assert found[4]["log_odds"] is None and "broken.mp4" in found[4]["reason"]
    assert found[3]["log_odds"] is None and found[3]["reason"] == "no"
    told = json.loads((run / stage.folder / "model.json").read_text())
    seen = {"frame_policy": asdict(FramePolicy(2)), "prompt": told["prompt"], "visual_key": "key"}
    assert told == {"model": "mini-video-llava", "revision": "r1", "temporal_attention": False} | seen
    assert found[0]["media"] == file_digest(run / "0.mp4") and found[4]["media"] == file_digest(run / "broken.mp4")


def test_a_pair_with_a_question_of_its_own_is_asked_that_and_again_when_it_changes(asked, monkeypatch):
    run, _, _ = asked
    texts = []

    def score(model, media, some):
        texts.extend(some)
        return [[(1.0, None) for _ in each] for each in some]

    monkeypatch.setattr("synvita.videollm.scoring.score_each", score)
    made = benchmark(run, [("0.mp4", "one"), ("0.mp4", "three")])
    made[1]["asks"] = "Are there three?"
    write_records(run / "benchmarks" / "qa.jsonl", made)
    assert local.run(qa(), run) == Outcome(1, 0, 0) and texts == [["one", Question("Are there three?")]]
    assert [row.get("asks") for row in rows(qa(), run)] == [None, "Are there three?"]
    assert local.run(qa(), run) == Outcome(0, 1, 0)
    made[1]["asks"] = "Are there 3?"
    write_records(run / "benchmarks" / "qa.jsonl", made)
    assert local.run(qa(), run) == Outcome(1, 0, 0) and texts[-1][1] == Question("Are there 3?")
    made[1]["asks"] = 3
    write_records(run / "benchmarks" / "qa.jsonl", made)
    with pytest.raises(ValueError, match=r"qa.jsonl:2: asks: empty or not text"):
        local.run(qa(), run)


def test_a_benchmark_of_ones_own_goes_by_the_kind_that_it_is_given():
    settings = ("off_the_shelf", 0, MINI, EvaluateConfig(rows_at_once=7), "")
    assert [AskPairs("mine", *settings, kind).batch for kind in ("retrieval", "questions")] == [1, 7]
    assert AskPairs("retrieval_events", *settings).batch == 1


def test_what_has_a_score_is_not_asked_again_and_the_rest_is_tried_again(asked):
    run, loads, batches = asked
    stage = qa("off_the_shelf", 0, rows_at_once=2)
    local.run(stage, run)
    assert loads[0][2] is None and batches == [[2, 2]]  # the untrained model has no adapter
    before = (run / stage.folder / "qa.jsonl").read_bytes()
    benchmark(run, [pair for pair in PAIRS if pair[0] == "0.mp4"])
    assert local.run(stage, run) == Outcome(0, 1, 0) and batches == [[2, 2]]  # nothing to ask; others are dropped
    assert {row["video"] for row in rows(stage, run)} == {"0.mp4"}
    benchmark(run, PAIRS)
    assert local.run(stage, run) == Outcome(2, 1, 0) and len(loads) == 1
    assert (run / stage.folder / "qa.jsonl").read_bytes() == before


@pytest.mark.parametrize("change", ["label", "caption", "more"])
def test_a_benchmark_that_was_edited_is_asked_again_where_it_differs(asked, change):
    run, _, batches = asked
    stage = qa(rows_at_once=4)
    whole = benchmark(run, [pair for pair in PAIRS if "broken" not in pair[0] and pair[1] != "refused"])
    local.run(stage, run)
    assert batches == [[2, 1]]
    if change == "label":
        whole[0]["label"] = 1 - whole[0]["label"]
    elif change == "caption":
        whole[0]["caption"] = "seventeen"
    else:
        whole.append({"video": "0.mp4", "caption": "eleven", "label": 0, "query": "new"})
    write_records(run / "benchmarks" / "qa.jsonl", whole)
    assert local.run(stage, run) == Outcome(1, 1, 0)
    fresh = [{k: v for k, v in row.items() if k not in ("log_odds", "media")} for row in rows(stage, run)]
    assert fresh == sorted(whole, key=lambda row: row["video"])


def test_answers_to_another_prompt_are_refused_and_stay(asked, monkeypatch):
    run, _, _ = asked
    local.run(qa(), run)
    before = (run / qa().folder / "qa.jsonl").read_bytes()
    benchmark(run, [*PAIRS, ("0.mp4", "new")])
    ask.loaded.key = ()
    monkeypatch.setattr(Stub.questioner, "prefix", lambda: [1, 7])
    with pytest.raises(ValueError, match=r"pairs/mine/3 was answered by a model that differs \(prompt: .* -> "):
        local.run(qa(), run)
    assert (run / qa().folder / "qa.jsonl").read_bytes() == before


def test_a_kill_between_batches_loses_nothing_and_doubles_nothing(asked, monkeypatch):
    run, _, batches = asked
    stage = qa()
    benchmark(run, PAIRS[:2] + PAIRS[3:4])
    local.run(stage, run)
    want = (run / stage.folder / "qa.jsonl").read_bytes()
    (run / stage.folder / "qa.jsonl").unlink()
    batches.clear()
    work = AskPairs.work

    def dies(self, *arguments):
        if batches:
            raise KeyboardInterrupt
        return work(self, *arguments)

    monkeypatch.setattr(AskPairs, "work", dies)
    with pytest.raises(KeyboardInterrupt):
        local.run(stage, run)
    assert not (run / stage.folder / "qa.jsonl").exists()
    monkeypatch.setattr(AskPairs, "work", work)
    assert local.run(stage, run) == Outcome(1, 1, 0)
    assert batches == [[2], [1]] and (run / stage.folder / "qa.jsonl").read_bytes() == want


def test_answers_of_other_weights_are_refused_and_another_device_is_not(asked):
    run, *_ = asked
    benchmark(run, PAIRS[:2])
    local.run(qa(), run)
    assert local.run(qa(cache_gb=1.0), run) == Outcome(0, 2, 0)
    with pytest.raises(ValueError, match=r"pairs/mine/3 was made otherwise \(model\.dtype: float32 -> bfloat16\)"):
        local.run(qa(stamp={"dtype": "bfloat16"}), run)


def test_each_run_folder_and_each_arm_loads_its_own_model_and_the_next_task_does_not(asked, tmp_path_factory):
    run, loads, _ = asked
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(run, other, dirs_exist_ok=True)
    benchmark(run, PAIRS[:2])
    (run / "benchmarks/retrieval_events.jsonl").write_bytes((run / "benchmarks/qa.jsonl").read_bytes())
    benchmark(other, PAIRS[:2])
    local.run(qa(), run)
    local.run(AskPairs("retrieval_events", "mine", 3, qa().base, EvaluateConfig()), run)
    assert len(loads) == 1
    local.run(qa(), other)
    local.run(qa("yours"), other)
    arms = ((run, "mine"), (other, "mine"), (other, "yours"))
    assert [adapter for *_, adapter in loads] == [folder / HOME / "adapters" / arm / "3" for folder, arm in arms]
    for folder in (run, other, other):
        local.run(qa("off_the_shelf"), folder)
    assert [adapter for *_, adapter in loads[3:]] == [None, None]  # each run's videos are its own


@pytest.mark.parametrize(("where", "gpus"), [({}, 0.0), ({"device_map": "auto"}, 1.0)])
def test_asking_takes_a_gpu_where_the_model_is_on_one(where, gpus):
    assert qa(how=Loading(**where)).resources.gpus == gpus
