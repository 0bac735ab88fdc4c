"""What is looked at before a clip counts: black ones are made once more, still ones are named, files decode; kills."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from run_files import generate

from synvita.core.provenance import seed_of
from synvita.core.records import Clip, Triplet
from synvita.core.set_aside import read_set_aside
from synvita.core.store import parse_lines, read_records, write_records
from synvita.core.video import read_frames
from synvita.executors import local, ray
from synvita.executors.job import Job, merge
from synvita.executors.part import Shard
from synvita.generate.clips import GenerateConfig, MakeClips, generator_part
from synvita.generate.look import is_black, is_static

OWN = '''
import numpy as np
import time
from pathlib import Path

class Noise:
    """Noise that a clip's seed decides; black for captions and seeds as asked; slow where a file says so."""
    black, still, first_seed_black = set(), set(), set()
    seen = {}

    def __init__(self, slow=""):
        self.slow = slow

    def describe(self):
        return {"revision": "1", "fps": 4, "settings": {"steps": 7}}

    def generate(self, captions, seeds):
        if self.slow and Path(self.slow).exists():
            time.sleep(0.2)
        return [self.video(c, s) for c, s in zip(captions, seeds)]

    def video(self, caption, seed):
        again = self.seen.setdefault(caption, seed) != seed
        video = np.random.default_rng(seed).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
        if caption in self.black or (caption in self.first_seed_black and not again):
            return np.full_like(video, 3)
        return video[:1].repeat(4, 0) if caption in self.still else video
