"""Freed memory stays in a process that asks for the same again and again."""

import platform
import subprocess
import sys

import pytest

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator only")
def test_the_same_blocks_asked_for_again_are_no_new_pages():
    def faults(how: str) -> int:
        asked = subprocess.run([sys.executable, "-c", AGAIN, how], capture_output=True, text=True, check=True)
        return int(asked.stdout)

    pages = 5 * 40 * 3_000_000 // 4096
    assert faults("keep") < pages / 20 < pages / 2 < faults("as it is")
