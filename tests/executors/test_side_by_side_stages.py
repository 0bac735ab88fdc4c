"""Several stages of the same items: whatever the number of workers is, the bytes of one stage after the other, and an
item is read once for all of them; nothing lost by a kill; errors say of which stage they are."""

import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest
from squares import Readers

from synvita.cli import one_line
from synvita.core.set_aside import read_set_aside
from synvita.executors import local
from synvita.executors.job import Outcome, merge
from synvita.executors.part import Shard

HERE = Path(__file__).parent
BATCHES = {"thin": 3, "wide": 6}


def stages(**changes):
    """Two readers; `changes`: name -> settings that differ."""
    own = {name: {"folder": f"scores/{name}", "batch": size} for name, size in BATCHES.items()}
    return [Readers(**settings | changes.get(name, {})) for name, settings in own.items()]


def made(run):
    """Every file of the stages' folders, so that what should have gone is seen, too."""
    return {p.relative_to(run).as_posix(): p.read_bytes() for p in (run / "scores").rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    run = tmp_path_factory.mktemp("apart")
    for stage in stages():
        local.run(stage, run)
    return made(run)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_bytes_are_those_of_one_after_the_other_and_each_item_is_read_once(tmp_path, apart, workers):
    assert local.side_by_side(stages(), tmp_path, workers) == [Outcome(20, 0, 0)] * 2
    assert made(tmp_path) == apart and len(apart) == 4
    assert Counter((tmp_path / "read.txt").read_text().split()) == {str(i): 1 for i in range(20)}
    parts = [line.split() for line in (tmp_path / "parts.txt").read_text().splitlines()]
    workers_seen = {pid for pid, _, _ in parts}
    of_worker = [[(name[7:], batch) for pid, name, batch in parts if pid == one] for one in workers_seen]
    first = [("thin", "0,1,2"), ("wide", "0,1,2,3,4,5"), ("thin", "3,4,5")]
    assert any(batches[:3] == first for batches in of_worker) and len(of_worker) <= workers
    assert local.side_by_side(stages(), tmp_path, workers) == [Outcome(0, 20, 0)] * 2  # nothing is left to do


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_set_aside_is_counted_and_named_for_each_stage(tmp_path, workers):
    (tmp_path / "refuse-4").touch()
    assert local.side_by_side(stages(), tmp_path, workers) == [Outcome(19, 0, 1)] * 2
    rows = [{"stage": f"weigh scores/{name}", "id": "n004", "reason": "4 has no square"} for name in BATCHES]
    assert read_set_aside(tmp_path) == rows


def test_shards_in_several_processes_are_merged_to_the_same_bytes(tmp_path, apart):
    for number in (2, 1):
        local.side_by_side(stages(), tmp_path, 2, Shard(number, 2))
    assert [merge(stage, tmp_path) for stage in stages()] == [Outcome(20, 0, 0)] * 2
    assert made(tmp_path) == apart


PROCESS = textwrap.dedent("""
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from test_side_by_side_stages import stages
    from synvita.executors import local
    if __name__ == "__main__":
        local.side_by_side(stages(), Path(sys.argv[2]), 2)
""")


def test_a_kill_of_several_processes_loses_what_was_under_way_at_most(tmp_path, apart):
    run, script = tmp_path / "run", tmp_path / "process.py"
    run.mkdir()
    script.write_text(PROCESS)
    (run / "slow").touch()
    child = subprocess.Popen([sys.executable, script, HERE, run], stderr=subprocess.PIPE)
    journals = [run / f"scores/{name}/.squares.journal" for name in BATCHES]
    deadline = time.monotonic() + 15
    while not all(path.exists() and path.stat().st_size for path in journals):
        assert child.poll() is None and time.monotonic() < deadline, child.stderr.read().decode()
        time.sleep(0.02)
    child.kill()
    child.communicate()
    (run / "slow").unlink()
    time.sleep(1.0)  # its workers notice
    kept = [len(path.read_text().splitlines()) for path in journals]
    assert all(0 < number < 20 for number in kept)
    (run / "parts.txt").unlink()
    done = local.side_by_side(stages(), run, 2)
    assert [(outcome.kept, outcome.made) for outcome in done] == [(number, 20 - number) for number in kept]
    again = {name: 0 for name in BATCHES}
    for line in (run / "parts.txt").read_text().splitlines():
        _, name, batch = line.split()
        again[name[7:]] += len(batch.split(","))
    assert list(again.values()) == [20 - number for number in kept]  # whole batches were kept: none is done twice
    assert made(run) == apart


def test_a_stage_with_nothing_left_to_do_is_not_set_up(tmp_path, apart):
    local.run(stages()[0], tmp_path)
    broken = {"thin": {"fails": True}}
    assert local.side_by_side(stages(**broken), tmp_path, 2) == [Outcome(0, 20, 0), Outcome(20, 0, 0)]
    assert made(tmp_path) == apart


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stage_that_fails_says_which_it_is(tmp_path, workers):
    with pytest.raises(ValueError, match="no such checkpoint") as error:
        local.side_by_side(stages(wide={"fails": True}), tmp_path, workers)
    assert one_line(error.value) == "--scorers: no such checkpoint (scores/wide)"
    (tmp_path / "fail-7").touch()
    with pytest.raises(ZeroDivisionError) as failed:
        local.side_by_side(stages(), tmp_path, workers)
    assert one_line(failed.value) == "division by zero (scores/thin)"
    (tmp_path / "fail-7").unlink()
    done = local.side_by_side(stages(), tmp_path, workers)
    assert [outcome.made + outcome.kept for outcome in done] == [20, 20]


def test_a_worker_that_dies_ends_the_run_in_one_line_and_what_was_made_is_kept(tmp_path, apart):
    (tmp_path / "die-10").touch()
    said = r"a worker of scores/thin, scores/wide died .*what was made is kept, once more: synvita weigh"
    with pytest.raises(ValueError, match=said):
        local.side_by_side(stages(), tmp_path, 2)
    local.side_by_side(stages(), tmp_path, 2)
    assert made(tmp_path) == apart
