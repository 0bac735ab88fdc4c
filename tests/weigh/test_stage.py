"""Scores and weights by (triplet, clip): resumed without repeats, whole batches, keys unique, bad scorers named."""

import json
import math
import pickle
import sys

import numpy as np
import pytest
from run_files import score, weight_rows, write_clips

from synvita.core.artefacts import read_scores
from synvita.core.frame_rules import FramePolicy
from synvita.core.question import CaptionError
from synvita.core.records import Clip, Triplet
from synvita.core.set_aside import read_set_aside
from synvita.core.store import write_records
from synvita.core.write_video import write_video
from synvita.weigh.config import WeighConfig
from synvita.weigh.stage import ScoreClips, scorer_part
from synvita.weigh.weigh import weigh

OWN = '''
class Table:
    """Knows a clip by its grey, 51 times its number; remembers what it was asked. `answer` may be replaced."""
    asked, made = [], 0

    def load(self):
        type(self).made += 1

    def score(self, video, captions):
        number = round(video.frames.mean() / 51)
        self.asked.append((number, list(captions)))
        return self.answer(number, captions)

    @staticmethod
    def answer(number, captions):
        return [(7 * number + 3 * len(caption)) % 100 / 100 for caption in captions]

class Other(Table):
    asked, made = [], 0

    @staticmethod
    def answer(number, captions):
        return [1 - 0.1 * number] * len(captions)

class Mute:
    """Has no score."""

class Tuned(Table):
    revision = "a"

    def __init__(self, sharp, device):
        self.sharp = sharp

    def describe(self):
        return {"revision": self.revision}

class Reader(Table):
    """Judges by the record alone."""
    looks_at = None

    def score(self, clip, captions):
        return [0.5 if caption == clip.caption else 0.25 for caption in captions]

class Needy(Table):
    def __init__(self, key):
        pass
'''

TRIPLETS = [  # two share a negative caption and so a clip; one has three clips of three generators
    Triplet("t0", "v0.mp4", "a cat sits", "a dog sits on the mat"),
    Triplet("t1", "v1.mp4", "a man sits there", "a dog sits on the mat"),
    Triplet("t2", "v2.mp4", "rain", "snow falls"),
    Triplet("t3", "v3.mp4", "one ring", "two rings"),
    Triplet("test", "v4.mp4", "not for training", "three rings", split="test"),
]
CAPTION_OF = ["a dog sits on the mat", "snow falls", "snow falls", "snow falls"]
GENERATORS = ["gen-a", "gen-a", "gen-b", "gen-c"]
SCORES = "scores/Table/scores.jsonl"
LINKS = [("t0", "c0"), ("t1", "c0"), ("t2", "c1"), ("t2", "c2"), ("t2", "c3")]  # t3 has none


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "stage_scorers.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    import stage_scorers

    yield stage_scorers
    sys.modules.pop("stage_scorers", None)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    clips = []
    for i, (caption, generator) in enumerate(zip(CAPTION_OF, GENERATORS, strict=True)):
        file = f"clips/{generator}/c{i}.mp4"
        write_video(folder / file, np.full((4, 16, 16, 3), 51 * i, np.uint8), 4)
        clips.append(Clip(f"c{i}", caption, generator, "1", {}, 0, file))
    write_records(folder / "triplets.jsonl", TRIPLETS)
    write_clips(folder, clips)
    write_records(folder / "clip_of_triplet.jsonl", [{"triplet_id": t, "clip_id": c} for t, c in LINKS])
    return folder


def config(*scorers, **rest):
    names = tuple(f"stage_scorers:{name}" for name in scorers or ("Table",))
    return WeighConfig(scorers=names, oracle=False, **rest)


def table(number, caption):
    return (7 * number + 3 * len(caption)) % 100 / 100


def scores_of(run):
    return {(s.clip_id, s.caption, s.scorer): s.score for s in read_scores(run)}


# ---- what belongs to what


def test_every_clip_is_scored_with_its_own_and_each_real_caption_it_stands_against(run, own):
    assert score(run, config()) == 0
    wanted = {("c0", c) for c in ("a dog sits on the mat", "a cat sits", "a man sits there")}
    wanted |= {(f"c{i}", c) for i in (1, 2, 3) for c in ("snow falls", "rain")}
    found = scores_of(run)
    assert set(found) == {(clip, caption, "stage_scorers:Table") for clip, caption in wanted}
    for (clip, caption, _), value in found.items():
        assert value == pytest.approx(table(int(clip[1]), caption), abs=1e-6)


