"""Several scorers in several processes, through the command's own function: one set of processes for all of them."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from run_files import write_clip_run

from synvita.core.store import parse_lines
from synvita.how import How
from synvita.stages import score
from synvita.weigh.stage import ScoreClips, scorer_part

CLIPS = 20
OWN = '''
import os
from pathlib import Path

class Grey:
    """Its weights are nothing and on the CPU, so it works side by side. Writes who loads it into `loads.txt`."""

    def needs(self):
        return "cpu", 0

    def load(self):
        with (Path(__file__).parent / "loads.txt").open("a") as out:
            out.write(f"{os.getpid()} {type(self).__name__}\\n")

    def score(self, video, captions):
        video.kept["grey"] = float(video.frames.mean()) / 255
        return [video.kept["grey"] / len(caption) for caption in captions]

class Second(Grey):
    """1 where `Grey` has had the very same frames in this process."""

    def score(self, video, captions):
        return [float("grey" in video.kept)] * len(captions)

class Fails(Grey):
    def score(self, video, captions):
        raise RuntimeError("out of order")
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "worker_scorers.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "loads.txt"
    sys.modules.pop("worker_scorers", None)


@pytest.fixture
def run(tmp_path):
    return write_clip_run(tmp_path / "run", [np.full((4, 16, 16, 3), 12 * i, np.uint8) for i in range(CLIPS)])


def stages(*names):
    return [ScoreClips(scorer_part(f"worker_scorers:{name}", {})) for name in names]


def made(run: Path):
    files = [p for p in (run / "scores").rglob("*") if p.is_file()] + [run / "set_aside.jsonl"]
    return {p.relative_to(run).as_posix(): p.read_text().replace(str(run), "RUN") for p in files}


def test_two_workers_load_each_scorer_once_decode_for_all_and_leave_the_bytes_of_one(run, own, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    assert [o.made for o in score(other, stages("Grey", "Second"), How())] == [19, 19]
    own.unlink()
    assert [(o.made, o.set_aside) for o in score(run, stages("Grey", "Second"), How(workers=2))] == [(19, 1)] * 2
    assert made(run) == made(other)
    path = next((run / "scores").glob("*Second*/scores.jsonl"))
    assert {fields["score"] for _, fields in parse_lines(path)} == {1.0}  # the frames that the first had
    loads = [line.split() for line in own.read_text().splitlines()]
    assert 1 <= len({pid for pid, _ in loads}) <= 2 and len(loads) == len({tuple(load) for load in loads})
    assert {name for _, name in loads} == {"Grey", "Second"}


def test_a_scorer_that_fails_in_a_worker_is_named(run, own):
    with pytest.raises(RuntimeError, match="out of order") as error:
        score(run, stages("Grey", "Fails"), How(workers=2))
    (note,) = error.value.__notes__
    assert note.startswith("(scores/") and "Fails" in note
