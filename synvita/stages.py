"""The stages in order on one run folder; each goes on where a killed run was."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from synvita.arms import all_arms, run_arms
from synvita.core.backends import Part
from synvita.core.progress import progress
from synvita.core.reading import read_json
from synvita.core.run_folder import again, need, only_one
from synvita.core.set_aside import read_set_aside
from synvita.core.stage import Stage, check_stamp
from synvita.core.store import parse_lines
from synvita.core.vocabulary import UNTRAINED
from synvita.executors import local
from synvita.executors.job import Outcome, Shard
from synvita.recipes import RunConfig


def check_backends(config: RunConfig, command: str) -> None:
    """What a configuration names, looked for before any work: models, scorers, devices.

    What the command itself uses must be there; what only later stages use may be on another machine, so that is a note.

    Raises:
        ValueError: a device or a checkpoint that the command needs and this machine does not have.
    """
    from synvita.videollm.checkpoints import look_for

    train = {f"--train.{part}": getattr(config.train, part) for part in ("model", "tower", "base")}
    weigh = {
        f"--scorers.{name}.{part}": config.scorers.get(name, {}).get(part)
        for name in config.weigh.every
        for part in ("checkpoint", "tower", "base")
    }
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
    sections = (("clips", "generators", config.generators), ("scores", "scorers", config.scorers))
    for kind, section, entries in sections:
        for folder, stamp in stamps(run, kind):  # what a part says of itself is compared where it works
            key = section.removesuffix("s")
            if not isinstance(stamp.get(key), dict):
                continue
            claim = {**stamp, key: Part.of(section, stamp[key]["name"], entries).stamp}
            if "seed" in stamp:
                claim["seed"] = config.generate.seed
            check_stamp(run, Claim(folder, claim))


@dataclass(frozen=True)
class Claim:
    """As much of a stage as `check_stamp` needs."""

    folder: str
    stamp: dict[str, Any]


def stamps(run: Path, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """(folder, stamp) of the clips or the scores of a run, by name."""
    paths = sorted(run.glob(f"{kind}/*/stamp.json"))
    return [(path.parent.relative_to(run).as_posix(), read_json(path)) for path in paths]


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


def make_clips(
    run: Path, config: RunConfig, how: How = How(), generators: Sequence[str] = ()
) -> dict[str, dict[str, int]]:
    """The clips that are missing, also those that an earlier call set aside; which triplets they belong to.

    Args:
        generators: one after the other (default: the configuration's). One that cannot be had is refused before the
            first begins.
    Returns generator -> counts.
    """
    from synvita.generate.clips import MakeClips, generator_part, link

    need(run, "triplets.jsonl", "triplets make")
    names = generators or [config.generate.generator]
    knob = "--generators" if generators else "--generate.generator"
    parts = [generator_part(name, config.generators, knob) for name in names]
    every = {part.name: MakeClips(part, config.generate.seed) for part in parts}
    for stage in every.values():
        check_stamp(run, stage)
    found = {}
    for name, stage in every.items():
        found[name] = counts(how.run(stage, run), "clips")
        if how.shard is None:
            link(run, stage)
    return found


def make_weights(
    run: Path, config: RunConfig, how: How = How(), scorers: Sequence[str] | None = None
) -> dict[str, int]:
    """The scores that are missing, also of clips that an earlier call set aside; then weights from all scores.

    Args:
        scorers: only these, and the weights of this ensemble (default: all of the configuration). One that cannot be
            had is refused before the first begins.
    """
    from synvita.weigh.stage import ScoreClips, scorer_part
    from synvita.weigh.weigh import weigh

    need(run, "clip_of_triplet.jsonl", "generate")
    knob, names = ("--weigh.scorers", config.weigh.every) if scorers is None else ("--scorers", scorers)
    parts = [scorer_part(name, config.scorers, knob) for name in names]
    every = [ScoreClips(part, config.weigh.decode_timeout) for part in parts]
    for stage in every:
        check_stamp(run, stage)
    done = [how.run(stage, run) for stage in every]
    if how.shard is not None:
        return counts(Outcome(*(sum(column) for column in zip(*map(astuple, done), strict=True))), "clips scored")
    with only_one(run, "weigh"):
        return weigh(run, config.weigh, None if scorers is None else [tuple(scorers)])


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
    triplets = count_lines(run / "triplets.jsonl") if (run / "triplets.jsonl").exists() else 0
    lines = {"triplets": f"{triplets} there"}
    if triplets:
        for folder, make in every_stage(run, config).items():
            lines[folder] = state_of(run, make)
    seed = str(config.train.seed)
    for arm in all_arms(config):
        asked = len(list((run / "pairs" / arm / seed).glob("*.jsonl")))
        trained = arm == UNTRAINED or (run / "adapters" / arm / seed / "arm.json").exists()
        begun = (run / "checkpoints" / arm / seed).exists()
        lines[f"arm {arm}"] = f"{'trained' if trained else 'begun' if begun else 'missing'}, {asked} tasks asked"
    aside = Counter(row["stage"] for row in read_set_aside(run))
    lines |= {f"set aside by {stage}": str(number) for stage, number in aside.items()}
    width = max(32, *map(len, lines))
    return "\n".join(f"{name:<{width}} {text}" for name, text in lines.items())


def every_stage(run: Path, config: RunConfig) -> dict[str, Callable[[], Stage | int]]:
    """Folder -> what makes the stage that fills it, of the folders that are there and of the configuration's.

    Instead of a stage, the number of clips that came as a table: nobody makes them here.
    """
    from synvita.generate.clips import MakeClips, generator_part
    from synvita.weigh.stage import ScoreClips, scorer_part

    found: dict[str, Callable[[], Stage | int]] = {}
    for folder, stamp in stamps(run, "clips"):
        table = partial(count_lines, run / folder / MakeClips.file)
        found[folder] = partial(MakeClips.of_stamp, stamp, config.generators) if "seed" in stamp else table
    generator = generator_part(config.generate.generator, config.generators)
    found.setdefault(f"clips/{generator.folder}", partial(MakeClips, generator, config.generate.seed))
    for folder, stamp in stamps(run, "scores"):
        found[folder] = partial(ScoreClips.of_stamp, stamp, config.scorers)
    for name in config.weigh.every:
        scorer = scorer_part(name, config.scorers)
        found.setdefault(f"scores/{scorer.folder}", partial(ScoreClips, scorer))
    return found


def state_of(run: Path, make: Callable[[], Stage | int]) -> str:
    from synvita.executors.job import state

    try:
        stage = make()
        return f"{stage} there, from a table" if isinstance(stage, int) else state(stage, run)
    except (ValueError, OSError) as error:  # one that cannot be planned yet hides none of the others
        return f"unknown: {error.strerror or error if isinstance(error, OSError) else error}"


def merge_shards(run: Path, config: RunConfig) -> dict[str, Outcome]:
    """Folder -> what its shards had, of every stage whose shards wait; then what is made from all of them.

    Raises:
        ValueError: a shard is missing or has not ended; no shards wait.
    """
    from synvita.executors.job import merge, shard_files
    from synvita.generate.clips import MakeClips, link
    from synvita.weigh.stage import ScoreClips
    from synvita.weigh.weigh import weigh

    merged: dict[str, Outcome] = {}
    waiting = [stamp for kind in ("clips", "scores") for f, stamp in stamps(run, kind) if shard_files(run / f)]
    clips = [MakeClips.of_stamp(stamp, config.generators) for stamp in waiting if "generator" in stamp]
    scores = [ScoreClips.of_stamp(stamp, config.scorers) for stamp in waiting if "scorer" in stamp]
    for stage in clips:
        merged[stage.folder] = merge(stage, run)
        link(run, stage)
    for scorer in scores:
        merged[scorer.folder] = merge(scorer, run)
    if not merged:
        raise ValueError(f"--run: no shards wait in {run}; make some with: {again('generate', run)} --shard 1/8")
    if scores:
        groups = [(scorer.part.name,) for scorer in scores] + config.weigh.ensembles
        known = {stamp["scorer"]["name"] for _, stamp in stamps(run, "scores")}
        with only_one(run, "weigh"):
            weigh(run, config.weigh, [group for group in dict.fromkeys(groups) if known.issuperset(group)])
    return merged


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
