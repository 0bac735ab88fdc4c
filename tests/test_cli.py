"""The command line: names that lead nowhere else, one clear line for each fault, one meaning in files and flags."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small import HOME, WEIGHTS

from synvita.cli import main
from synvita.core.run_folder import remove

ROOT = Path(__file__).parent.parent


def error_of(capsys, arguments):
    """The one line that a refused command writes."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("synvita: ") and captured.err.count("\n") == 1, captured.err
    return captured.err


@pytest.fixture
def run(tmp_path):
    """A run folder with one triplet of one's own and nothing made from it."""
    (tmp_path / "v.mp4").write_bytes(b"0")
    (tmp_path / "mine.csv").write_text("video,caption,negative_caption\nv.mp4,a man runs,a man walks\n")
    assert main(["triplets", "import", str(tmp_path / "mine.csv"), "--run", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


@pytest.mark.parametrize("name", ["../../victim", "a/b", "..", ".hidden", "", "a" * 65, "with blank", "off_the_shelf"])
def test_an_arm_with_a_name_that_is_no_folder_of_its_own_is_refused_and_nothing_is_removed(run, capsys, name):
    victim = run.parent / "victim"
    victim.mkdir()
    (victim / "precious").write_text("1")
    config = run.parent / "a.yaml"
    for arm in (name, str(victim)):
        config.write_text(yaml.safe_dump({"train": {"arms": {arm: {"weights": "none"}}}}))
        message = error_of(capsys, ["arm", "--run", str(run), "--arm", arm, "--config", str(config)])
        assert "--train.arms" in message or "--arm" in message
    assert (victim / "precious").read_text() == "1"


@pytest.mark.parametrize("seed", ["-1", "1.5", "../0", "²"])
def test_a_seed_is_a_whole_number(run, capsys, seed):
    with pytest.raises(SystemExit) as stopped:
        main(["arm", "--run", str(run), "--arm", "off_the_shelf", "--seed", seed])
    assert stopped.value.code == 2 and "is not a whole number from 0 on" in capsys.readouterr().err


def test_nothing_outside_a_run_folder_is_ever_removed(tmp_path):
    run, victim = tmp_path / "run", tmp_path / "victim"
    (run / "adapters").mkdir(parents=True)
    victim.mkdir()
    (victim / "precious").write_text("1")
    (run / "link").symlink_to(victim)
    (run / "adapters" / "inner").symlink_to(victim)
    for path in (victim, run, run / ".." / "victim", tmp_path, run / "link" / "precious"):
        with pytest.raises(ValueError, match="nothing outside a run folder is ever removed"):
            remove(path, run)
    remove(run / "link", run)  # the link itself may go
    (run / "own").mkdir()
    remove(victim / ".." / "run" / "own", victim / ".." / "run")  # written in a roundabout way, but inside
    assert not (run / "own").exists()
    remove(run / "adapters", run)
    remove(run / "adapters", run)  # gone already
    assert (victim / "precious").read_text() == "1" and list(run.iterdir()) == []


BAD_YAML = {
    "train: {epochs: 1\n": "not YAML",
    "- 1\n": "expected settings by name",
    "just text": "expected settings by name",
    "train: &x {arms: *x}\n": "a value that holds itself",
    "a: &x [*x]\n": "a value that holds itself",
    "train: {epochs: 1, epochs: 2}\n": "'epochs' is there twice",
    "1: 2\n": "the key 1 is not text",
    "train: [1]\n": "--train: expected settings by name",
    "train: {epochs: .nan}\n": "--train.epochs: expected a whole number",
    "train: {rate: .nan}\n": "--train.rate: expected a finite number",
    "train: {rate: -.inf}\n": "--train.rate: expected a finite number",
    "train: {rate: -1}\n": "--train.rate",
    "train: {frames: -3}\n": "--train.frames",
    "train: {decode_timeout: -1}\n": "--train.decode-timeout",
    "weigh: {decode_timeout: -1}\n": "--weigh.decode-timeout",
    "evaluate: {decode_timeout: 0}\n": "--evaluate.decode-timeout",
    "train: {arms: {x: {margin: .nan}}}\n": "--train.arms.x.margin",
    "train: {epoch: 2}\n": "did you mean --train.epochs?",
    "train: {epochs: 10000000000000000000000000000000000000000000000000000.0}\n": "--train.epochs",
    "\x00": "a NUL byte",
}


@pytest.mark.parametrize("text", BAD_YAML, ids=[text.strip() for text in BAD_YAML.values()])
def test_a_configuration_that_cannot_be_used_is_one_line_that_names_file_or_knob(run, capsys, text):
    config = run.parent / "bad.yaml"
    config.write_text(text)
    message = error_of(capsys, ["weigh", "--run", str(run), "--config", str(config)])
    assert BAD_YAML[text] in message and ("bad.yaml" in message or "--" in message)


def test_a_configuration_that_is_not_utf8_is_named_with_its_line(run, capsys):
    config = run.parent / "latin.yaml"
    config.write_bytes(b"train:\n  model: caf\xe9\n")
    assert "latin.yaml:2: byte 0xe9 is not UTF-8" in error_of(
        capsys, ["weigh", "--run", str(run), "--config", str(config)]
    )


def test_settings_by_name_mean_the_same_in_a_file_and_in_a_flag(tmp_path):
    arms = "{real_only: {}, synvita: {margin: 0.4}, mine: {weights: uniform}}"
    (tmp_path / "a.yaml").write_text(f"train: {{arms: {arms}}}\n")
    (tmp_path / "v.mp4").write_bytes(b"0")
    (tmp_path / "t.csv").write_text("video,caption,negative_caption\nv.mp4,a man runs,a man walks\n")
    table = str(tmp_path / "t.csv")
    main(["triplets", "import", table, "--run", str(tmp_path / "a"), "--config", str(tmp_path / "a.yaml")])
    main(["triplets", "import", table, "--run", str(tmp_path / "b"), "--train.arms", arms])
    by_file, by_flag = (yaml.safe_load((tmp_path / run / "config.yaml").read_text()) for run in "ab")
    assert by_file == by_flag
    assert by_flag["train"]["arms"]["synvita"]["weights"] == "learned"  # what is not named stays as it was
    assert by_flag["train"]["arms"]["synvita"]["margin"] == 0.4 and "weighted" in by_flag["train"]["arms"]


def test_train_refuses_an_arm_that_the_configuration_does_not_have(run, capsys):
    for command in ("train", "demo"):
        message = error_of(capsys, [command, "--run", str(run), "--arms", "real_only,realonly"])
        assert "--arms: unknown 'realonly'; did you mean 'real_only'? known: " in message and "synvita" in message


@pytest.mark.parametrize(
    ("stage", "flags", "knob"),
    [
        ("train", ["--train.device", "cuda"], "--train.device"),
        ("train", ["--train.model", "nowhere"], "--train.model"),
        ("weigh", ["--scorers.llava.checkpoint", "nowhere"], "--scorers.llava.checkpoint"),
        ("train", ["--train.model", "no_such_module:Model"], "--train.model"),
        ("demo", ["--train.device", "cuda"], "--train.device"),
    ],
)
def test_devices_and_checkpoints_that_are_not_there_are_refused_before_any_work(run, capsys, stage, flags, knob):
    import torch

    if torch.cuda.is_available() and "cuda" in flags:
        pytest.skip("this machine has what the test wants missing")
    folder = run if stage != "demo" else run.parent / "new"
    assert knob in error_of(capsys, [stage, "--run", str(folder), *flags])
    assert not (run.parent / "new").exists()


def test_what_only_a_later_stage_needs_is_a_note_because_it_may_be_on_another_machine(run, capsys):
    main(["generate", "--run", str(run), "--train.model", "nowhere"])
    assert "note: --train.model: nowhere: no such folder" in capsys.readouterr().err


def test_commands_in_messages_can_be_pasted_into_a_shell(tmp_path, capsys):
    run = tmp_path / "my run"
    (tmp_path / "v.mp4").write_bytes(b"0")
    (tmp_path / "t.csv").write_text("video,caption,negative_caption\nv.mp4,a man runs,a man walks\n")
    main(["triplets", "import", str(tmp_path / "t.csv"), "--run", str(run)])
    capsys.readouterr()
    assert f"synvita generate --run '{run}'" in error_of(capsys, ["weigh", "--run", str(run)])


def test_files_of_the_run_folder_edited_by_hand_are_named_with_their_line(small_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(small_run, run, ignore=shutil.ignore_patterns("cache", "real", "clips"))
    weights = f"weights/{WEIGHTS}.jsonl"
    cases = [
        ("triplets.jsonl", '{"id": 1}\n', "evaluate", "triplets.jsonl:1: a Triplet needs the key"),
        ("set_aside.jsonl", '{"id": "x"}\n', "generate", "set_aside.jsonl:1: needs stage, id and reason"),
        ("config.yaml", "- a\n", "report", "config.yaml: expected settings by name"),
        ("results.json", "[]", "report", "results.json: expected an object"),
        ("results.json", "{}", "report", "results.json: lacks 'arms'"),
        (f"{HOME}/pairs/synvita/0/open.jsonl", '{"label": 1}\n', "evaluate", "open.jsonl:1:"),
        (weights, (run / weights).read_text().splitlines()[0] + "\n", "evaluate", "difference.jsonl:2:"),
    ]
    for name, text, command, message in cases:
        before = (run / name).read_text() if (run / name).exists() else None
        (run / name).write_text(text * 2 if name == weights else text)
        assert message in error_of(capsys, [command, "--run", str(run)])
        (run / name).write_text(before) if before is not None else (run / name).unlink()


def call(arguments, **more):
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | more.pop("env", {})
    return subprocess.run([sys.executable, "-m", "synvita.cli", *arguments], env=environment, timeout=60, **more)


def test_captions_with_accents_work_in_a_plain_c_locale(tmp_path):
    (tmp_path / "vidéo.mp4").write_bytes(b"0")
    table = "video,caption,negative_caption\nvidéo.mp4,un garçon naïf court,un garçon naïf dort 🐕\n"
    (tmp_path / "été.csv").write_text(table, encoding="utf-8")
    arguments = ["triplets", "import", str(tmp_path / "été.csv"), "--run", str(tmp_path / "run")]
    done = call(arguments, env={"LC_ALL": "C", "PYTHONUTF8": "0"}, capture_output=True)
    assert done.returncode == 0, done.stderr
    (row,) = [json.loads(line) for line in (tmp_path / "run" / "triplets.jsonl").read_text("utf-8").splitlines()]
    assert row["negative_caption"] == "un garçon naïf dort 🐕" and row["video"].endswith("vidéo.mp4")


def test_a_closed_output_is_no_traceback():
    reading, writing = os.pipe()
    os.close(reading)
    done = call(["config"], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.returncode == 1 and done.stderr.decode().count("\n") == 1 and b"closed it" in done.stderr
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m synvita.cli config >&-"], stderr=subprocess.PIPE, timeout=60
    )
    assert done.returncode == 0 and done.stderr == b""


def test_exit_statuses_stand_in_the_help(capsys):
    for arguments in (["--help"], ["weigh", "--help"], ["score", "--help"]):
        with pytest.raises(SystemExit):
            main(arguments)
        assert "3 done, but something was set aside" in " ".join(capsys.readouterr().out.split())
