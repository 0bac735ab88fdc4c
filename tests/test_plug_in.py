"""What the README says about one's own generator and scorer."""

import sys

import numpy as np
import pytest
from run_files import weight_rows
from small import SMALL

from synvita.cli import main
from synvita.core.artefacts import read_clips
from synvita.core.video import read_frames
from synvita.core.write_video import write_video

OWN = '''
import numpy as np

class Painter:
    """Paints every clip in one grey that depends on the caption."""
    def describe(self):
        return {"revision": "7", "fps": 4}

    def generate(self, captions, seeds):
        if any(caption.startswith("three") for caption in captions):
            raise ValueError("cannot count")
        return [np.full((4, 16, 16, 3), len(caption) % 200, np.uint8) for caption in captions]

class Length:
    """Scores a caption by its number of words."""
    def score(self, video, captions):
        assert video.frames.dtype == np.uint8 and video.frames.shape == (4, 16, 16, 3)
        return [len(caption.split()) / 100 for caption in captions]

from synvita.videollm.families.video_llava import VideoLlava

class Model(VideoLlava):
    """The miniature's model with Yes and No exchanged."""
    @classmethod
    def from_pretrained(cls, name, how):
        from dataclasses import replace
        assert name == "own_parts:Model"
        model = super().from_pretrained("mini-video-llava", how)
        answers = model.questioner.answers
        model.questioner.answers = replace(answers, yes=answers.no, no=answers.yes)
        return model
'''


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("own_parts", None)


def test_a_generator_and_a_scorer_of_ones_own_are_used_by_name(tmp_path, own_module, capsys):
    run = tmp_path / "run"
    options = [*SMALL, "--generate.generator", "own_parts:Painter", "--weigh.oracle", "false",
               "--weigh.scorers", "[own_parts:Length]"]  # fmt: skip
    assert main(["triplets", "make", "--run", str(run), *options]) == 0
    assert main(["generate", "--run", str(run), *options]) == 3
    clips = list(read_clips(run).values())
    assert clips and {c.generator for c in clips} == {"Painter"} and {c.revision for c in clips} == {"7"}
    frames = read_frames(run / clips[0].file, range(4))
    assert np.abs(frames.astype(int) - len(clips[0].caption) % 200).max() <= 3
    assert "cannot count" in (run / "set_aside.jsonl").read_text()
    capsys.readouterr()
    assert main(["weigh", "--run", str(run), *options]) in (0, 3)
    rows = weight_rows(run)
    own = [row for row in rows if row.scorers == ["own_parts:Length"]]
    assert rows[0] == own[0] and {row.triplet_id for row in own} == {row.triplet_id for row in rows}
    assert [row.scorers for row in rows if row not in own] == [["video_llm"]] * len(own)  # the recipe's, beside it
    assert any(row.weight > 0 for row in own)


def test_an_unknown_generator_lists_the_known_ones(tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["triplets", "make", "--run", str(run), *SMALL, "--generate.generator", "cogvideo"]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "--generate.generator: unknown 'cogvideo'; " in line and "world_simulator" in line


def test_a_model_of_ones_own_is_scored_by_name(tmp_path, own_module):
    from synvita import Aligner

    write_video(tmp_path / "a.mp4", np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8), 8)
    found = []
    for name in ("own_parts:Model", "mini-video-llava"):
        aligner = Aligner.from_pretrained(name)
        found.append(aligner.score(tmp_path / "a.mp4", ["a red ring", "two crosses"]).log_odds)
        aligner.close()
    np.testing.assert_allclose(found[0], -found[1], atol=1e-5)
    with pytest.raises(ValueError, match=r"--model: cannot load 'own_parts:Nothing'"):
        Aligner.from_pretrained("own_parts:Nothing")
