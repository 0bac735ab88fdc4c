"""Files that somebody exchanged are named with the command that mends it, and never used silently."""

import json
import os
import shutil

import numpy as np
import pytest
from small import HOME, WEIGHTS

from synvita.cli import main
from synvita.core.artefacts import read_clips, read_scores
from synvita.core.identity import VERIFY, Digests
from synvita.core.write_video import write_video


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv(VERIFY, "")


@pytest.fixture
def run(small_run, tmp_path):
    """The small run with one trained arm and without answers."""
    folder = tmp_path / "run"

    def left_out(where, names):
        if where == str(small_run):
            return [n for n in names if n in ("report", "results.json")]
        if where.endswith(("/adapters", "/pairs")):
            return [n for n in names if n not in ("real_only", "weighted")]
        return []

    shutil.copytree(small_run, folder, ignore=left_out)
    return folder


def refused(capsys, *command):
    capsys.readouterr()
    assert main([str(part) for part in command]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def exchanged(run):
    """A clip of the run whose file is now another video."""
    clip = next(iter(read_clips(run).values()))
    write_video(run / clip.file, np.full((8, 64, 64, 3), 77, np.uint8), 8)
    return clip


def test_a_clip_that_was_exchanged_is_refused_by_weigh_and_train_and_made_again_by_generate(run, capsys):
    clip = next(iter(read_clips(run).values()))
    whole = (run / clip.file).read_bytes()
    exchanged(run)
    for command in (["weigh"], ["train", "--arms", "uniform"]):
        error = refused(capsys, command[0], "--run", run, *command[1:])
        assert f"{clip.file}: not the video that was recorded for {clip.caption!r}; synvita generate --run" in error
    assert main(["generate", "--run", str(run)]) == 0
    assert (run / clip.file).read_bytes() == whole
    assert main(["weigh", "--run", str(run)]) == 0


def test_a_file_that_looks_unchanged_is_found_by_verify(run, capsys):
    clip = next(iter(read_clips(run).values()))
    assert main(["weigh", "--run", str(run)]) == 0  # now its size and time are known
    path = run / clip.file
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert main(["weigh", "--run", str(run)]) == 0
    assert f"{clip.file}: not the video that was recorded" in refused(capsys, "weigh", "--run", run, "--verify")


def test_a_clip_that_is_another_one_now_is_scored_anew(run):
    """As when a generator that is not deterministic has made it again: the record knows its new digest."""
    clip = exchanged(run)
    path = run / "clips/world_simulator/clips.jsonl"
    digest = Digests(run).of(clip.file)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(r | ({"digest": digest} if r["clip_id"] == clip.clip_id else {})) + "\n"
                            for r in lines))  # fmt: skip
    before = {(s.clip_id, s.caption, s.scorer): s for s in read_scores(run)}
    assert main(["weigh", "--run", str(run)]) == 0
    after = {(s.clip_id, s.caption, s.scorer): s for s in read_scores(run)}
    changed = {key for key in after if after[key] != before[key]}
    assert {key[0] for key in changed} == {clip.clip_id} and {key[2] for key in changed} >= {"llava", "video_llm"}
    assert {after[key].clip_digest for key in changed} == {digest}


def test_weights_of_scores_that_have_changed_are_refused_by_train_until_they_are_weighed_again(run, capsys):
    path = run / "scores/llava/scores.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    fields = json.loads(lines[0])
    path.write_text("".join([json.dumps(fields | {"score": 1 - fields["score"]}) + "\n", *lines[1:]]))
    error = refused(capsys, "train", "--run", run, "--arms", "uniform")
    assert f"{WEIGHTS}.jsonl: scores/llava/scores.jsonl has changed since; once more: synvita weigh" in error
    assert main(["weigh", "--run", str(run)]) == 0
    assert main(["status", "--run", str(run)]) == 0
    from synvita.train.arms import Arm
    from synvita.train.examples import weights_for

    assert weights_for(run, Arm("uniform"))[0]


def test_an_adapter_of_another_arm_is_refused_with_the_way_out(run, capsys):
    mine, other = (run / HOME / "adapters" / arm / "0" for arm in ("real_only", "weighted"))
    shutil.rmtree(run / HOME / "pairs")
    good = (mine / "adapter_model.safetensors").read_bytes()
    shutil.copy(other / "adapter_model.safetensors", mine / "adapter_model.safetensors")
    command = ["evaluate", "--run", run, "--arms", "real_only", "--tasks", "qa"]
    error = refused(capsys, *command)
    assert "not the adapter that was trained as arm 'real_only'; remove" in error and "--arms real_only" in error
    (mine / "adapter_model.safetensors").write_bytes(good)
    shutil.copytree(other, run / "kept")
    shutil.rmtree(other)
    shutil.copytree(mine, other)  # with its arm.json: the whole folder
    assert "not the adapter that was trained as arm 'weighted'" in refused(
        capsys, "evaluate", "--run", run, "--arms", "weighted"
    )
    (mine / "adapter_model.safetensors").unlink()
    assert "adapter_model.safetensors: gone; remove" in refused(capsys, *command)


def test_answers_of_an_adapter_that_was_trained_anew_are_not_mixed_with_new_ones(run, capsys):
    """An adapter with other bytes that says it is the arm's: the pair files are another's."""
    folder = run / HOME / "adapters/real_only/0"
    shutil.copy(run / HOME / "adapters/weighted/0/adapter_model.safetensors", folder)
    facts = json.loads((folder / "arm.json").read_text())
    digest = Digests(run).of(f"{HOME}/adapters/real_only/0/adapter_model.safetensors")
    (folder / "arm.json").write_text(json.dumps(facts | {"adapter": digest}))
    error = refused(capsys, "evaluate", "--run", run, "--arms", "real_only", "--tasks", "qa")
    assert "pairs/real_only/0 was made otherwise (adapter: " in error and "remove that folder" in error


def test_a_report_of_answers_that_have_changed_since_is_refused(run, capsys):
    assert main(["evaluate", "--run", str(run), "--arms", "real_only,weighted", "--tasks", "open"]) == 0
    assert main(["report", "--run", str(run)]) == 0
    path = run / HOME / "pairs/weighted/0/open.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[::-1]))
    error = refused(capsys, "report", "--run", run)
    assert "weighted/0/open.jsonl: has changed since the figures were made; once more: synvita evaluate" in error
    assert main(["evaluate", "--run", str(run), "--arms", "real_only,weighted", "--tasks", "open"]) == 0
    assert main(["report", "--run", str(run)]) == 0
