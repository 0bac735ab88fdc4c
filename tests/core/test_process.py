"""A child ends when nobody is there to end it."""

import os
import subprocess
import sys
import time

import pytest

from synvita.core import process
from synvita.core.process import alive, leave_with

CHILD = "import os, time; from synvita.core.process import watch_parent; watch_parent({parent}); time.sleep(60)"
PARENT = """import subprocess, sys, os
code = {child!r}.replace('{{parent}}', str(os.getpid()))
print(subprocess.Popen([sys.executable, '-c', code]).pid, flush=True)
sys.stdin.read()"""


def gone(number: int) -> bool:
    """Whether a process has ended; one that nobody waits for may stay as a zombie."""
    if not alive(number):
        return True
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True, check=False)
    return state.stdout.strip().startswith("Z")


def test_a_child_lives_as_long_as_its_parent_and_ends_with_it():
    code = PARENT.format(child=CHILD)
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    time.sleep(1.2)
    assert not gone(child)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while not gone(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert gone(child)


def test_a_process_that_has_ended_is_not_alive():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert alive(os.getpid()) and not alive(ended.pid)


def test_watching_keeps_no_process_that_is_done_with_its_work():
    code = "import os; from synvita.core.process import watch_parent; watch_parent(os.getppid())"
    assert subprocess.run([sys.executable, "-c", code], timeout=20, check=False).returncode == 0


class Ended(Exception):
    pass


@pytest.mark.parametrize("direct", [True, False])
def test_the_parent_is_asked_for_until_it_is_gone_also_behind_a_launcher(monkeypatch, direct):
    """Direct: our parent's number changes when it dies. Behind a launcher: that number's process is gone."""
    looks = []

    def leave(status: int) -> None:
        raise Ended(status)

    def parents() -> int:
        return 7 if direct and len(looks) < 3 else 1

    monkeypatch.setattr(process.time, "sleep", looks.append)
    monkeypatch.setattr(process.os, "getppid", parents)
    monkeypatch.setattr(process.os, "_exit", leave)
    monkeypatch.setattr(process, "alive", lambda number: number == 7 and len(looks) < 3 and not direct)
    with pytest.raises(Ended, match=r"^1$"):
        leave_with(7)
    assert len(looks) == 3 and max(looks) <= 1  # within a second
