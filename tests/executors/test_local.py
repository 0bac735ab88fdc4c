"""The local executor: the same bytes however it is done, nothing lost or doubled by a kill, errors in one line."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from squares import Squares

from synvita.core.run_folder import only_one
from synvita.core.set_aside import read_set_aside
from synvita.core.stage import Resources
from synvita.executors import local
from synvita.executors.job import Outcome, merge, state
from synvita.executors.part import Shard

HERE = Path(__file__).parent
WANT = [{"name": f"n{i:03}", "power": p, "value": i**p} for i in range(20) for p in (2, 3)]


def records(run):
    return [json.loads(line) for line in (run / "scores/squares/squares.jsonl").read_text().splitlines()]


def asked(run):
    """The batches that were worked on since the last look."""
    path = run / "asked.txt"
    lines = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def hidden(run):
    """What is left in the folder beside its records and stamp."""
    return sorted(p.name for p in (run / "scores/squares").iterdir() if p.name not in ("squares.jsonl", "stamp.json"))


@pytest.mark.parametrize("workers", [1, 2])
def test_records_stand_in_the_order_of_their_keys_and_a_second_run_does_nothing(tmp_path, workers):
    assert local.run(Squares(), tmp_path, workers) == Outcome(20, 0, 0)
    assert records(tmp_path) == WANT and hidden(tmp_path) == []
    assert sorted(asked(tmp_path)) == sorted(",".join(map(str, range(i, min(i + 3, 20)))) for i in range(0, 20, 3))
    assert local.run(Squares(), tmp_path, workers) == Outcome(0, 20, 0) and asked(tmp_path) == []


def test_what_is_added_later_is_made_and_what_is_there_is_kept(tmp_path):
    local.run(Squares(8), tmp_path)
    first = records(tmp_path)
    asked(tmp_path)
    assert local.run(Squares(20), tmp_path) == Outcome(12, 8, 0)
    assert records(tmp_path) == WANT and first == WANT[:16]
    assert "0,1,2" not in asked(tmp_path)


def test_an_item_that_is_refused_is_named_and_tried_again(tmp_path):
    (tmp_path / "refuse-4").touch()
    assert local.run(Squares(), tmp_path) == Outcome(19, 0, 1)
    row = {"stage": "weigh scores/squares", "id": "n004", "reason": "4 has no square"}
    assert read_set_aside(tmp_path) == [row] and records(tmp_path) == [r for r in WANT if r["name"] != "n004"]
    assert local.run(Squares(), tmp_path) == Outcome(0, 19, 1)  # not forgotten
    (tmp_path / "refuse-4").unlink()
    asked(tmp_path)
    assert local.run(Squares(), tmp_path) == Outcome(1, 19, 0)
    assert asked(tmp_path) == ["3,4,5"]  # its whole batch, as the first time
    assert records(tmp_path) == WANT and read_set_aside(tmp_path) == []


PROCESS = textwrap.dedent("""
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from squares import Squares
    from synvita.executors import local
    if __name__ == "__main__":
        local.run(Squares(), Path(sys.argv[2]), int(sys.argv[3]))
""")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_kill_in_the_middle_loses_the_batch_in_flight_at_most(tmp_path, workers):
    run, script = tmp_path / "run", tmp_path / "process.py"
    run.mkdir()
    script.write_text(PROCESS)
    (run / "slow").touch()
    child = subprocess.Popen([sys.executable, script, HERE, run, str(workers)], stderr=subprocess.PIPE)
    journal = run / "scores/squares/.squares.journal"
    while not (run / "asked.txt").exists() or len((run / "asked.txt").read_text().split()) < 4:
        assert child.poll() is None, child.stderr.read().decode()
        time.sleep(0.02)
    child.kill()
    child.communicate()
    with journal.open("a") as out:
        out.write('{"key": "n0')  # torn
    (run / "slow").unlink()
    time.sleep(1.0)  # its workers notice
    asked(run)
    done = local.run(Squares(), run, workers)
    assert done.made + done.kept == 20 and records(run) == WANT and hidden(run) == []


def test_ctrl_c_ends_the_workers_too(tmp_path):
    run, script = tmp_path / "run", tmp_path / "process.py"
    run.mkdir()
    script.write_text(PROCESS)
    (run / "slow").touch()
    command = [sys.executable, script, HERE, run, "2"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=listens)
    while not (run / "asked.txt").exists():
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=10)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    deadline = time.monotonic() + 5
    while subprocess.run(["pgrep", "-g", str(child.pid)], stdout=subprocess.DEVNULL).returncode == 0:
        assert time.monotonic() < deadline, "a worker lives on"
        time.sleep(0.1)
    (run / "slow").unlink()
    assert local.run(Squares(), run).set_aside == 0 and records(run) == WANT


def listens():
    """Ctrl-C reaches a process even where this one was started deaf to it (nohup)."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_results_that_were_kept_are_not_worked_on_again(tmp_path):
    class Stops(Squares):
        def work(self, run, batch):
            if 9 in batch:
                raise KeyboardInterrupt
            return super().work(run, batch)

    with pytest.raises(KeyboardInterrupt):
        local.run(Stops(), tmp_path)
    assert asked(tmp_path) == ["0,1,2", "3,4,5", "6,7,8"] and not (tmp_path / "scores/squares/squares.jsonl").exists()
    assert state(Squares(), tmp_path) == "9 there, 9 of them from a run that has not ended, 11 missing"
    assert local.run(Squares(), tmp_path) == Outcome(11, 9, 0)
    assert asked(tmp_path) == ["9,10,11", "12,13,14", "15,16,17", "18,19"] and records(tmp_path) == WANT
    assert state(Squares(), tmp_path) == "20 there, 0 missing"


