"""An arm's folders are inside the run folder, whatever it is called, and its file says what it was trained without."""

import json
from pathlib import Path

import pytest
from small import HOME

from synvita.train import loop
from synvita.train.arm_folder import adapter_folder, checkpoint_folder, set_aside_by
from synvita.train.arms import Arm
from synvita.train.checkpoint import State, save_state, saved_states
from synvita.train.config import TrainConfig
from synvita.train.loop import train_arm

OUTSIDE = ("/abs", "../../rel", "../victim", "..", "a/../../../victim", "off_the_shelf", "")


@pytest.fixture
def victim(tmp_path) -> Path:
    """A folder beside the run folder with somebody's file at every depth that a training might remove."""
    victim = tmp_path / "victim"
    for folder in (victim, victim / "0", victim / ".0.part", victim / "step-000001"):
        folder.mkdir()
        (folder / "thesis.txt").write_text("years of work", encoding="utf-8")
    return victim


def everything(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text(encoding="utf-8") for p in folder.rglob("*") if p.is_file()}


def test_training_refuses_a_name_that_leads_out_of_the_run_and_removes_nothing(victim, tmp_path, monkeypatch):
    """`train_arm` itself does, before it reads or makes anything."""
    run = tmp_path / "deep" / "run"
    run.mkdir(parents=True)
    before = everything(victim)
    monkeypatch.setattr(loop, "join", lambda *_: pytest.fail("went on"))
    for name in (str(victim), *OUTSIDE):
        with pytest.raises(ValueError, match=r"^--train\.arms: "):
            train_arm(run, name, Arm(), TrainConfig(), 0)
    for seed in (-1, "../../../victim", str(victim), True):
        with pytest.raises(ValueError, match=r"^--train\.seed: "):
            train_arm(run, "arm", Arm(), TrainConfig(), seed)
    assert everything(victim) == before and len(before) == 4
    assert list(run.iterdir()) == []


@pytest.mark.parametrize("kind", ["adapters", "checkpoints"])
@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4])
def test_a_link_out_of_the_run_folder_is_refused_before_anything_is_trained(victim, tmp_path, monkeypatch, kind, depth):
    run = tmp_path / "run"
    home = run / HOME
    links = [home / kind, home / kind / "victim", home / kind / "victim" / "0", home, home.parent]
    links[depth].parent.mkdir(parents=True)
    links[depth].symlink_to([tmp_path, victim, victim / "0", tmp_path, tmp_path][depth])
    before = everything(victim)
    monkeypatch.setattr(loop, "join", lambda *_: pytest.fail("went on"))
    with pytest.raises(ValueError, match=r"victim/0: a link leads out of .*run"):
        train_arm(run, "victim", Arm(), TrainConfig(), 0)
    assert everything(victim) == before


def test_a_checkpoint_that_is_a_link_goes_and_what_it_points_to_stays(victim, tmp_path):
    folder = tmp_path / "run" / "checkpoints" / "arm" / "0"
    folder.mkdir(parents=True)
    for name in ("step-000001", "step-000002", ".step-000003.1.part"):
        (folder / name).symlink_to(victim)
    (victim / "state.json").write_text("{}", encoding="utf-8")  # so that it counts as a checkpoint
    before = everything(victim)
    for step in (4, 5):
        save_state(folder, State(step, {}, {}, {}))
    assert [p.name for p in saved_states(folder)] == ["step-000004", "step-000005"]
    assert sorted(p.name for p in folder.iterdir()) == ["step-000004", "step-000005"]
    assert everything(victim) == before


def test_the_run_folder_itself_may_be_a_link_and_may_be_given_by_dots(tmp_path, monkeypatch):
    (tmp_path / "real" / "below").mkdir(parents=True)
    (tmp_path / "run").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path / "real" / "below")
    for run in (tmp_path / "run", Path("../../run"), Path("..")):
        assert adapter_folder(run, "models/m", "arm", 7) == tmp_path / "real/models/m/adapters/arm/7"
        assert checkpoint_folder(run, "models/m", "arm", 7) == tmp_path / "real/models/m/checkpoints/arm/7"


# ---- what was set aside


def written(run: Path, facts: object) -> Path:
    folder = run / "adapters" / "arm" / "0"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "arm.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def test_what_an_arm_was_trained_without_is_read_from_its_file(tmp_path):
    written(tmp_path, {"set_aside": [{"video": "clips/a.mp4", "reason": "é"}, {"video": "v.mp4", "reason": "cut"}]})
    assert set_aside_by(tmp_path, ".", "arm", 0) == {"clips/a.mp4": "é", "v.mp4": "cut"}
    written(tmp_path, {"set_aside": []})
    assert set_aside_by(tmp_path, ".", "arm", 0) == {}


@pytest.mark.parametrize(
    "facts", [{"set_aside": value} for value in (None, 3, "ab", ["a"], [{"video": "v"}])] + [{}, []]
)
def test_an_edited_file_of_facts_is_named(tmp_path, facts):
    folder = written(tmp_path, facts)
    with pytest.raises(ValueError, match=rf"^{folder}/arm.json: .*(set_aside|object)"):
        set_aside_by(tmp_path, ".", "arm", 0)


def test_an_arm_that_is_not_trained_is_not_taken_for_one_that_used_everything(tmp_path):
    with pytest.raises(ValueError, match=r"no trained arm 'arm' of seed 0; first run: synvita train --run"):
        set_aside_by(tmp_path, ".", "arm", 0)
    with pytest.raises(ValueError, match="off_the_shelf"):
        set_aside_by(tmp_path, ".", "off_the_shelf", 0)
