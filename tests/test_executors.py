"""generate and weigh as commands: the same bytes in one process, in two, with Ray and in shards."""

import shutil

import pytest

from synvita.cli import main

TINY = ["--world.triplets", "14", "--world.test", "7", "--world.test_open", "7", "--world.per-template", "1",
        "--world.questions", "4", "--weigh.also", "[]", "--generate.generator", "world_simulator"]  # fmt: skip
HOW = {"processes": ["--workers", "2"], "ray": ["--executor", "ray", "--workers", "2"]}


def files(run):
    """Every record and clip of a run, by name."""
    names = ("clips", "scores", "clip_of_triplet.jsonl", "weights")
    paths = [p for name in names for p in ([run / name] if (run / name).is_file() else (run / name).rglob("*"))]
    return {p.relative_to(run).as_posix(): p.read_bytes() for p in paths if p.is_file() and p.name != "timings.jsonl"}


@pytest.fixture(scope="module")
def triplets(tmp_path_factory):
    run = tmp_path_factory.mktemp("triplets") / "run"
    assert main(["triplets", "make", "--run", str(run), *TINY]) == 0
    return run


@pytest.fixture(scope="module")
def alone(triplets, tmp_path_factory):
    run = tmp_path_factory.mktemp("alone") / "run"
    shutil.copytree(triplets, run)
    assert [main([command, "--run", str(run)]) for command in ("generate", "weigh")] == [0, 0]
    return files(run)


@pytest.mark.slow  # executors/test_ray.py and tests of every stage stand for it
@pytest.mark.parametrize("how", ["processes", "ray"])
def test_other_executors_leave_the_bytes_of_one_process(triplets, alone, tmp_path, how):
    run = tmp_path / "run"
    shutil.copytree(triplets, run)
    assert [main([command, "--run", str(run), *HOW[how]]) for command in ("generate", "weigh")] == [0, 0]
    assert files(run) == alone and len(alone) > 14


def test_shards_leave_the_bytes_of_one_process_and_nothing_else(triplets, alone, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(triplets, run)
    for command in ("generate", "weigh"):
        assert main([command, "--run", str(run), "--shard", "2/2"]) == 0
        assert main(["merge", "--run", str(run)]) == 2
        assert f"shard 1/2 is missing; run: synvita {command} --run {run} --shard 1/2" in capsys.readouterr().err
        assert main([command, "--run", str(run), "--shard", "1/2"]) == 0
        assert main(["merge", "--run", str(run)]) == 0
    assert files(run) == alone
    assert main(["merge", "--run", str(run)]) == 2 and "no shards wait" in capsys.readouterr().err


def test_shards_of_one_scorer_are_weighed_as_that_scorer_alone_is(triplets, tmp_path):
    """Its scores complete none of the configuration's ensembles."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for run in (whole, parts):
        shutil.copytree(triplets, run)
        assert main(["generate", "--run", str(run)]) == 0
    weigh = ["weigh", "--scorers", "llava"]
    assert main([*weigh, "--run", str(whole)]) == 0
    for shard in ("1/2", "2/2"):
        assert main([*weigh, "--run", str(parts), "--shard", shard]) == 0
    assert main(["merge", "--run", str(parts)]) == 0
    assert files(parts) == files(whole) and "weights/llava-difference.jsonl" in files(whole)


def test_status_says_what_is_there_and_what_is_missing(triplets, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(triplets, run)
    assert main(["generate", "--run", str(run)]) == 0
    clips = sorted((run / "clips/world_simulator").glob("*.mp4"))
    clips[0].write_bytes(b"")
    capsys.readouterr()
    assert main(["status", "--run", str(run)]) == 0
    lines = {line.split("  ")[0].strip(): line.split("  ")[-1].strip() for line in capsys.readouterr().out.splitlines()}
    assert lines["clips/world_simulator"] == f"{len(clips) - 1} there, 1 missing"
    assert lines["scores/llava"] == f"0 there, {len(clips)} missing"
    assert lines["models/mini-video-llava: synvita"] == "missing, 0 tasks asked"
    assert main(["generate", "--run", str(run)]) == 0 and clips[0].stat().st_size > 0  # made again


def test_a_scorer_and_a_criterion_may_be_added_before_anything_is_trained(triplets, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(triplets, run)
    assert main(["generate", "--run", str(run)]) == 0
    assert (
        main(
            ["weigh", "--run", str(run), "--weigh.scorers", "[llava]", "--weigh.also", "[]", "--weigh.oracle", "false"]
        )
        == 0
    )
    before = files(run)
    assert set(p.name for p in (run / "scores").iterdir()) == {"llava"}
    assert main(["weigh", "--run", str(run), "--weigh.also", "[video_llm]", "--weigh.criteria", "[product]"]) == 0
    after = files(run)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"weights/stamp.json"}
    assert {"weights/llava-product.jsonl", "weights/video_llm-product.jsonl"} <= after.keys() - before.keys()
    assert set(p.name for p in (run / "scores").iterdir()) == {"llava", "video_llm"}
    assert "weigh: a score is the vqa_score of llava, the vqa_score of video_llm\n" in capsys.readouterr().out
    assert main(["weigh", "--run", str(run), "--scorers.llava.frames", "2"]) == 2
    error = capsys.readouterr().err
    assert "scores/llava was made otherwise (scorer.options.frames: None -> 2)" in error and error.count("\n") == 1
    assert main(["weigh", "--run", str(run)]) == 0 and files(run) == after  # the folder's settings are what they were


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--shard", "3/2"], "--shard: '3/2' is no shard"),
        (["--shard", "1/2", "--executor", "ray"], "--shard: is for batch systems"),
        (["--address", "auto"], "--address: is of a Ray cluster; give --executor ray, too"),
    ],
)
def test_flags_that_cannot_be_are_one_line_and_write_nothing(triplets, tmp_path, capsys, flags, message):
    run = tmp_path / "run"
    shutil.copytree(triplets, run)
    before = sorted(p.name for p in run.iterdir())
    assert main(["generate", "--run", str(run), *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and sorted(p.name for p in run.iterdir()) == before
