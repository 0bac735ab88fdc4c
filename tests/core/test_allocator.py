"""Freed memory stays in a process that asks for the same again and again."""

import platform
import subprocess
import sys

import pytest

from synvita import cli
from synvita.core.pool import in_processes

PAGES = 5 * 40 * 3_000_000 // 4096  # of what is asked for again
AGAIN = """
import resource, sys
from synvita.core.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def step():
    blocks = [bytearray(b"x") * 3_000_000 for _ in range(40)]
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults_of_a_worker(_: int) -> int:
    """What `AGAIN` counts, in this process as it is."""
    import resource

    def step() -> None:
        [bytearray(b"x") * 3_000_000 for _ in range(40)]

    step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator only")
def test_the_same_blocks_asked_for_again_are_no_new_pages():
    def faults(how: str) -> int:
        asked = subprocess.run([sys.executable, "-c", AGAIN, how], capture_output=True, text=True, check=True)
        return int(asked.stdout)

    assert faults("keep") < PAGES / 20 < PAGES / 2 < faults("as it is")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator only")
def test_workers_and_the_command_keep_what_they_free(monkeypatch, capsys):
    ((_, faults),) = in_processes(faults_of_a_worker, [(0, (0,))], 1)
    assert faults < PAGES / 20
    kept = []
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: kept.append(1))
    monkeypatch.setattr(sys, "argv", ["synvita", "benchmarks"])
    assert cli.main() == 0 and kept == [1]
