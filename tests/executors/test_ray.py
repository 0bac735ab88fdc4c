"""The Ray executor: the bytes of the local one; an actor or the driver is killed; no cluster answers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from squares import Squares
from test_local import WANT, hidden, records

from synvita.executors import ray
from synvita.executors.job import Outcome

HERE = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def no_session_of_other_tests():
    """One of theirs would not find `squares`."""
    ray.load_ray().shutdown()
    yield
    ray.load_ray().shutdown()


def test_two_actors_make_the_bytes_of_one_process_though_one_of_them_dies(tmp_path):
    (tmp_path / "die-10").touch()
    assert ray.run(Squares(), tmp_path, 2) == Outcome(20, 0, 0)
    assert not (tmp_path / "die-10").exists()  # it died, and another actor did its batch
    assert records(tmp_path) == WANT and hidden(tmp_path) == []
    (tmp_path / "refuse-19").touch()
    assert ray.run(Squares(), tmp_path, 2) == Outcome(0, 20, 0)


def test_a_batch_that_kills_every_actor_ends_the_run_with_one_line_and_keeps_the_rest(tmp_path):
    (tmp_path / "kill-0").touch()  # in the first batch by key
    with pytest.raises(ValueError, match=r"a worker of scores/squares died 4 times .*what was made is kept") as e:
        ray.run(Squares(), tmp_path, 1)
    assert "\n" not in str(e.value)
    assert (tmp_path / "asked.txt").read_text().splitlines().count("0,1,2") == 4
    (tmp_path / "kill-0").unlink()
    assert ray.run(Squares(), tmp_path, 1).set_aside == 0 and records(tmp_path) == WANT


def test_a_stage_that_cannot_be_set_up_ends_the_run_with_its_own_line(tmp_path):
    with pytest.raises(ValueError, match=r"^--scorers: no such checkpoint$"):
        ray.run(Squares(stamp={"broken": True}), tmp_path, 2)


def test_an_address_that_does_not_answer_is_one_line_within_30_seconds(tmp_path):
    start = time.monotonic()
    with pytest.raises(
        ValueError, match=r"--address: no Ray cluster answers at '127\.0\.0\.1:1' .*ray start --head"
    ) as e:
        ray.run(Squares(), tmp_path, 1, "127.0.0.1:1")
    assert "\n" not in str(e.value) and time.monotonic() - start < 30 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["here", "host:", "host:port", "http://x:1"])
def test_what_is_no_address_is_refused(tmp_path, address):
    with pytest.raises(ValueError, match=f"--address: '{address}' is no address; give host:port"):
        ray.run(Squares(), tmp_path, 1, address)
    assert list(tmp_path.iterdir()) == []


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"--executor: ray cannot be loaded .*pip install 'synvita\[cluster\]'"):
        ray.run(Squares(), tmp_path)
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from squares import Squares
from synvita.executors import ray
ray.run(Squares(), Path(sys.argv[1]), 2)
"""


@pytest.mark.slow
def test_a_driver_that_was_killed_and_started_again_loses_and_doubles_nothing(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "slow").touch()
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, run, HERE], start_new_session=True, stderr=subprocess.DEVNULL
    )
    while not (run / "asked.txt").exists() or len((run / "asked.txt").read_text().split()) < 4:
        assert child.poll() is None
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    (run / "slow").unlink()
    time.sleep(2)
    done = ray.run(Squares(), run, 2)
    assert done.made + done.kept == 20 and records(run) == WANT