def test_each_clip_of_a_triplet_has_the_weight_of_its_own_scores(run, own):
    score(run, config("Table", "Other"))
    counts = weigh(run, config("Table", "Other", criteria=("difference", "product")))
    rows = weight_rows(run)
    assert [(r.triplet_id, r.clip_id) for r in rows if r.criterion == "difference"] == LINKS
    assert counts == {"weights": 10, "without_clip": 1, "set_aside": 0}
    by_id = {t.id: t for t in TRIPLETS}
    for row in rows:
        number, triplet = int(row.clip_id[1]), by_id[row.triplet_id]
        target, source = (
            (table(number, caption) + 1 - 0.1 * number) / 2 for caption in (triplet.negative_caption, triplet.caption)
        )
        want = max(0.0, target - source) if row.criterion == "difference" else target * (1 - source)
        assert row.weight == pytest.approx(want, abs=1e-6), row


# ---- going on


def test_a_killed_run_goes_on_without_repeats_and_asks_whole_batches(run, own):
    score(run, config())
    path = run / SCORES
    whole = path.read_bytes()
    asked_first = list(own.Table.asked)
    for kept in (1, 2, 5):  # captions of the first clip, of the first two
        path.write_bytes(b"".join(whole.splitlines(keepends=True)[:kept]))
        own.Table.asked.clear()
        score(run, config())
        assert path.read_bytes() == whole
        assert all(batch in asked_first for batch in own.Table.asked)  # all captions of a clip, as the first time


def test_scores_that_are_all_there_need_no_scorer(run, own):
    score(run, config())
    assert own.Table.made == 1  # once for all clips
    before = (run / SCORES).read_bytes()
    score(run, config())
    assert own.Table.made == 1 and (run / SCORES).read_bytes() == before


def test_a_scorer_added_later_leaves_the_others_scores(run, own):
    score(run, config())
    before = (run / SCORES).read_bytes()
    score(run, config("Table", "Other"))
    assert (run / SCORES).read_bytes() == before
    assert len((run / "scores/Other/scores.jsonl").read_text().splitlines()) == len(before.splitlines())


def test_a_clip_that_was_set_aside_is_tried_again_and_counted_again(run, own):
    good = {name: (run / f"clips/gen-a/{name}.mp4").read_bytes() for name in ("c0", "c1")}
    for name in good:
        (run / f"clips/gen-a/{name}.mp4").write_bytes(b"not a video")
    assert score(run, config()) == 2
    assert weigh(run, config()) == {"weights": 2, "without_clip": 1, "set_aside": 3}
    assert score(run, config()) == 2  # still broken: named again, not forgotten
    (run / "clips/gen-a/c0.mp4").write_bytes(good["c0"])
    assert score(run, config()) == 1
    assert [row["id"] for row in read_set_aside(run)] == ["c1"]
    assert weigh(run, config()) == {"weights": 4, "without_clip": 1, "set_aside": 1}


# ---- records that somebody changed


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("triplets", "id 't0'"),
        ("clips/gen-a/clips", "clip_id 'c0'"),
        ("clip_of_triplet", "triplet_id 't0', clip_id 'c0'"),
    ],
)
def test_a_record_that_is_there_twice_is_refused_by_file_and_line(run, own, name, key):
    path = run / f"{name}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[0]]))
    with pytest.raises(ValueError, match=rf"{name}\.jsonl:{len(lines) + 1}: {key}.*already in line 1"):
        score(run, config())


def test_a_score_that_is_there_twice_is_refused_by_file_and_line(run, own):
    score(run, config())
    path = run / SCORES
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[2].replace(b'"score": 0.', b'"score": 0.9')]))
    for stage in (score, weigh):
        with pytest.raises(ValueError, match=rf"scores\.jsonl:{len(lines) + 1}: .*already in line 3"):
            stage(run, config())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"triplet_id": "t0", "clip_id": "gone"}, "its clip 'gone' is not among the clips"),
        ({"triplet_id": "t0"}, "needs the key 'clip_id'"),
        ({"triplet_id": None, "clip_id": "c0"}, "triplet_id: empty or not text"),
    ],
)
def test_a_link_that_leads_nowhere_is_one_line(run, own, line, reason):
    path = run / "clip_of_triplet.jsonl"
    path.write_text(path.read_text() + json.dumps(line) + "\n")
    with pytest.raises(ValueError, match=rf"clip_of_triplet\.jsonl.*{reason}") as caught:
        score(run, config())
    assert "\n" not in str(caught.value)


