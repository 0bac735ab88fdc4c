"""`make mutants`: small changes of the code that decides about numbers; the tests must notice nearly all of them.

A mutant is one change by one of mutmut's operators (`+` to `-`, an argument to None or left out, `<` to `<=`, ...; see
`mutant_sample.py`). It is killed if the module's own tests fail or hang. A copy of the checkout in a temporary folder
is changed, never the checkout. Each mutant is tested in a fork of a process that has imported torch already, which
saves seconds each.

Exit status 0: enough were killed; 1: too few; 2: the tests fail without any mutant, or are not there.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mutant_sample import Mutant, sample

ENOUGH = 0.85
CHECKOUT = Path(__file__).parents[1]
TESTS = {  # module of synvita: its own tests, the quickest first
    "core/alignment": ["core/test_alignment.py"],
    "core/backends": ["core/test_backends.py"],
    "core/identity": ["core/test_identity.py"],
    "core/packing": ["core/test_packing.py"],
    "core/pool": ["executors/test_local.py"],
    "core/provenance": ["core/test_provenance.py"],
    "core/shared_decoder": ["weigh/test_side_by_side.py"],
    "core/stage": ["core/test_stamps.py"],
    "core/store": ["core/test_store.py"],
    "core/vocabulary": ["core/test_vocabulary.py"],
    "evaluate/ask": ["evaluate/test_ask.py"],
    "evaluate/audit": ["evaluate/test_audit.py"],
    "evaluate/intervals": ["evaluate/test_metrics.py"],
    "evaluate/metrics": ["evaluate/test_metrics.py"],
    "evaluate/pairs": ["evaluate/test_pairs.py", "evaluate/test_results.py"],
    "evaluate/results": ["evaluate/test_results.py"],
    "evaluate/tasks": ["evaluate/test_tasks.py"],
    "evaluate/weight_quality": ["evaluate/test_weight_quality.py"],
    "executors/job": ["executors/test_local.py", "evaluate/test_ask.py"],
    "generate/clips": ["generate/test_clips.py", "test_own_generators.py"],
    "ranking/rank": ["ranking/test_rank.py"],
    "train/examples": ["train/test_examples.py", "train/test_objective.py"],
    "train/losses": ["train/test_losses.py"],
    "train/objective": ["train/test_objective.py", "train/test_gradients.py", "train/test_golden_objective.py"],
    "train/shared_semantics": ["train/test_shared_semantics.py"],
    "videollm/scoring": ["videollm/test_engine.py"],
    "videollm/visual": ["videollm/test_visual_store.py", "videollm/test_visual_key.py"],
    "weigh/clip_flant5": ["weigh/test_clip_flant5.py"],
    "weigh/image_scorer": ["weigh/test_llava_layouts.py", "weigh/test_side_by_side.py"],
    "weigh/instructblip": ["weigh/test_instructblip.py"],
    "weigh/llava": ["weigh/test_llava_layouts.py", "weigh/test_llava.py"],
    "weigh/stage": ["weigh/test_stage.py"],
    "weigh/video_llm": ["weigh/test_modern_scorers.py", "weigh/test_video_llm.py"],
    "weigh/weigh": ["weigh/test_stage.py", "test_own_generators.py"],
    "weigh/weights": ["weigh/test_weights.py"],
}


@dataclass
class Run:
    """The tests of one module, with one mutant of it or none, and how they ended: `status` -1 if they hang."""

    module: str
    mutant: Mutant | None = None
    limit: float = 300.0  # seconds
    status: int = 0
    seconds: float = 0.0
    output: str = ""


class Place:
    """A copy of the checkout, in which one set of tests runs at a time."""

    def __init__(self, folder: Path):
        self.folder, self.log, self.run, self.process, self.began = folder, folder / "tests.log", Run(""), 0, 0.0
        listed = ["git", "-C", str(CHECKOUT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0"):
            if name and (CHECKOUT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(CHECKOUT / name, folder / name)

    def source(self, module: str) -> Path:
        return self.folder / "synvita" / f"{module}.py"

    def start(self, run: Run) -> None:
        self.run, self.original, self.began = run, self.source(run.module).read_text("utf-8"), time.monotonic()
        if run.mutant:
            self.source(run.module).write_text(run.mutant.text, "utf-8")
        self.process = os.fork()
        if not self.process:
            try:
                self.run_tests()
            finally:
                os._exit(70)

    def run_tests(self) -> None:
        """In the fork; never returns."""
        os.setsid()
        os.chdir(self.folder)
        for stream in (1, 2):
            os.dup2(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND), stream)
        os.environ |= {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        sys.path.insert(0, str(self.folder))
        sys.dont_write_bytecode = True
        import pytest

        import synvita

        assert Path(synvita.__file__).is_relative_to(self.folder), synvita.__file__
        scratch = self.folder.with_name(f"{self.folder.name}-scratch")
        tests = [f"tests/{test}" for test in TESTS[self.run.module]]
        status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={scratch}", *tests])
        sys.stdout.flush()
        os._exit(status)

    def ended(self) -> Run | None:
        """The run if it is over or took too long; the copy is as it was then."""
        if not self.process:
            return None
        process, status = os.waitpid(self.process, os.WNOHANG)
        self.run.seconds = time.monotonic() - self.began
        if not process and self.run.seconds < self.run.limit:
            return None
        self.run.status = os.waitstatus_to_exitcode(status) if process else -1
        self.stop()
        self.run.output = self.log.read_text("utf-8", "replace")
        self.source(self.run.module).write_text(self.original, "utf-8")
        return self.run

    def stop(self) -> None:
        """End the tests and what they have left behind: they are a session of their own."""
        for end in (os.killpg, os.kill) if self.process else ():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                end(self.process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.process, 0)
        self.process = 0


def run_all(runs: Iterable[Run], places: list[Place]) -> Iterator[Run]:
    """The runs as they end, as many at a time as there are places."""
    waiting = deque(runs)
    try:
        while waiting or any(place.process for place in places):
            for place in places:
                if (run := place.ended()) is not None:
                    yield run
                if not place.process and waiting:
                    place.start(waiting.popleft())
            time.sleep(0.02)
    finally:
        for place in places:
            place.stop()


def warm_up() -> None:
    """Import once what every fork needs; nothing of synvita, which differs from fork to fork."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import hypothesis
    import pytest
    import sklearn.metrics
    import torch
    import transformers
    import yaml

    torch.set_num_threads(1)
    del hypothesis, pytest, sklearn, transformers, yaml


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modules", default=",".join(TESTS), help="some of them, as in evaluate/metrics,train/losses")
    parser.add_argument("--sample", type=int, default=20, help="mutants per module (20)")
    parser.add_argument("--seed", type=int, default=0, help="another sample (0)")
    arguments = parser.parse_args()
    modules = arguments.modules.split(",")
    unknown = sorted(set(modules) - set(TESTS))
    if unknown:
        parser.error(f"--modules: unknown {unknown[0]!r}; known: {', '.join(TESTS)}")
    del sys.path[0]  # tests/ of the checkout: each fork has the copy's
    began = time.monotonic()
    warm_up()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        places = [Place(Path(folder) / str(number)) for number in range(2)]
        return measure(modules, arguments.sample, arguments.seed, places, began)


