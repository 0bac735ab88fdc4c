"""`synvita generate --generators lavie,videocrafter2` on tiny official files makes each clip once."""

import pytest
import yaml
from official_files import write_lavie, write_videocrafter2

from synvita.cli import main
from synvita.core.artefacts import read_clips
from synvita.core.records import Triplet
from synvita.core.store import write_records
from synvita.core.video import read_frames
from synvita.generate import official_pipelines

TRIPLETS = [Triplet(f"t{i}", "v.mp4", "a ring", caption) for i, caption in enumerate(("a red ring", "two blue rings"))]
SMALL = {"dtype": "float32", "frames": 2, "height": 16, "width": 24, "steps": 1}


@pytest.fixture
def run(tmp_path):
    lavie, ours = write_lavie(tmp_path / "lavie"), write_videocrafter2(tmp_path / "videocrafter2")
    knobs = {
        "lavie": {"checkpoint": str(lavie), "base": str(lavie.parent / "base"), **SMALL},
        "videocrafter2": {"checkpoint": str(ours), **SMALL, "batch": 2},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"generators": knobs}))
    (tmp_path / "v.mp4").write_bytes(b"not read here")
    table = tmp_path / "triplets.jsonl"
    write_records(
        table, [{"video": t.video, "caption": t.caption, "negative_caption": t.negative_caption} for t in TRIPLETS]
    )
    folder = tmp_path / "run"
    assert main(
        ["triplets", "import", str(table), "--run", str(folder), "--config", str(tmp_path / "config.yaml")]
    ) in (0, 3)
    write_records(folder / "triplets.jsonl", TRIPLETS)
    return folder


def test_official_generators_make_each_clip_once_and_record_what_made_it(run, monkeypatch, capsys):
    command = ["generate", "--run", str(run), "--generators", "lavie,videocrafter2"]
    assert main(command) == 0, capsys.readouterr().err
    clips = list(read_clips(run).values())
    assert sorted((c.generator, c.caption) for c in clips) == sorted(
        (name, t.negative_caption) for name in ("lavie", "videocrafter2") for t in TRIPLETS
    )
    for clip in clips:
        assert read_frames(run / clip.file, range(2)).shape == (2, 16, 24, 3)
        assert clip.settings["steps"] == 1 and clip.revision
    before = {clip.file: (run / clip.file).stat().st_mtime_ns for clip in clips}
    monkeypatch.setattr(official_pipelines, "read_official", None)
    assert main(command) == 0
    assert before == {clip.file: (run / clip.file).stat().st_mtime_ns for clip in read_clips(run).values()}
    (run / clips[0].file).unlink()
    assert main(command) == 0
    assert read_clips(run)[clips[0].clip_id].digest == clips[0].digest  # the same bytes


def test_a_size_that_the_model_cannot_do_is_one_line_and_nothing_is_made(run, capsys):
    command = ["generate", "--run", str(run), "--generators", "lavie", "--generators.lavie.height", "18"]
    assert main(command) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "--generators.lavie.height: 18; this model makes multiples of 4; the nearest is 16" in line
    assert not list(run.glob("clips/lavie/*.mp4"))