# ---- scorers of one's own


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda n, captions: [0.5] * (len(captions) - 1), r"clip c0: 2 scores of 3 captions"),
        (lambda n, captions: [0.5] * (len(captions) + 1), r"clip c0: 4 scores of 3 captions"),
        (lambda n, captions: None, r"clip c0: gave no list of numbers"),
        (lambda n, captions: 0.5, r"clip c0: gave no list of numbers"),
        (lambda n, captions: ["a", "b", "c"], r"clip c0: gave no list of numbers"),
    ],
)
def test_a_scorer_that_gives_no_scores_is_named_with_the_clip(run, own, monkeypatch, answer, reason):
    monkeypatch.setattr(own.Table, "answer", staticmethod(answer))
    with pytest.raises(ValueError, match=rf"^--weigh\.scorers: stage_scorers:Table: {reason}"):
        score(run, config())
    assert read_scores(run) == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ([0.5, math.nan, 0.5], "nan of 'a cat sits' is no score in [0, 1]"),
        ([0.5, 0.5, 1.01], "1.01 of 'a man sits there' is no score in [0, 1]"),
        ([-0.01] * 3, "-0.01 of "),
        (np.full(3, np.inf, np.float32), "inf of "),
        (CaptionError("caption 'a cat sits': too long"), "caption 'a cat sits': too long"),
    ],
)
def test_a_clip_that_gets_no_score_is_set_aside_with_the_reason_and_the_others_go_on(
    run, own, monkeypatch, wrong, reason
):
    def answer(number, captions):
        if number == 0 and isinstance(wrong, Exception):
            raise wrong
        return wrong if number == 0 else [0.5] * len(captions)

    monkeypatch.setattr(own.Table, "answer", staticmethod(answer))
    assert score(run, config()) == 1
    assert {s.clip_id for s in read_scores(run)} == {"c1", "c2", "c3"}
    (row,) = read_set_aside(run)
    assert row["id"] == "c0" and reason in row["reason"] and row["stage"] == "weigh scores/Table"


def test_several_clips_are_scored_in_one_pass_where_a_scorer_can_and_alone_where_one_caption_cannot_be_asked(
    run, own, monkeypatch
):
    passes = []

    def score_many(self, videos, captions):
        passes.append(len(videos))
        if any("rain" in texts for texts in captions):
            raise CaptionError("no weather")
        return [[0.25] * len(texts) for texts in captions]

    monkeypatch.setattr(own.Table, "score_many", score_many, raising=False)
    score(run, config())
    assert passes == [4] and {s.score for s in read_scores(run)} != {0.25}  # a caption of the batch: each alone
    monkeypatch.setattr(own.Table, "score_many", lambda s, v, c: [[0.25] * len(t) for t in c])
    for file in (run / SCORES).parent.iterdir():
        file.unlink()
    score(run, config())
    assert {s.score for s in read_scores(run)} == {0.25} and len(read_scores(run)) == 9


def test_a_record_names_the_rule_as_the_scorer_does(run, own, monkeypatch):
    monkeypatch.setattr(own.Table, "rule", "strip", raising=False)
    score(run, config())
    assert {s.rule for s in read_scores(run)} == {"strip"}


