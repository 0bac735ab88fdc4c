"""A stage for tests: squares of numbers. Its worker is slow, refuses, fails to start or dies, by what files say."""

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from synvita.core.stage import Resources, SetAside


@dataclass
class Squares:
    number: int = 20
    command: str = "weigh"
    what: str = "squares"
    folder: str = "scores/squares"
    file: str = "squares.jsonl"
    key_field: str = "name"
    unique: tuple = ("name", "power")
    batch: int = 3
    whole: bool = False
    stamp: dict = field(default_factory=lambda: {"power": 2})
    resources: Resources = field(default_factory=Resources)
    ready: bool = False

    def items(self, run):
        return list(range(self.number))[::-1]

    def key(self, item):
        return f"n{item:03}"

    def is_done(self, run, item, records):
        return bool(records)

    def setup(self):
        if self.stamp.get("broken"):
            raise ValueError("--scorers: no such checkpoint")
        self.ready = True

    def work(self, run, batch):
        """Files in the run say what goes wrong: `slow`, `refuse-N`, `die-N` (once: the file is gone then), `kill-N`."""
        assert self.ready
        run = Path(run)
        found = []
        with (run / "devices.txt").open("a") as out:
            out.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
        with (run / "asked.txt").open("a") as out:
            out.write(",".join(map(str, batch)) + "\n")
        for item in batch:
            if (run / "slow").exists():
                time.sleep(0.1)
            death = run / f"die-{item}"
            if death.exists() or (run / f"kill-{item}").exists():
                death.unlink(missing_ok=True)
                os.kill(os.getpid(), signal.SIGKILL)
            if (run / f"refuse-{item}").exists():
                found.append(SetAside(f"{item} has no square"))
            else:
                found.append([{"name": self.key(item), "power": p, "value": item**p} for p in (2, 3)])
        return found

    def close(self):
        self.ready = False


@dataclass
class Readers(Squares):
    """Readers of the same items: `read.txt` names an item each time that it is read, `parts.txt` who did which batch.
    Side by side they read for each other. One may fail to start (`fails`), or at an item (a file `fail-N`)."""

    had: set = field(default_factory=set)
    fails: bool = False

    def setup(self):
        if self.fails:
            raise ValueError("--scorers: no such checkpoint")
        super().setup()

    @staticmethod
    def share(stages):
        for stage in stages:
            stage.had = stages[0].had

    def work(self, run, batch):
        if any((Path(run) / f"fail-{item}").exists() for item in batch):
            raise ZeroDivisionError("division by zero")
        with (Path(run) / "read.txt").open("a") as out:
            out.writelines(f"{item}\n" for item in batch if item not in self.had)
        self.had |= set(batch)
        with (Path(run) / "parts.txt").open("a") as out:
            out.write(f"{os.getpid()} {self.folder} {','.join(map(str, batch))}\n")
        return super().work(run, batch)
