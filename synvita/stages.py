"""The stages in order on one run folder; each goes on where a killed run was. Arms are trained two at a time."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from synvita.core.artefacts import CLIPS, SCORES
from synvita.core.progress import progress, tick_parent
from synvita.core.reading import read_json
from synvita.core.run_folder import again, only_one
from synvita.core.set_aside import read_set_aside
from synvita.core.stage import Stage, check_stamp
from synvita.core.store import parse_lines
from synvita.executors import local
from synvita.executors.job import Outcome, Shard
from synvita.recipes import RunConfig
from synvita.train.config import UNTRAINED, TrainConfig

FROM_STDIN = "-"  # in the place of an arm's name
DONE = "done"  # a line that is no tick's


def check_backends(config: RunConfig, command: str) -> None:
    """What a configuration names, looked for before any work: models, scorers, devices.

    What the command itself uses must be there; what only later stages use may be on another machine, so that is a note.

    Raises:
        ValueError: a device or a checkpoint that the command needs and this machine does not have.
    """
    from synvita.videollm.checkpoints import look_for

    train = {f"--train.{part}": getattr(config.train, part) for part in ("model", "tower", "base")}
    weigh = {f"--weigh.models.{name}": config.weigh.models.get(name) for name in config.weigh.every}
    uses = {"train": train, "arm": train, "weigh": weigh, "demo": train | weigh}.get(command, {})
    if command in ("train", "arm", "demo"):
        check_device(config.train.device, "--train.device")
    if command in ("evaluate", "report"):
        return
    for knob, name in (train | weigh).items():
        try:
            if name is not None:
                look_for(name, knob)
        except ValueError as error:
            if knob in uses:
                raise
            sys.stderr.write(f"note: {error} (a later stage needs it)\n")


def check_device(device: str, knob: str) -> None:
    if device != "cpu":  # torch takes seconds to import
        from synvita.videollm import protocol

        protocol.check_device(device, knob)


def check_stamps(run: Path, config: RunConfig) -> None:
    """Settings that clips or scores of this run were not made with are refused before anything is written.

    Raises:
        ValueError: as `core.stage.check_stamp`.
    """
    if any(run.glob(SCORES)):
        from synvita.weigh.stage import ScoreClips

        for name in config.weigh.every:
            check_stamp(run, ScoreClips(config.weigh, name))
    name = config.generate.generator
    if (run / "clips" / name).exists():  # one's own, module:Class, is loaded by its stage only
        from synvita.generate.clips import MakeClips

        check_stamp(run, MakeClips(config.generate))


def need(run: Path, name: str, command: str) -> Path:
    """A file that an earlier stage writes; ValueError names the command that makes it."""
    path = run / name
    if not path.exists():
        raise ValueError(f"--run: {run} has no {name}; first run: {again(command, run)}")
    return path


def count_lines(path: Path) -> int:
    return sum(1 for _ in parse_lines(path))


def make_triplets(run: Path, config: RunConfig) -> None:
    """The miniature's triplets, videos and benchmarks."""
    from synvita.world.dataset import build, video_count

    if (run / "triplets.jsonl").exists():
        return
    if config.world is None:
        raise ValueError(f"--run: {run} has no triplets.jsonl; first run: {again('triplets import TABLE', run)}")
    with only_one(run, "triplets"), progress("triplets: writing real videos", video_count(config.world)) as tick:
        build(run, config.world, tick)


@dataclass(frozen=True)
class How:
    """How a stage's items are worked on: by which executor, with how many workers, which part."""

    executor: str = "local"
    workers: int = 1
    shard: Shard | None = None
    address: str | None = None

    def run(self, stage: Stage, run: Path) -> Outcome:
        if self.executor == "ray":
            from synvita.executors import ray

            return ray.run(stage, run, self.workers, self.address)
        return local.run(stage, run, self.workers, self.shard)


def make_clips(run: Path, config: RunConfig, how: How = How()) -> dict[str, int]:
    """The clips that are missing, also those that an earlier call set aside; which triplets they belong to."""
    from synvita.generate.clips import MakeClips, link

    need(run, "triplets.jsonl", "triplets make")
    stage = MakeClips(config.generate)
    done = how.run(stage, run)
    if how.shard is None:
        link(run, stage)
    return counts(done, "clips")


