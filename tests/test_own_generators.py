"""generate, weigh, status, merge with generators of one's own: one that refuses all, two on one run, shards."""

import json
import shutil
import sys

import pytest
import yaml
from run_files import weight_rows

from synvita.cli import main
from synvita.core.artefacts import read_clips
from synvita.core.records import Clip, Triplet
from synvita.core.settings import build
from synvita.core.store import parse_lines, read_records, write_records
from synvita.core.video import read_frames
from synvita.recipes import RunConfig

OWN = '''
import numpy as np

class Bright:
    grey = 200

    def describe(self):
        return {"revision": "1", "fps": 4}

    def generate(self, captions, seeds):
        return [np.full((4, 16, 16, 3), self.grey, np.uint8) for _ in captions]

class Dark(Bright):
    grey = 50

class Refusing(Bright):
    def generate(self, captions, seeds):
        raise ValueError("no such thing")

class Grey:
    """Fits a caption of n words by n tenths times how bright a clip is."""
    def score(self, video, captions):
        return [len(caption.split()) / 10 * round(video.frames.mean() / 250, 2) for caption in captions]
'''
TRIPLETS = [
    Triplet("t0", "v0.mp4", "one", "one two three"),
    Triplet("t1", "v1.mp4", "one two", "one two three four"),
]
SETTINGS = [
    "--generate.generator",
    "world_simulator",
    "--weigh.oracle",
    "false",
    "--weigh.scorers",
    "[two_generators:Grey]",
    "--weigh.criteria",
    "[difference]",
]
BRIGHT, DARK = "two_generators:Bright", "two_generators:Dark"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """An imported run without misalignment types, which the world simulator cannot do."""
    (tmp_path / "two_generators.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    table = tmp_path / "triplets.jsonl"
    write_records(table, [{"video": t.video, "caption": t.caption, "negative_caption": t.negative_caption}
                          for t in TRIPLETS])  # fmt: skip
    folder = tmp_path / "run"
    for name in ("v0.mp4", "v1.mp4"):
        (tmp_path / name).write_bytes(b"not read here")
    assert main(["triplets", "import", str(table), "--run", str(folder), *SETTINGS]) in (0, 3)
    write_records(folder / "triplets.jsonl", TRIPLETS)
    yield folder
    sys.modules.pop("two_generators", None)


def say(capsys, *command):
    capsys.readouterr()
    status = main(list(command))
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def status_of(run, capsys):
    status, out, _ = say(capsys, "status", "--run", str(run))
    assert status == 0
    return {line.split("  ")[0]: line.split("  ")[-1].strip() for line in out.splitlines()}


def weights(run):
    files = {clip.clip_id: clip.generator for clip in read_clips(run).values()}
    return {(r.triplet_id, files[r.clip_id]): r.weight for r in weight_rows(run)}


def test_two_generators_give_a_triplet_two_clips_each_with_the_weight_of_its_own_scores(run, capsys):
    assert main(["generate", "--run", str(run), "--generators", f"{BRIGHT},{DARK}"]) == 0
    assert main(["weigh", "--run", str(run)]) == 0
    links = [(f["triplet_id"], f["clip_id"]) for _, f in parse_lines(run / "clip_of_triplet.jsonl")]
    assert len(links) == 4 and len(set(links)) == 4
    assert weights(run) == pytest.approx({  # words of t^s less words of t^r, in tenths, times 0.8 and 0.2
        ("t0", "Bright"): 0.16, ("t0", "Dark"): 0.04, ("t1", "Bright"): 0.16, ("t1", "Dark"): 0.04
    })  # fmt: skip
    assert status_of(run, capsys)["clips/Dark"] == "2 there, 0 missing"


def test_generators_may_be_added_one_after_the_other_and_leave_the_same_bytes(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    assert main(["generate", "--run", str(run), "--generators", f"{BRIGHT},{DARK}"]) == 0
    for name in (DARK, BRIGHT):
        assert main(["generate", "--run", str(other), "--generators", name]) == 0
    for path in ("clip_of_triplet.jsonl", "clips/Dark/clips.jsonl", "clips/Bright/clips.jsonl", "config.yaml"):
        assert (run / path).read_bytes() == (other / path).read_bytes()


def test_a_generator_that_refuses_everything_leaves_an_empty_file_and_says_why(run, capsys):
    status, out, err = say(capsys, "generate", "--run", str(run), "--generators", "two_generators:Refusing")
    assert status == 3 and "2 set_aside" in out and "2 set aside" in err
    assert read_records(run / "clips/Refusing/clips.jsonl", Clip) == []
    assert list(parse_lines(run / "clip_of_triplet.jsonl")) == []
    assert say(capsys, "weigh", "--run", str(run))[0] == 0
    assert weight_rows(run) == []


def test_a_generator_that_cannot_be_planned_is_one_line_leaves_nothing_and_does_not_hide_the_rest(run, capsys):
    status, _, err = say(capsys, "generate", "--run", str(run))
    assert status == 2 and "the world simulator needs its misalignment type" in err and err.count("\n") == 1
    assert not (run / "clips/world_simulator").exists()
    assert main(["generate", "--run", str(run), "--generators", DARK]) == 0
    lines = status_of(run, capsys)
    assert lines["clips/Dark"] == "2 there, 0 missing"
    assert lines["clips/world_simulator"].startswith("unknown: triplet t0: the world simulator needs")


def test_a_generator_that_is_not_there_is_refused_before_the_first_one_begins(run, capsys):
    status, _, err = say(capsys, "generate", "--run", str(run), "--generators", f"{DARK},nope")
    assert status == 2 and "nope" in err and err.count("\n") == 1 and not (run / "clips").exists()


def test_shards_of_a_generator_that_is_not_the_configurations_are_merged(run, capsys):
    for part in ("1/2", "2/2"):
        assert main(["generate", "--run", str(run), "--generators", DARK, "--shard", part]) == 0
    assert "2 shards wait for merge" in status_of(run, capsys)["clips/Dark"]
    status, out, _ = say(capsys, "merge", "--run", str(run))
    assert status == 0 and "clips/Dark/clips.jsonl: 2 from the shards" in out
    assert len(list(parse_lines(run / "clip_of_triplet.jsonl"))) == 2
    assert status_of(run, capsys)["clips/Dark"] == "2 there, 0 missing"


def test_another_seed_is_refused_before_anything_is_written(run, capsys):
    settings = ["--generate.generator", DARK]
    assert main(["generate", "--run", str(run), *settings]) == 0
    before = (run / "config.yaml").read_bytes()
    status, _, err = say(capsys, "status", "--run", str(run), "--generate.seed", "3")
    assert status == 2 and "clips/Dark was made otherwise (seed: 0 -> 3)" in err and err.count("\n") == 1
    assert (run / "config.yaml").read_bytes() == before


def test_clips_of_a_table_are_named_in_the_status(run, tmp_path, capsys):
    assert main(["generate", "--run", str(run), "--generators", DARK]) == 0
    clip = next(iter(read_clips(run).values()))
    assert read_frames(run / clip.file, [0]).mean() == pytest.approx(50, abs=3)
    table = tmp_path / "mine.jsonl"
    row = {"caption": clip.caption, "file": str(run / clip.file), "generator": "mine"}
    table.write_text(json.dumps(row) + "\n")
    assert main(["generate", "--run", str(run), "--clips", str(table)]) == 0
    lines = status_of(run, capsys)
    assert lines["clips/mine"] == "1 there, from a table" and lines["clips/Dark"] == "2 there, 0 missing"


def test_a_clip_that_one_scorer_set_aside_keeps_the_weights_of_the_others(run, capsys):
    assert main(["generate", "--run", str(run), "--generators", DARK]) == 0
    assert main(["weigh", "--run", str(run)]) == 0
    clip = next(iter(read_clips(run).values()))
    write_records(run / "set_aside.jsonl", [{"stage": "weigh scores/video_llm", "id": clip.clip_id, "reason": "torn"}])
    assert main(["weigh", "--run", str(run)]) == 3
    assert len(weights(run)) == 2
    write_records(run / "set_aside.jsonl", [{"stage": "weigh scores/Grey", "id": clip.clip_id, "reason": "torn"}])
    from synvita.weigh.config import WeighConfig
    from synvita.weigh.weigh import weigh

    counts = weigh(run, WeighConfig(("two_generators:Grey",), oracle=False))
    assert counts == {"weights": 1, "without_clip": 0, "set_aside": 1} and len(weights(run)) == 1


def test_clips_made_after_the_weights_are_counted_before_training(run, capsys):
    from synvita.arms.doing import check_weights
    from synvita.weigh.weigh import unweighed

    assert main(["generate", "--run", str(run), "--generators", DARK]) == 0
    assert main(["weigh", "--run", str(run)]) == 0
    assert unweighed(run, weight_rows(run)) == 0
    assert main(["generate", "--run", str(run), "--generators", BRIGHT]) == 0
    assert unweighed(run, weight_rows(run)) == 2
    config = build(RunConfig, yaml.safe_load((run / "config.yaml").read_text()))
    capsys.readouterr()
    check_weights(run, config, ["uniform"])
    assert f"note: 2 clips have no weights, so no arm uses them; synvita weigh --run {run}" in capsys.readouterr().err