def test_two_quantities_are_never_averaged(run, own, monkeypatch):
    monkeypatch.setattr(own.Table, "quantity", "vqa_score", raising=False)
    monkeypatch.setattr(own.Other, "quantity", "p_yes")
    both = config("Table", "Other")
    score(run, both)
    assert {(s.scorer.split(":")[1], s.quantity) for s in read_scores(run)} == {
        ("Table", "vqa_score"),
        ("Other", "p_yes"),
    }
    message = "Table gives vqa_score, .*Other gives p_yes; two quantities are never averaged"
    with pytest.raises(ValueError, match=rf"^--weigh\.scorers: .*{message}"):
        weigh(run, both)
    weigh(run, config("Table"))
    monkeypatch.setattr(own.Other, "quantity", "vqa_score")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("Mute", "has no score"), ("Needy", "cannot be made"), ("Nobody", "cannot load"), ("asked", "cannot load")],
)
def test_a_class_that_is_no_scorer_is_one_line(run, own, name, reason):
    with pytest.raises(ValueError, match=rf"--weigh\.scorers: .*{reason}"):
        score(run, config(name))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scorers": ()}, r"--weigh\.scorers: none given"),
        ({"scorers": ("a:S", "b:S")}, r"--weigh\.scorers: two scorers are called 'S'"),
        ({"scorers": ("a:.S",)}, r"--weigh\.scorers: '\.S' cannot be a folder's name"),
        ({"scorers": ("a:",)}, r"--weigh\.scorers: '' cannot be a folder's name"),
        ({"decode_timeout": -1.0}, r"--weigh\.decode-timeout: must be"),
        ({"decode_timeout": math.nan}, r"--weigh\.decode-timeout: must be"),
        ({"decode_timeout": math.inf}, r"--weigh\.decode-timeout: must be"),
        ({"criteria": ()}, r"--weigh\.criteria: none given"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_when_it_is_read(wrong, message):
    with pytest.raises(ValueError, match=message):
        WeighConfig(**wrong)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"llava": {"use": "video_llm"}}, r"^--scorers\.video_llm\.checkpoint: none given"),
        ({"llava": {"checkpoint": "mini-llava", "chekpoint": 1}}, r"^--scorers\.llava\.chekpoint: .*mean checkpoint\?"),
        ({"llava": {"checkpoint": "mini-llava", "dtype": "half"}}, r"^--scorers\.llava\.dtype: unknown"),
        ({"llava": {"checkpoint": "mini-llava", "batch": 0}}, r"^--scorers\.llava\.batch: 0 is not a positive"),
        ({"llava": {"use": 3}}, r"^--scorers\.llava\.use: 3 is no name"),
    ],
)
def test_settings_of_a_scorer_that_cannot_be_are_one_line_and_write_nothing(run, entries, message):
    before = sorted(run.rglob("*"))
    with pytest.raises(ValueError, match=message) as caught:
        score(run, WeighConfig(oracle=False), entries)
    assert "\n" not in str(caught.value) and [p for p in sorted(run.rglob("*")) if p.suffix != ".lock"] == before


def test_an_unknown_scorer_is_named_with_the_known_and_the_nearest():
    known = "clip_flant5, instructblip, llava, qwen2_5_vl, qwen3_vl, video_llm"
    with pytest.raises(ValueError, match=rf"^--scorers: unknown 'lava'; did you mean 'llava'\? known: {known}"):
        scorer_part("lava", {}, "--scorers")


def test_a_record_names_the_stamp_that_it_was_made_with(run, own):
    from synvita.core.provenance import digest

    entries = {"mine": {"use": "stage_scorers:Tuned", "device": "cpu", "sharp": 1}}
    score(run, WeighConfig(("mine",), oracle=False), entries)
    stamp = json.loads((run / "scores/mine/stamp.json").read_text())
    assert {s.made_with for s in read_scores(run)} == {digest(stamp)} != {digest(stamp | {"describe": {}})}


def test_what_a_scorer_saw_is_in_its_records(run, own):
    own.Table.looks_at = FramePolicy(3, size=(8, 10))
    score(run, config())
    assert {(s.frames, s.rule, tuple(s.size)) for s in read_scores(run)} == {(3, FramePolicy().rule, (8, 10))}


def test_a_scorer_of_another_revision_or_device_is_another_or_the_same(run, own):
    """What decides the scores is in the stamp, where they are computed is not."""
    entries = {"mine": {"use": "stage_scorers:Tuned", "device": "cpu", "sharp": 1}}
    own.Table.made = 0
    wish = WeighConfig(("mine",), oracle=False)
    assert score(run, wish, entries) == 0
    assert score(run, wish, {"mine": entries["mine"] | {"device": "meta"}}) == 0
    with pytest.raises(ValueError, match=r"scores/mine was made otherwise \(scorer\.options\.sharp: 1 -> 2\)"):
        score(run, wish, {"mine": entries["mine"] | {"sharp": 2}})
    own.Tuned.revision = "b"
    with pytest.raises(ValueError, match=r"scores/mine was made otherwise \(describe\.revision: a -> b\)"):
        score(run, wish, entries)


def test_a_scorer_that_looks_at_no_frames_gets_the_clips_record(run, own):
    for path in (run / "clips").rglob("*.mp4"):
        path.write_bytes(b"not a video")
    assert score(run, config("Reader")) == 0
    found = read_scores(run)
    assert {(s.frames, s.rule, tuple(s.size)) for s in found} == {(0, "record", ())}
    assert all(s.score == (0.5 if s.caption in CAPTION_OF else 0.25) for s in found) and len(found) == 9


def test_what_travels_to_a_worker_are_the_settings(run, own):
    stage = ScoreClips(scorer_part("stage_scorers:Table", {}), 5.0)
    stage.setup()
    there = pickle.loads(pickle.dumps(stage))
    stage.close()
    assert there.scorer is None and there.decoder is None and there.decode_timeout == 5.0
    assert (there.part, there.folder, there.batch) == (stage.part, "scores/Table", 8)