def make_weights(run: Path, config: RunConfig, how: How = How()) -> dict[str, int]:
    """The scores that are missing, also of clips that an earlier call set aside; the weights from all scores."""
    from synvita.weigh.stage import ScoreClips, weigh

    need(run, "clip_of_triplet.jsonl", "generate")
    done = [how.run(ScoreClips(config.weigh, name), run) for name in config.weigh.every]
    if how.shard is not None:
        return counts(Outcome(*(sum(column) for column in zip(*map(astuple, done), strict=True))), "clips scored")
    with only_one(run, "weigh"):
        return weigh(run, config.weigh)


def counts(done: Outcome, what: str) -> dict[str, int]:
    """An outcome as the command says it."""
    found = {
        what: done.made + done.kept + done.set_aside,
        "made": done.made,
        "kept": done.kept,
        "set_aside": done.set_aside,
    }
    return found | ({"of_other_shards": done.left} if done.left else {})


def status(run: Path, config: RunConfig) -> str:
    """A line per stage and part: items there, missing, set aside; then which arms are trained and asked."""
    from synvita.executors.job import state
    from synvita.generate.clips import MakeClips
    from synvita.weigh.stage import ScoreClips

    triplets = count_lines(run / "triplets.jsonl") if (run / "triplets.jsonl").exists() else 0
    lines = [f"{'triplets':<32} {triplets} there"]
    every: list[Callable[[], Stage]] = [lambda: MakeClips(config.generate)]
    if triplets and (run / "clip_of_triplet.jsonl").exists():
        every += [partial(ScoreClips, config.weigh, name) for name in config.weigh.every]
    for make in every if triplets else []:
        stage = make()
        lines.append(f"{stage.folder:<32} {state(stage, run)}")
    others = sorted(p.parent.relative_to(run).as_posix() for part in (CLIPS, SCORES) for p in run.glob(part))
    shown = {line.split()[0] for line in lines}
    lines += [f"{name:<32} there, of no name in the configuration" for name in others if name not in shown]
    seed = str(config.train.seed)
    for arm in all_arms(config):
        asked = len(list((run / "pairs" / arm / seed).glob("*.jsonl")))
        trained = arm == UNTRAINED or (run / "adapters" / arm / seed / "arm.json").exists()
        begun = (run / "checkpoints" / arm / seed).exists()
        state_of = "trained" if trained else "begun" if begun else "missing"
        lines.append(f"{'arm ' + arm:<32} {state_of}, {asked} tasks asked")
    aside = read_set_aside(run)
    lines += [f"set aside by {stage}: {n}" for stage, n in Counter(row["stage"] for row in aside).items()]
    return "\n".join(lines)


