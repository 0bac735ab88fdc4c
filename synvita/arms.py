"""Arms, trained and asked in processes beside this one: several at a time, one after the other in each process."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from synvita.core.progress import progress, tick_parent
from synvita.core.run_folder import again, need, only_one
from synvita.core.store import parse_lines
from synvita.core.vocabulary import UNTRAINED
from synvita.recipes import RunConfig
from synvita.train.config import TrainConfig
from synvita.train.examples import weights_for
from synvita.weigh.weigh import unweighed

FROM_STDIN = "-"  # in the place of an arm's name
DONE = "done"  # a line that is no tick's


def arm_work(run: Path, config: RunConfig, arm: str, seed: int) -> int:
    """How often `train_and_evaluate` will tick for an arm: its training steps and its batches of questions."""
    from synvita.evaluate.tasks import batch_count, tasks

    out = run / "pairs" / arm / str(seed)
    work = batch_count({n: r for n, r in tasks(run).items() if not (out / f"{n}.jsonl").exists()}, config.evaluate)
    if arm != UNTRAINED and not (run / "adapters" / arm / str(seed) / "arm.json").exists():
        work += training_steps(run, config.train)
    return work


def training_steps(run: Path, config: TrainConfig) -> int:
    """How many optimiser steps an arm takes, if all its videos can be read."""
    lines = [fields for _, fields in parse_lines(run / "triplets.jsonl") if fields.get("split") == "train"]
    examples = len(lines) * (2 if config.grouping == "item" else 1)
    if config.grouping == "item" and config.explanations:
        examples += sum(bool(fields.get("explanation")) for fields in lines)
    if (run / "items.jsonl").exists():
        items = [fields for _, fields in parse_lines(run / "items.jsonl")]
        examples += len(items) if config.grouping == "item" else len({fields.get("triplet") for fields in items})
    return config.epochs * math.ceil(examples * (1 - config.held_out) / config.batch)


def train_and_evaluate(
    run: Path, config: RunConfig, arm: str, seed: int, tick: Callable[..., None] = lambda *_: None
) -> None:
    """One arm, trained (unless it is the untrained one) and asked every pair; what is there is kept."""
    from synvita.evaluate.tasks import evaluate_arm
    from synvita.train.loop import train_arm

    if arm != UNTRAINED:
        train_arm(run, arm, config.train.arms[arm], config.train, seed, tick)
    if int(os.environ.get("RANK", "0")):  # several processes train, one asks
        return
    train = config.train
    evaluate_arm(run, arm, seed, train.model, train.loading(), config.evaluate, tick, train.cache_gb)


def all_arms(config: RunConfig) -> list[str]:
    return [UNTRAINED, *config.train.arms]


def arms_of_a_parent(run: Path, config: RunConfig, arm: str, seed: int) -> None:
    """What `run_arms` starts: one arm, or each arm that stands on standard input, one a line.

    Each tick is a line on standard output, and so is DONE behind an arm.
    """
    for line in sys.stdin if arm == FROM_STDIN else [arm]:
        name = line.strip()
        with only_one(run, f"arm-{name}-{seed}"):
            train_and_evaluate(run, config, name, seed, tick_parent)
        sys.stdout.write(f"{DONE}\n")
        sys.stdout.flush()


def run_arms(
    run: Path, config: RunConfig, seed: int, workers: int, processes: int = 1, only: list[str] | None = None
) -> None:
    """Every arm (or `only` some), `workers` at a time. Stops at the first failure.

    On a CPU each has one thread. `processes`: how many train one arm together (accelerate launch).
    """
    triplets = need(run, "triplets.jsonl", "triplets make")
    arms = {name: arm for name, arm in config.train.arms.items() if only is None or name in only}
    if any(arm.weights != "none" for arm in arms.values()) and triplets.stat().st_size:
        rows = [row for arm in arms.values() for row in weights_for(run, arm)[0]]
        if number := unweighed(run, rows):
            sys.stderr.write(f"note: {number} clips have no weights, so no arm uses them; {again('weigh', run)}\n")
    fill_cache(run, config)
    cost = {name: (arm.weights != "none", arm.consistency_weight > 0) for name, arm in arms.items()}
    slowest_first = sorted(cost, key=lambda name: cost[name], reverse=True)
    names = [arm for arm in (*slowest_first, UNTRAINED) if only is None or arm in only]
    total = sum(arm_work(run, config, arm, seed) for arm in names)
    with progress(f"train + evaluate {len(names)} arms", total) as tick, ThreadPoolExecutor(workers) as pool:
        children = Children(run, config, seed, processes, names, tick)
        try:
            for worker in [pool.submit(children.work) for _ in range(min(workers, len(names)))]:
                worker.result()
        except BaseException:
            children.failed.append("interrupted")
            raise
        finally:
            children.stop()
    if children.failed:
        text = f"arm {children.failed[0]!r} failed (see above); the others are kept, run again to go on"
        raise ValueError(f"--run: {run}: {text}")


class Children:
    """The processes that do arms: `synvita arm`, which reads names from its input, because starting one anew costs
    seconds of imports. Each thread that calls `work` has one at a time."""

    def __init__(
        self, run: Path, config: RunConfig, seed: int, processes: int, names: Iterable[str], tick: Callable[..., None]
    ):
        self.run, self.seed, self.processes, self.tick = run, seed, processes, tick
        self.environment = os.environ | {"SYNVITA_PARENT": str(os.getpid())}
        if config.train.device == "cpu":
            self.environment["OMP_NUM_THREADS"] = "1"
        self.names = iter(names)  # shared by the threads
        self.started: list[subprocess.Popen[bytes]] = []
        self.failed: list[str] = []

    def work(self) -> None:
        """An arm after the other while there are any."""
        child: subprocess.Popen[bytes] | None = None
        arm = ""
        for arm in self.names:
            if self.failed:
                break
            child = child or self.start(arm)
            if not self.ask(child, arm):
                self.failed.append(arm)
            elif self.processes > 1:  # accelerate's launcher hands no input on
                self.end(child, arm)
                child = None
        if child is not None:
            self.end(child, arm)

    def start(self, arm: str) -> subprocess.Popen[bytes]:
        command, name = [sys.executable, "-m"], FROM_STDIN
        if self.processes > 1:
            launch = ["accelerate.commands.launch", "--num_processes", str(self.processes), "--num_machines", "1"]
            launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
            command += [*launch, "--multi_gpu", "-m"]  # on CPUs, too: its launcher for those wants MPI
            name = arm
        command += ["synvita.cli", "arm", "--run", str(self.run), "--arm", name, "--seed", str(self.seed)]
        child = subprocess.Popen(command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
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
            self.tick(f"{arm}: {text}" if text else "")
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


def fill_cache(run: Path, config: RunConfig) -> None:
    """Visual features of all videos once, before arms in parallel would each compute them."""
    from synvita.core.artefacts import read_clips
    from synvita.core.records import Item, Triplet
    from synvita.core.store import read_records
    from synvita.evaluate.tasks import tasks
    from synvita.videollm.models import load_model
    from synvita.videollm.visual import VisualStore

    videos = [t.video for t in read_records(run / "triplets.jsonl", Triplet) if t.split == "train"]
    videos += [clip.file for clip in read_clips(run).values()]
    if (run / "items.jsonl").exists():
        for item in read_records(run / "items.jsonl", Item):
            videos += [item.video, *(video for video, _ in item.clips)]
    videos += [row["video"] for rows in tasks(run).values() for row in rows]
    videos = list(dict.fromkeys(videos))
    model = load_model(config.train.model, config.train.loading())
    with only_one(run, "cache"), progress("visual features, once per video", len(videos)) as tick:
        store = VisualStore(model, run / "cache", run, config.train.decode_timeout, config.train.cache_gb)
        store.load(videos, tick, keep=False)
        store.close()
    sys.stderr.write(f"visual cache: {store.size() / 1e9:.2f} of {config.train.cache_gb:g} GB in {store.folder}\n")
