"""Processes beside this one that do arms, several at a time, one after the other in each."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

FROM_STDIN = "-"  # in the place of an arm's name
DONE = "done"  # a line that is no tick's


class Children:
    """The processes that do arms: `synvita arm`, which reads names from its input, because starting one anew costs
    seconds of imports. Each thread that calls `work` has one at a time."""

    def __init__(
        self,
        arguments: Sequence[str],
        names: Iterable[str],
        tick: Callable[..., None],
        processes: int = 1,
        environment: Mapping[str, str] | None = None,
    ):
        """`arguments`: of `synvita arm`, all but the arm's name. `processes`: that do one arm together."""
        self.arguments, self.processes, self.tick = arguments, processes, tick
        self.environment = os.environ | {"SYNVITA_PARENT": str(os.getpid())} | dict(environment or {})
        self.names = iter(names)  # shared by the threads
        self.started: list[subprocess.Popen[bytes]] = []
        self.failed: list[str] = []

    def work(self, own: Mapping[str, str] | None = None) -> None:
        """An arm after the other while there are any. `own`: environment of this thread's processes alone."""
        child: subprocess.Popen[bytes] | None = None
        arm = ""
        for arm in self.names:
            if self.failed:
                break
            child = child or self.start(arm, own or {})
            if not self.ask(child, arm):
                self.failed.append(arm)
            elif self.processes > 1:  # accelerate's launcher hands no input on
                self.end(child, arm)
                child = None
        if child is not None:
            self.end(child, arm)

    def start(self, arm: str, own: Mapping[str, str]) -> subprocess.Popen[bytes]:
        command, name = [sys.executable, "-m"], FROM_STDIN
        if self.processes > 1:
            launch = ["accelerate.commands.launch", "--num_processes", str(self.processes), "--num_machines", "1"]
            launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
            command += [*launch, "--multi_gpu", "-m"]  # on CPUs, too: its launcher for those wants MPI
            name = arm
        command += ["synvita.cli", "arm", "--arm", name, *self.arguments]
        child = subprocess.Popen(
            command, env=self.environment | dict(own), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.started.append(child)
        if self.failed:  # interrupted between the check before and the start
            child.terminate()
        return child

    def ask(self, child: subprocess.Popen[bytes], arm: str) -> bool:
        """Let a child do an arm; whether it did."""
        assert child.stdin is not None and child.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and so has its output
            child.stdin.write(f"{arm}\n".encode())
            child.stdin.flush()
        for line in child.stdout:
            text = line.decode("utf-8", "replace").strip()
            if text == DONE:
                return True
            self.tick(arm, text)
        return False

    def end(self, child: subprocess.Popen[bytes], arm: str) -> None:
        """Nothing more for this child: it leaves by itself."""
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        if child.wait() != 0 and not self.failed:
            self.failed.append(arm)

    def stop(self) -> None:
        """After a failure nobody goes on."""
        for child in self.started if self.failed else ():
            child.terminate()
