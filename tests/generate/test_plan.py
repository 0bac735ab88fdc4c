"""`generate --dry-run` and `clip`: what is said before the money is spent, and one clip to look at."""

import json

import pytest
from tiny_pipelines import SMALL, save

from synvita.cli import main
from synvita.core.records import Clip, Triplet
from synvita.core.store import read_records, write_records
from synvita.core.video import read_frames
from synvita.recipes import recipe

NEGATIVES = ["a red ring", "two blue cross moving left", "snow falls", "a dog sits", "snow " * 130]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save("ltx", tmp_path_factory.mktemp("pipelines") / "ltx")


@pytest.fixture
def run(tmp_path):
    import yaml

    path = tmp_path / "run"
    triplets = [Triplet(f"t{i}", "v.mp4", "a", text) for i, text in enumerate(NEGATIVES)]
    triplets.append(Triplet("again", "v.mp4", "a", NEGATIVES[0]))
    write_records(path / "triplets.jsonl", triplets)
    (path / "config.yaml").write_text(yaml.safe_dump(recipe("own_triplets").as_dict()))
    return path


def flags(name, folder, **more):
    return [f"--generators={name}", "--generators.ltx", json.dumps({"checkpoint": str(folder), **SMALL, **more})]


def files(run):
    return sorted((p.relative_to(run), p.stat().st_mtime_ns) for p in run.rglob("*"))


def test_a_dry_run_names_clips_and_long_prompts_and_makes_nothing(run, folder, capsys):
    before = files(run)
    assert main(["generate", "--run", str(run), "--dry-run", *flags("ltx", folder)]) == 0
    text = capsys.readouterr().out
    assert "generate: ltx: 5 clips to make, 0 there; hours unknown" in text and "nothing measured" in text
    assert "prompts: 1 longer than the text encoder reads" in text and "131 tokens" in text
    assert "assumed, not measured: 0.00115 MB per clip of 32x32, 9 frames" in text  # 9 * 32 * 32 / 8 bytes
    assert files(run) == before


def test_after_some_clips_a_dry_run_counts_with_what_they_took(run, folder, capsys):
    assert main(["generate", "--run", str(run), *flags("ltx", folder)]) == 0
    captured = capsys.readouterr()
    assert "note: ltx: 1 captions are longer than the text encoder reads" in captured.err
    clips = read_records(run / "clips/ltx/clips.jsonl", Clip)
    (run / clips[0].file).unlink()
    seconds = [2.0, 4.0, 90.0]
    (run / "clips/ltx/timings.jsonl").write_text("".join(f'{{"what": "x", "seconds": {s}}}\n' for s in seconds))
    assert main(["generate", "--run", str(run), "--dry-run", "--workers", "2", *flags("ltx", folder)]) == 0
    text = capsys.readouterr().out
    assert f"1 clips to make, 4 there; {4 / 3600 / 2:.3g} hours with 2 workers" in text
    assert "measured here: 4 s per clip, the median of 3" in text
    size = sum((run / clip.file).stat().st_size for clip in clips[1:]) / 4
    assert f"measured here: {size / 1e6:.3g} MB per clip, the mean of 4" in text


def test_where_nothing_was_measured_the_papers_figure_is_said_and_marked(run, tmp_path, capsys):
    cogvideox = {"checkpoint": str(save("cogvideox", tmp_path / "cogvideox")), **SMALL}
    command = ["generate", "--run", str(run), "--dry-run", "--generators=cogvideox"]
    assert main([*command, "--generators.cogvideox", json.dumps(cogvideox)]) == 0
    text = capsys.readouterr().out
    assert f"{5 * 75 / 3600:.3g} hours" in text
    assert "published, not measured here: 75 s per clip on an A100, by the paper (Table 10)" in text


def test_a_dry_run_of_a_shard_is_refused(run, capsys):
    assert main(["generate", "--run", str(run), "--dry-run", "--shard", "1/2"]) == 2
    assert "--dry-run: says what all clips" in capsys.readouterr().err


def test_one_caption_is_one_file_that_caption_and_seed_decide(folder, tmp_path, capsys):
    def clip(name, *more):
        settings = json.dumps(SMALL)
        command = [
            "clip",
            "a red ring",
            "--generator",
            "ltx",
            "--checkpoint",
            str(folder),
            "--generators.ltx",
            settings,
        ]
        return main([*command, "--out", str(tmp_path / name), *more])

    assert clip("a.mp4") == clip("b.mp4") == clip("c.mp4", "--seed", "1") == 0
    assert f"clip: {tmp_path / 'a.mp4'} in " in capsys.readouterr().out
    a, b, c = ((tmp_path / f"{name}.mp4").read_bytes() for name in "abc")
    assert a == b != c and read_frames(tmp_path / "a.mp4", range(9)).shape == (9, 32, 32, 3)
    assert clip("a.mp4") == 2 and "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("caption", "generator", "out", "reason"),
    [
        (" ", "ltx", "a.mp4", "the caption is empty"),
        ("a", "ltx", "a.gif", "--out: a.gif is no .mp4"),
        ("a", "ltxx", "a.mp4", "--generator: unknown 'ltxx'; did you mean 'ltx'?"),
        ("a", "world_simulator", "a.mp4", "needs a triplet, not only a caption"),
    ],
)
def test_what_cannot_be_a_clip_is_one_line(caption, generator, out, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["clip", caption, "--generator", generator, "--out", out]) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1 and list(tmp_path.iterdir()) == []
