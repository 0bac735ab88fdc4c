"""The whole chain, small but real: its files, its schemas, its resumption, what it refuses."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import yaml
from run_files import weight_rows
from small import HOME, SMALL, WEIGHTS

from synvita.cli import main
from synvita.core.artefacts import read_clips, read_scores
from synvita.core.records import Triplet, clip_id
from synvita.core.store import parse_lines, read_records
from synvita.evaluate import metrics
from synvita.recipes import MINI_ARMS, THREE


def test_the_run_folder_has_the_promised_records(small_run):
    triplets = read_records(small_run / "triplets.jsonl", Triplet)
    clips = list(read_clips(small_run).values())
    scores = read_scores(small_run)
    weights = weight_rows(small_run)
    assert sum(t.split == "train" for t in triplets) == 42
    for clip in clips:
        assert clip.clip_id == clip_id(clip.caption, clip.generator, clip.revision, clip.settings, clip.seed)
        assert clip.file == f"clips/world_simulator/{clip.clip_id}.mp4" and (small_run / clip.file).stat().st_size > 0
    assert {s.scorer for s in scores} == {*THREE, "video_llm", "world_truth"}
    assert {(w.criterion, *w.scorers) for w in weights} == {
        ("difference", *group) for group in (THREE, ("video_llm",), ("world_truth",))
    }
    by_key = {(s.clip_id, s.caption, s.scorer): s.score for s in scores}
    captions = {t.id: t for t in triplets}
    for w in weights:
        t = captions[w.triplet_id]
        target, source = (
            np.mean([by_key[w.clip_id, c, scorer] for scorer in w.scorers]) for c in (t.negative_caption, t.caption)
        )
        assert w.weight == pytest.approx(max(0, target - source), abs=1e-6)


def test_results_have_the_promised_keys_and_say_where_weights_come_from(small_run):
    arms = json.loads((small_run / "results.json").read_text())["arms"]
    assert set(arms) == {"off_the_shelf", *MINI_ARMS}
    for found in arms.values():
        for name in ("in_distribution", "open", "unseen", "temporal"):
            assert 0 <= found[name]["low"] <= found[name]["auc"] <= found[name]["high"] <= 1
            assert found[name]["missing"] == 0 < found[name]["expected"]
        assert set(found["per_type"]) == {"object", "action", "attribute", "count", "relation", "hallucination", "flip"}
        assert 0 <= found["retrieval_temporal"]["map"] <= 1 and 0 <= found["retrieval_events"]["map"] <= 1
        assert 0 <= found["qa"]["accuracy"] <= 1
    assert {arm: found["temporal_attention"] for arm, found in arms.items()} == dict.fromkeys(arms, False)
    said = {arm: found["weights_from"] for arm, found in arms.items()}
    assert said["weighted"] == said["synvita"] == "difference of llava + instructblip + clip_flant5"
    assert said["weighted_video"] == said["synvita_video"] == "difference of video_llm"
    assert said["weighted_oracle"] == "difference of world_truth" and said["uniform"] == "uniform (1.0)"
    assert said["off_the_shelf"] == "nothing trained" and said["real_only"].startswith("none")


def test_the_figures_are_those_of_the_pair_files(small_run):
    results = json.loads((small_run / "results.json").read_text())["arms"]["uniform"]
    rows = [fields for _, fields in parse_lines(small_run / HOME / "pairs" / "uniform" / "0" / "open.jsonl")]
    assert len(rows) == 56
    want = metrics.roc_auc([r["label"] for r in rows], [r["log_odds"] for r in rows])
    assert results["open"]["auc"] == pytest.approx(want)
    temporal = [r for r in rows if r["misalignment"] in ("action", "flip")]
    want = metrics.roc_auc([r["label"] for r in temporal], [r["log_odds"] for r in temporal])
    assert results["temporal"]["auc"] == pytest.approx(want)


def test_trained_arms_differ_from_the_untrained_model_and_from_each_other(small_run):
    odds = {}
    for arm in ("off_the_shelf", *MINI_ARMS):
        path = small_run / HOME / "pairs" / arm / "0" / "open.jsonl"
        odds[arm] = np.array([fields["log_odds"] for _, fields in parse_lines(path)])
    names = list(odds)
    for i, a in enumerate(names):
        for b in names[:i]:
            assert np.abs(odds[a] - odds[b]).max() > 1e-3, (a, b)


def test_an_arm_trained_again_gives_the_same_bytes(small_run, tmp_path):
    again = tmp_path / "run"
    shutil.copytree(small_run, again)
    for part in ("adapters", "pairs"):
        shutil.rmtree(again / HOME / part / "synvita")
    assert main(["arm", "--run", str(again), "--arm", "synvita"]) == 0
    for file in (f"{HOME}/pairs/synvita/0/open.jsonl", f"{HOME}/adapters/synvita/0/adapter_model.safetensors"):
        assert (again / file).read_bytes() == (small_run / file).read_bytes()


def test_a_demo_killed_anywhere_goes_on_and_ends_with_the_same_results(small_run, tmp_path):
    """One representative kill -9 of the whole process group at a random moment; `slow` has many."""
    killed_and_resumed(small_run, tmp_path / "run", [random.Random(time.time()).uniform(1, 12)], ["weighted"])


@pytest.mark.slow
def test_a_demo_killed_twenty_times_ends_with_the_same_results(small_run, tmp_path):
    rng = random.Random(0)
    killed_and_resumed(small_run, tmp_path / "run", [rng.uniform(0.5, 8) for _ in range(20)], ["real_only", "weighted"])


def killed_and_resumed(reference, run, moments, arms):
    """Few arms, to be quick; an arm's figures do not depend on the others."""
    command = [sys.executable, "-m", "synvita.cli", "demo", "--run", str(run), *SMALL]
    command += ["--arms", ",".join(arms), "--workers", "1"]
    for moment in moments:
        child = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0, f"killed after {moments} s"
    for file in (
        f"weights/{WEIGHTS}.jsonl",
        "clips/world_simulator/clips.jsonl",
        "scores/llava/scores.jsonl",
        *(f"{HOME}/pairs/{arm}/0/{task}.jsonl" for arm in arms for task in ("open", "qa")),
    ):
        assert (run / file).read_bytes() == (reference / file).read_bytes(), f"{file} after kills at {moments} s"
    ours, theirs = (json.loads((folder / "results.json").read_text()) for folder in (run, reference))
    for part in ("weights", "score_differences"):
        assert ours[part] == theirs[part]
    for arm, found in ours["arms"].items():
        want = {k: v for k, v in theirs["arms"][arm].items() if k in found or "real_only" in arms}
        assert found == want, f"{arm} after kills at {moments} s"