def measure(modules: list[str], count: int, seed: int, places: list[Place], began: float) -> int:
    """Print counts and survivors; the exit status."""
    limits = {}
    for run in run_all([Run(module) for module in modules], places):
        if run.status:
            print(f"{run.module}: its tests fail without any mutant (exit {run.status}):\n{run.output[-2000:]}")
            return 2  # the other runs are stopped
        limits[run.module] = 20 + 4 * run.seconds
    originals = {module: places[0].source(module).read_text("utf-8") for module in modules}
    mutants = [mutant for module in modules for mutant in sample(module, originals[module], count, seed)]
    made, killed, survivors = Counter(mutant.module for mutant in mutants), Counter[str](), []
    for run in run_all([Run(mutant.module, mutant, limits[mutant.module]) for mutant in mutants], places):
        assert run.mutant
        killed[run.module] += run.status != 0
        if not run.status:
            survivors.append(run.mutant)
        print(f"{'killed' if run.status else 'SURVIVED':<9} {run.module:<24} {run.seconds:4.1f} s", file=sys.stderr)
    for mutant in sorted(survivors, key=lambda mutant: mutants.index(mutant)):
        print(mutant.diff(originals[mutant.module]), end="\n\n")
    for module in modules:
        print(f"{module:<24} {killed[module]:>3} of {made[module]}")
    share = killed.total() / max(1, made.total())
    print(f"{'all':<24} {killed.total():>3} of {made.total()} killed: {share:.1%}, seed {seed}, ", end="")
    print(f"{(time.monotonic() - began) / 60:.0f} minutes")
    return 0 if share >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main())