def test_a_worker_that_dies_ends_the_run_in_one_line_and_what_was_made_is_kept(tmp_path):
    (tmp_path / "die-10").touch()
    with pytest.raises(
        ValueError, match=r"a worker of scores/squares died .*what was made is kept, once more: synvita weigh"
    ):
        local.run(Squares(), tmp_path, 2)
    assert local.run(Squares(), tmp_path, 2).set_aside == 0 and records(tmp_path) == WANT


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stage_that_cannot_be_set_up_ends_the_run_with_its_own_line(tmp_path, workers):
    with pytest.raises(ValueError, match=r"^--scorers: no such checkpoint$"):
        local.run(Squares(stamp={"broken": True}), tmp_path, workers)
    assert not (tmp_path / "scores/squares/squares.jsonl").exists()
    assert local.run(Squares(), tmp_path, workers) == Outcome(20, 0, 0)  # other settings: nothing was made with those


def test_other_settings_are_refused_with_what_differs_and_the_way_out(tmp_path):
    local.run(Squares(), tmp_path)
    with pytest.raises(ValueError, match=r"squares was made otherwise \(power: 2 -> 3\); .* remove that folder"):
        local.run(Squares(stamp={"power": 3}), tmp_path)
    assert records(tmp_path) == WANT


def test_two_at_once_on_one_folder_are_refused(tmp_path):
    name = "scores/squares/squares.jsonl"
    with only_one(tmp_path, name), pytest.raises(ValueError, match="another process is at work"):
        local.run(Squares(), tmp_path)


def test_results_that_do_not_fit_the_batch_are_refused(tmp_path):
    class Short(Squares):
        def work(self, run, batch):
            return super().work(run, batch)[1:]

    with pytest.raises(ValueError, match="scores/squares: gave 2 results of 3 items"):
        local.run(Short(), tmp_path)


def test_each_of_several_workers_sees_a_gpu_of_its_own_where_the_stage_wants_one(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    local.run(Squares(resources=Resources(gpus=1.0)), tmp_path, 2)
    seen = {tuple(line.split()) for line in (tmp_path / "devices.txt").read_text().splitlines()}
    assert len(dict(seen)) == len(seen) <= 2 and {device for _, device in seen} <= {"4", "7"}
    assert local.devices_of([Squares(resources=Resources(gpus=1.0))], 3) == ["4", "7", "4"]
    assert local.devices_of([Squares()], 2) == [None, None]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert local.devices_of([Squares(resources=Resources(gpus=1.0))], 2) == [None, None]


# ---- shards


def test_shards_merged_are_the_bytes_of_one_process(tmp_path):
    for i in (3, 1, 2):
        done = local.run(Squares(), tmp_path, part=Shard(i, 3))
        assert done.made + done.left == 20 and not (tmp_path / "scores/squares/squares.jsonl").exists()
    assert hidden(tmp_path) == [f"squares.shard-{i}-of-3" for i in (1, 2, 3)]
    assert merge(Squares(), tmp_path) == Outcome(20, 0, 0)
    assert records(tmp_path) == WANT and hidden(tmp_path) == []
    with pytest.raises(ValueError, match="no shards wait"):
        merge(Squares(), tmp_path)
    assert len(asked(tmp_path)) == 7  # no batch twice


def test_shards_add_to_what_is_there_and_name_what_is_set_aside(tmp_path):
    local.run(Squares(8), tmp_path)
    (tmp_path / "refuse-13").touch()
    for i in (1, 2):
        local.run(Squares(), tmp_path, part=Shard(i, 2))
    assert read_set_aside(tmp_path) == []  # of no shard: they may run at the same time
    assert merge(Squares(), tmp_path) == Outcome(11, 8, 1)
    assert [row["id"] for row in read_set_aside(tmp_path)] == ["n013"]
    assert records(tmp_path) == [r for r in WANT if r["name"] != "n013"]


def test_a_shard_that_is_missing_or_has_not_ended_is_named_with_its_command(tmp_path):
    local.run(Squares(), tmp_path, part=Shard(1, 3))
    local.run(Squares(), tmp_path, part=Shard(2, 3))
    with pytest.raises(ValueError, match=r"shard 3/3 is missing; run: synvita weigh --run .* --shard 3/3"):
        merge(Squares(), tmp_path)
    path = tmp_path / "scores/squares/squares.shard-2-of-3"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-2]))
    local.run(Squares(), tmp_path, part=Shard(3, 3))
    with pytest.raises(ValueError, match="shard 2/3 has not ended"):
        merge(Squares(), tmp_path)
    asked(tmp_path)
    local.run(Squares(), tmp_path, part=Shard(2, 3))
    assert len(asked(tmp_path)) == 1  # the batch that was lost
    assert merge(Squares(), tmp_path) == Outcome(20, 0, 0) and records(tmp_path) == WANT


def test_shards_of_another_number_and_a_whole_run_wait_for_the_merge(tmp_path):
    local.run(Squares(), tmp_path, part=Shard(1, 3))
    for shard in (None, Shard(1, 2)):
        with pytest.raises(ValueError, match=r"squares\.shard-1-of-3 waits for its other shards; .*synvita merge"):
            local.run(Squares(), tmp_path, part=shard)


@pytest.mark.parametrize("text", ["3/2", "0/2", "1/0", "-1/2", "1", "a/b", "1/2/3", ""])
def test_a_shard_that_cannot_be_is_refused(text):
    with pytest.raises(ValueError, match=rf"--shard: '{text}' is no shard; give i/n with i from 1 to n, as in 3/8"):
        Shard.parse(text)