def children_of(run):
    """Process ids of arms that work on this run folder."""
    found = subprocess.run(["pgrep", "-f", f"synvita.cli arm .*--run {run} "], capture_output=True, text=True)
    return found.stdout.split()


def test_arms_end_soon_after_a_parent_that_was_killed_alone(tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "synvita.cli", "demo", "--run", str(run), *SMALL, "--train.epochs", "50"]
    command += ["--arms", "real_only,uniform", "--world.triplets", "14"]
    command += ["--weigh.scorers", "[llava]", "--weigh.also", "[]"]
    parent = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(500):
        if children_of(run):
            break
        time.sleep(0.1)
    assert children_of(run), "the arms never began"
    parent.kill()
    parent.wait()
    for _ in range(50):
        if not children_of(run):
            return
        time.sleep(0.1)
    raise AssertionError("arms live on without their parent")


def test_an_arm_that_fails_is_named_and_the_one_beside_it_is_kept(small_run, tmp_path, capfd):
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    shutil.rmtree(run / HOME / "adapters" / "real_only")
    broken = tmp_path / "broken.yaml"
    broken.write_text("train: {arms: {broken: {weights: uniform, consistency_weight: 1.0e+300}}}")
    command = ["train", "--run", str(run), "--arms", "broken,real_only", "--config", str(broken)]
    assert main([*command, "--workers", "2"]) == 2
    errors = capfd.readouterr().err
    assert "arm 'broken' failed (see above); the others are kept" in errors and "the loss is inf on triplets" in errors
    assert not children_of(run)
    file = f"{HOME}/adapters/real_only/0/adapter_model.safetensors"
    assert (run / file).read_bytes() == (small_run / file).read_bytes()


def test_with_one_worker_the_arm_that_fails_is_named_in_one_line_and_the_threads_are_those_of_before(
    small_run, tmp_path, capsys
):
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    arm = "{broken: {weights: uniform, consistency_weight: 1.0e+300}}"
    torch.set_num_threads(2)
    try:
        assert main(["train", "--run", str(run), "--arms", "broken", "--train.arms", arm]) == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    errors = capsys.readouterr().err
    assert re.search(
        r"^synvita: arm 'broken': .*the loss is inf.*the others are kept, run again to go on$", errors, re.M
    )