'''
CAPTIONS = [f"scene {i}" for i in range(11)]


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "noise_generator.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2]}")
    import noise_generator

    yield noise_generator.Noise
    sys.modules.pop("noise_generator", None)


def folder(path, captions=CAPTIONS):
    write_records(path / "triplets.jsonl", [Triplet(f"t{i}", "v.mp4", "a", text) for i, text in enumerate(captions)])
    return path


def entries(batch=3, **more):
    return {"noise": {"use": "noise_generator:Noise", "batch": batch, **more}}


def stage(**more):
    return MakeClips(generator_part("noise", entries(**more)), 0)


def clips(run):
    return read_records(run / "clips/noise/clips.jsonl", Clip)


def test_black_is_dark_and_uniform_in_every_frame_and_nothing_else():
    black = np.full((3, 8, 8, 3), 4, np.uint8)
    night = black.copy()
    night[1, :2, :2] = 90  # a lamp in one frame
    assert is_black(black) and not is_black(night)
    assert not is_black(np.full((3, 8, 8, 3), 128, np.uint8))


def test_static_is_no_change_of_any_pixel():
    still = np.random.default_rng(0).integers(0, 255, (1, 8, 8, 3)).astype(np.uint8).repeat(4, 0)
    moving = still.copy()
    moving[3, 0, 0, 0] ^= 8
    assert is_static(still) and not is_static(moving)


def test_a_black_clip_is_made_once_more_with_a_seed_that_its_record_holds(own, tmp_path, monkeypatch):
    monkeypatch.setattr(own, "first_seed_black", {"scene 2"})
    monkeypatch.setattr(own, "seen", {})
    run = folder(tmp_path / "run")
    assert generate(run, GenerateConfig("noise"), entries()) == {"made": 11, "kept": 0, "set_aside": 0}
    for clip in clips(run):
        assert clip.retry_seed == (seed_of(clip.clip_id, 1) if clip.caption == "scene 2" else None)
        seed = clip.seed if clip.retry_seed is None else clip.retry_seed
        want = np.random.default_rng(seed).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
        assert abs(read_frames(run / clip.file, range(4)).mean() - want.mean()) < 2


def test_a_clip_that_is_black_twice_is_set_aside_by_name_with_both_seeds(own, tmp_path, monkeypatch):
    monkeypatch.setattr(own, "black", {"scene 5"})
    run = folder(tmp_path / "run")
    assert generate(run, GenerateConfig("noise"), entries()) == {"made": 10, "kept": 0, "set_aside": 1}
    (row,) = read_set_aside(run)
    assert row["reason"].startswith("black or no numbers (NaN), with seed ") and row["reason"].endswith(
        str(seed_of(row["id"], 1))
    )
    assert row["id"] not in {clip.clip_id for clip in clips(run)}
    assert not (run / f"clips/noise/{row['id']}.mp4").exists()


def test_a_clip_in_which_nothing_moves_is_kept_and_named(own, tmp_path, monkeypatch):
    monkeypatch.setattr(own, "still", {"scene 1"})
    with pytest.warns(UserWarning, match=r"clips/noise/\w+\.mp4: nothing moves in it \('scene 1'\)") as caught:
        assert generate(folder(tmp_path / "run"), GenerateConfig("noise"), entries())["made"] == 11
    assert len([w for w in caught if "nothing moves" in str(w.message)]) == 1


def test_a_file_that_does_not_give_its_frames_back_is_no_clip(own, tmp_path, monkeypatch):
    def cut(path, frames, *_):
        from synvita.core.write_video import write_video

        write_video(path, frames[:-1], 4)

    monkeypatch.setattr("synvita.generate.clips.write_video", cut)
    run = folder(tmp_path / "run")
    with pytest.raises(ValueError, match="4 frames were written, 3 decode; check the disk"):
        generate(run, GenerateConfig("noise"), entries())
    assert not (run / "clips/noise/clips.jsonl").exists() and not list(run.rglob("*.mp4"))


def test_batches_are_the_same_however_many_clips_are_missing_or_who_makes_them(own, tmp_path):
    run = folder(tmp_path / "run")
    every = Job(stage(), run, None).todo
    assert [len(batch) for batch in every] == [3, 3, 3, 2]
    assert sorted(b for n in (1, 2) for b in Job(stage(), run, Shard(n, 2)).todo) == every
    generate(run, GenerateConfig("noise"), entries())
    lost = [every[1][2], every[3][0]]
    for key in lost:
        (run / f"clips/noise/{key}.mp4").unlink()
    assert Job(stage(), run, None).todo == [every[1], every[3]]


def test_seconds_and_steps_of_every_clip_are_noted(own, tmp_path):
    run = folder(tmp_path / "run")
    generate(run, GenerateConfig("noise"), entries())
    lines = [fields for _, fields in parse_lines(run / "clips/noise/timings.jsonl")]
    assert {line["what"] for line in lines} == {clip.clip_id for clip in clips(run)} and len(lines) == 11
    assert all(line["steps"] == 7 and line["seconds"] >= 0 and line["batch"] in (2, 3) for line in lines)


PROCESS = textwrap.dedent("""
    import sys
    from pathlib import Path
    from synvita.executors import local
    from synvita.generate.clips import MakeClips, generator_part
    entries = {"noise": {"use": "noise_generator:Noise", "batch": 3, "slow": sys.argv[2]}}
    local.run(MakeClips(generator_part("noise", entries), 0), Path(sys.argv[1]))
""")


def kill_after(run, slow, number):
    """A run of the stage that is killed when it has made so many clips."""
    slow.touch()
    child = subprocess.Popen([sys.executable, "-c", PROCESS, run, slow], stderr=subprocess.PIPE)
    while len(list(run.rglob("clips/noise/*.mp4"))) < number:
        assert child.poll() is None, child.stderr.read().decode()
        time.sleep(0.01)
    child.kill()
    child.communicate()
    slow.unlink()
    for part in run.rglob(".*.part"):  # a kill may leave one
        os.utime(part, (0, 0))


def test_half_written_files_of_killed_runs_go_and_those_of_other_shards_stay(own, tmp_path):
    run = folder(tmp_path / "run")
    (run / "clips/noise").mkdir(parents=True)
    old, fresh = (run / f"clips/noise/.{name}.mp4.1.part" for name in ("old", "fresh"))
    old.touch()
    fresh.touch()
    os.utime(old, (0, 0))
    generate(run, GenerateConfig("noise"), entries())
    assert fresh.exists() and not old.exists()


@pytest.mark.parametrize("moments", [(2, 7), pytest.param(tuple(range(1, 11)), marks=pytest.mark.slow)])
def test_clips_of_a_run_that_was_killed_are_those_of_one_that_was_not(own, tmp_path, moments):
    slow = tmp_path / "slow"
    whole, killed = folder(tmp_path / "whole"), folder(tmp_path / "killed")
    for number in moments:
        kill_after(killed, slow, number)
    for run in (whole, killed):
        assert local.run(stage(slow=str(slow)), run).set_aside == 0
    same(whole, killed)


def same(one, other):
    for name in ("clips.jsonl", "stamp.json"):
        assert (one / "clips/noise" / name).read_bytes() == (other / "clips/noise" / name).read_bytes()
    files = [sorted((p.name, p.read_bytes()) for p in run.rglob("*.mp4")) for run in (one, other)]
    assert len(files[0]) == 11 and files[0] == files[1]
    assert not [p for run in (one, other) for p in run.rglob(".*.part")]


def test_shards_and_two_actors_of_ray_make_the_clips_of_one_process(own, tmp_path):
    ray.load_ray().shutdown()
    runs = [folder(tmp_path / name) for name in ("one", "shards", "actors")]
    assert local.run(stage(), runs[0]).made == 11
    for number in (1, 2):
        local.run(stage(), runs[1], 1, Shard(number, 2))
    assert merge(stage(), runs[1]).made == 11
    assert ray.run(stage(), runs[2], 2).made == 11
    ray.load_ray().shutdown()
    same(runs[0], runs[1])
    same(runs[0], runs[2])
