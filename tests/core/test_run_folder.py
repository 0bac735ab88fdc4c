"""A run folder belongs to one configuration and one process at a time; nothing outside it is removed."""

import shlex

import pytest
import yaml

from synvita.core import run_folder
from synvita.core.run_folder import again, claim_run, made_with, only_one, remove

CONFIG = {"world": {"seed": 0}, "train": {"epochs": 2, "arms": {"mine": {"weights": "learned"}, "other": {}}}}


@pytest.fixture
def run(tmp_path):
    claim_run(tmp_path / "run", CONFIG)
    return tmp_path / "run"


def with_epochs(epochs: int) -> dict:
    return {**CONFIG, "train": {**CONFIG["train"], "epochs": epochs}}


def stored(run) -> dict:
    return yaml.safe_load((run / "config.yaml").read_text("utf-8"))


def test_a_new_folder_gets_the_configuration(run):
    assert stored(run) == CONFIG
    claim_run(run, CONFIG)
    assert stored(run) == CONFIG


def test_hidden_files_such_as_locks_do_not_make_a_folder_somebody_elses(tmp_path):
    (tmp_path / ".train.lock").write_text("1")
    claim_run(tmp_path, CONFIG)
    assert stored(tmp_path) == CONFIG


def test_a_folder_of_something_else_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "thesis.tex").write_text("text")
    with pytest.raises(ValueError, match=r"^--run: .* holds 'thesis.tex' but no config.yaml; give a new or empty"):
        claim_run(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_run_folder(tmp_path):
    (tmp_path / "run").write_text("text")
    with pytest.raises(ValueError, match=r"^--run: .*run is a file; give a folder"):
        claim_run(tmp_path / "run", CONFIG)


def test_a_setting_may_change_until_a_stage_has_used_it(run):
    (run / "triplets.jsonl").write_text("")  # made by `world`, not by `train`
    claim_run(run, with_epochs(8))
    assert stored(run)["train"]["epochs"] == 8
    with pytest.raises(ValueError, match=r"another configuration \(world.seed: 0 -> 1\); give another folder"):
        claim_run(run, {**with_epochs(2), "world": {"seed": 1}})
    assert stored(run)["train"]["epochs"] == 8


def test_an_arms_settings_stand_still_once_any_base_model_has_trained_it(run):
    other = {**CONFIG, "train": {**CONFIG["train"], "arms": {"mine": {"weights": "uniform"}, "other": {}}}}
    (run / "models/b/adapters/other/0").mkdir(parents=True)
    claim_run(run, other)
    (run / "models/a/adapters/mine/0").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"train.arms.mine.weights: uniform -> learned"):
        claim_run(run, CONFIG)


def test_five_differences_are_named_and_more_are_hinted_at(run):
    (run / "triplets.jsonl").write_text("")
    for count, end in [(4, r"seed: 0 -> 1\); give"), (6, r"e: None -> 4; \.\.\.\); give")]:
        with pytest.raises(ValueError, match=end):
            claim_run(run, {**CONFIG, "world": {"seed": 1, **dict(zip("abcdef"[:count], range(count), strict=True))}})


def test_what_an_older_version_did_not_say_is_filled_in(run):
    (run / "triplets.jsonl").write_text("")
    newer = {**CONFIG, "world": {**CONFIG["world"], "size": 0.1}}
    with pytest.raises(ValueError, match=r"world.size: None -> 0.1"):
        claim_run(run, newer)
    claim_run(run, newer, lambda there: {**there, "world": {**there["world"], "size": 0.1}})


@pytest.mark.parametrize(
    ("knob", "made"),
    [
        ("world.seed", ["triplets.jsonl"]),
        ("weigh.criterion", ["models/*/*/*"]),
        ("train.epochs", []),
        ("train.arms.mine.weights", ["models/*/*/mine"]),
        ("models.b.arms.mine.weights", ["models/b/*/mine"]),
        ("models.b.rate", []),
        ("scorers.llava.dtype", []),
        ("recipe", ["config.yaml"]),
    ],
)
def test_an_arms_settings_have_made_that_arms_files_only(knob, made):
    assert made_with(knob) == made


def test_a_suggested_command_can_be_pasted_into_a_shell(tmp_path):
    run = tmp_path / "it's my; run"
    assert shlex.split(again("weigh", run)) == ["synvita", "weigh", "--run", str(run)]


# ---- removing


def test_files_and_folders_of_the_run_are_removed_and_what_is_not_there_is_no_error(run):
    (run / "adapters" / "mine").mkdir(parents=True)
    (run / "adapters" / "mine" / "a.json").write_text("")
    remove(run / "adapters" / "mine" / "nothing", run)
    remove(run / "adapters" / "mine" / "a.json", run)
    assert (run / "adapters" / "mine").is_dir()
    remove(run / "adapters", run)
    assert {path.name for path in run.iterdir()} == {"config.yaml"}


def test_a_link_goes_and_what_it_points_to_stays(run, tmp_path):
    for name, target in [("folder", tmp_path / "data"), ("nowhere", tmp_path / "nothing")]:
        (run / name).symlink_to(target)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "kept").write_text("text")
    remove(run / "folder", run)
    remove(run / "nowhere", run)
    assert {path.name for path in run.iterdir()} == {"config.yaml"}
    assert (tmp_path / "data" / "kept").read_text() == "text"


def test_nothing_that_is_not_below_the_run_is_removed(run, tmp_path):
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "kept").write_text("text")
    (run / "link").symlink_to(tmp_path / "victim")
    (tmp_path / "run-2").mkdir()  # begins like the run's name
    paths = [tmp_path / "victim", run / ".." / "victim", run / "link" / "kept", run, tmp_path, tmp_path / "run-2"]
    for path in [*paths, run / "adapters" / ".." / "config.yaml"]:
        (run / "adapters").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match=r"is not below .*run; nothing outside a run folder is ever removed"):
            remove(path, run)
    assert (tmp_path / "victim" / "kept").read_text() == "text" and (run / "config.yaml").exists()
    assert (tmp_path / "run-2").is_dir()


# ---- one at a time


def test_a_second_process_is_refused_after_a_short_wait_and_may_go_when_the_first_is_done(tmp_path, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(run_folder.time, "sleep", waits.append)
    with only_one(tmp_path / "run", "train/mine"):
        with only_one(tmp_path / "run", "weigh"):  # another stage
            pass
        assert waits == []
        with pytest.raises(ValueError, match=r"^--run: another process is at work on 'train/mine'"):
            only_one(tmp_path / "run", "train/mine").__enter__()
        assert 2 <= sum(waits) <= 5  # seconds: children of a killed run look for their parent twice a second
    with only_one(tmp_path / "run", "train/mine"):
        pass


def test_the_lock_is_given_back_when_the_work_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder.time, "sleep", lambda seconds: None)
    with pytest.raises(KeyError), only_one(tmp_path, "train"):
        raise KeyError
    with only_one(tmp_path, "train"):
        pass


def test_children_of_a_killed_run_get_a_moment_to_leave(tmp_path, monkeypatch):
    first = only_one(tmp_path, "train")
    first.__enter__()
    monkeypatch.setattr(run_folder.time, "sleep", lambda seconds: first.__exit__(None, None, None))
    with only_one(tmp_path, "train"):
        pass