def merge_shards(run: Path, config: RunConfig) -> dict[str, Outcome]:
    """Folder -> what its shards had, of every stage whose shards wait; then what is made from all of them.

    Raises:
        ValueError: a shard is missing or has not ended; no shards wait.
    """
    from synvita.executors.job import merge
    from synvita.generate.clips import MakeClips, link
    from synvita.weigh.stage import ScoreClips, weigh

    clips = MakeClips(config.generate)
    scores = [ScoreClips(config.weigh, name) for name in config.weigh.every]
    every: list[Stage] = [clips, *scores]
    merged: dict[str, Outcome] = {}
    for stage in every:
        done = merge(stage, run)
        if done is not None:
            merged[stage.folder] = done
    if not merged:
        raise ValueError(f"--run: no shards wait in {run}; make some with: {again('generate', run)} --shard 1/8")
    if clips.folder in merged:
        link(run, clips)
    if any(stage.folder in merged for stage in scores):
        with only_one(run, "weigh"):
            weigh(run, config.weigh)
    return merged


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
    """Every arm (or `only` some), `workers` at a time, each in a process of its own or one that has ended an arm
    before: starting one anew takes seconds. Stops at the first failure.

    On a CPU each has one thread. `processes`: how many train one arm together (accelerate launch).
    """
    triplets = need(run, "triplets.jsonl", "triplets make")
    arms = {name: arm for name, arm in config.train.arms.items() if only is None or name in only}
    if any(arm.weights != "none" for arm in arms.values()) and triplets.stat().st_size:
        need(run, "weights.jsonl", "weigh")
    fill_cache(run, config)
    environment = os.environ | {"SYNVITA_PARENT": str(os.getpid())}
    if config.train.device == "cpu":
        environment["OMP_NUM_THREADS"] = "1"
    children: list[subprocess.Popen[bytes]] = []
    cost = {name: (arm.weights != "none", arm.consistency_weight > 0) for name, arm in arms.items()}
    slowest_first = sorted(cost, key=lambda name: cost[name], reverse=True)
    names = [arm for arm in (*slowest_first, UNTRAINED) if only is None or arm in only]
    jobs = iter(names)  # shared by the workers
    failed: list[str] = []

    def start(arm: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m"]
        if processes > 1:
            launch = ["accelerate.commands.launch", "--num_processes", str(processes), "--num_machines", "1"]
            launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
            command += [*launch, "--multi_gpu", "-m"]  # on CPUs, too: its launcher for those wants MPI
        command += ["synvita.cli", "arm", "--run", str(run), "--arm", arm, "--seed", str(seed)]
        child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        children.append(child)
        if failed:  # interrupted between the check before and the start
            child.terminate()
        return child

    def ask(child: subprocess.Popen[bytes], arm: str) -> bool:
        """Let a child do an arm; whether it did."""
        assert child.stdin is not None and child.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and so has its output
            child.stdin.write(f"{arm}\n".encode())
            child.stdin.flush()
        for line in child.stdout:
            text = line.decode("utf-8", "replace").strip()
            if text == DONE:
                return True
            tick(f"{arm}: {text}" if text else "")
        return False

    def end(child: subprocess.Popen[bytes], arm: str) -> None:
        """Nothing more for this child: it leaves by itself."""
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        if child.wait() != 0 and not failed:
            failed.append(arm)

    def work() -> None:
        """One worker: an arm after the other while there are any."""
        child: subprocess.Popen[bytes] | None = None
        arm = ""
        for arm in jobs:
            if failed:
                break
            child = child or start(arm if processes > 1 else FROM_STDIN)
            if not ask(child, arm):
                failed.append(arm)
            elif processes > 1:
                end(child, arm)
                child = None
        if child is not None:
            end(child, arm)

    total = sum(arm_work(run, config, arm, seed) for arm in names)
    with progress(f"train + evaluate {len(names)} arms", total) as tick, ThreadPoolExecutor(workers) as pool:
        try:
            for worker in [pool.submit(work) for _ in range(min(workers, len(names)))]:
                worker.result()
        except BaseException:
            failed.append("interrupted")
            raise
        finally:
            if failed:
                for child in children:
                    child.terminate()
    if failed:
        raise ValueError(f"--run: {run}: arm {failed[0]!r} failed (see above); the others are kept, run again to go on")


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


def make_results(run: Path, config: RunConfig, seed: int) -> dict[str, Any]:
    from synvita.evaluate.results import collect

    arms = [arm for arm in all_arms(config) if (run / "pairs" / arm / str(seed)).is_dir()]
    if not arms:
        from synvita.evaluate.tasks import tasks

        if not tasks(run):
            raise ValueError(f"--run: {run} has no triplets of split 'test' and no benchmarks/; nothing to evaluate")
        raise ValueError(f"--run: {run} has no pairs/; first run: {again('train', run)}")
    return collect(run, arms, seed, config.evaluate)


def make_report(run: Path) -> Path:
    from synvita.report.page import write_report

    return write_report(run, read_json(need(run, "results.json", "evaluate"), ["arms"]))


def demo(run: Path, config: RunConfig, workers: int, arms: list[str] | None = None) -> Path:
    """The whole chain for some arms (default: all); returns the report's path.

    Writes `seconds.json`, the time of each stage of this call.
    """
    seconds: dict[str, float] = {}

    def timed(name: str, call: Any, *arguments: Any) -> Any:
        start = time.monotonic()
        found = call(*arguments)
        seconds[name] = round(time.monotonic() - start, 1)
        return found

    seed = config.train.seed
    timed("triplets", make_triplets, run, config)
    timed("generate", make_clips, run, config)
    timed("weigh", make_weights, run, config)
    timed("train_and_evaluate", run_arms, run, config, seed, workers, 1, arms)
    timed("results", make_results, run, config, seed)
    report: Path = timed("report", make_report, run)
    (run / "seconds.json").write_text(json.dumps(seconds, indent=1) + "\n", encoding="utf-8")
    return report