def test_an_arm_with_weights_that_nobody_made_is_refused_before_any_arm_begins(small_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(small_run, run, ignore=shutil.ignore_patterns("models"))
    arm = "{broken: {weights: learned, scorers: [nobody]}}"
    line = refused(capsys, "train", "--run", run, "--arms", "broken,real_only", "--train.arms", arm)
    assert f"has no weights nobody-difference (there: {WEIGHTS}" in line
    assert not (run / "models").exists()


def test_ctrl_c_says_how_to_go_on_and_leaves_no_process(tmp_path):
    command = [sys.executable, "-m", "synvita.cli", "demo", "--run", str(tmp_path / "run"), *SMALL]
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # nohup ignores it
    time.sleep(6)
    os.killpg(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    assert child.returncode == 130 and "interrupted; run the same command again" in errors
    assert "Traceback" not in errors


def refused(capsys, *arguments):
    status = main([str(a) for a in arguments])
    lines = capsys.readouterr().err.strip().splitlines()
    assert status == 2 and len(lines) == 1, lines
    return lines[0]


def test_a_folder_of_another_configuration_is_refused_with_what_differs(small_run, capsys):
    line = refused(capsys, "demo", "--run", small_run, *SMALL, "--train.epochs", "2")
    assert "mini-video-llava was made otherwise (epochs: 1 -> 2)" in line
    line = refused(capsys, "demo", "--run", small_run, *SMALL, "--world.seed", "2")
    assert "world.seed: 0 -> 2" in line and "another configuration" in line


def test_a_wrong_flag_names_the_nearest_right_one(tmp_path, capsys):
    line = refused(capsys, "demo", "--run", tmp_path / "x", "--train.epoch", "2")
    assert "--train.epoch: unknown setting; did you mean --train.epochs?" in line
    assert "--train.epochs: expected a whole number, got 'abc'" in refused(
        capsys, "demo", "--run", tmp_path / "x", "--train.epochs", "abc"
    )
    assert "unknown criterion 'best'" in refused(capsys, "demo", "--run", tmp_path / "x", "--weigh.criteria", "best")
    assert "--bogus" in refused(capsys, "demo", "--run", tmp_path / "x", "--bogus")
    assert not (tmp_path / "x").exists()


def test_a_stage_without_its_input_names_the_command_that_makes_it(tmp_path, capsys):
    assert "begin with synvita triplets" in refused(capsys, "weigh", "--run", tmp_path / "nothing")


def test_an_unknown_arm_lists_the_known_ones(small_run, capsys):
    assert "known: off_the_shelf, real_only" in refused(capsys, "arm", "--run", small_run, "--arm", "best")


@pytest.mark.parametrize("weight", ["1.5", "-0.1", "NaN", "null"])
def test_a_weight_outside_0_1_is_named_by_file_and_line(small_run, tmp_path, capsys, weight):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "triplets.jsonl"):
        shutil.copy(small_run / name, run / name)
    shutil.copytree(small_run / "weights", run / "weights")
    path = run / f"weights/{WEIGHTS}.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    fields = json.loads(lines[2])
    lines[2] = json.dumps(fields).replace(f'"weight": {fields["weight"]}', f'"weight": {weight}') + "\n"
    path.write_text("".join(lines))
    line = refused(capsys, "arm", "--run", run, "--arm", "weighted")
    assert f"{WEIGHTS}.jsonl:3: " in line and ("NaN is not JSON" if weight == "NaN" else "weight: ") in line
    assert weight == "NaN" or "[0, 1]" in line


def test_two_processes_on_one_run_are_refused(small_run, capsys):
    from synvita.core.run_folder import only_one

    with only_one(small_run, "demo"):
        assert "another process is at work" in refused(capsys, "demo", "--run", small_run, *SMALL)


def test_an_arm_may_be_added_to_a_run_but_a_trained_one_not_changed(small_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(small_run, run, symlinks=True)
    text = refused(capsys, "arm", "--run", run, "--arm", "real_only", "--train.arms.uniform.margin", "0.7")
    assert "train.arms.uniform.margin: 0.2 -> 0.7" in text
    from synvita.core.run_folder import claim_run

    stored = yaml.safe_load((run / "config.yaml").read_text())
    stored["train"]["arms"]["half"] = {**stored["train"]["arms"]["uniform"], "margin": 0.3}
    claim_run(run, stored)
    assert yaml.safe_load((run / "config.yaml").read_text())["train"]["arms"]["half"]["margin"] == 0.3
