"""The stages in order on one run folder; each goes on where a killed run was."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synvita.arms.doing import run_arms
from synvita.arms.left import Do, Model, all_arms, asking
from synvita.arms.looking import FOLDER as LOOK
from synvita.arms.looking import look
from synvita.core.progress import progress
from synvita.core.reading import read_json
from synvita.core.run_folder import again, need, only_one
from synvita.core.stage import check_stamp, claim_folder
from synvita.core.timings import note_seconds
from synvita.core.vocabulary import UNTRAINED
from synvita.evaluate.from_table import ScoreTable, Taken, arms_from_tables, check_tables, read_arm
from synvita.executors.job import Outcome
from synvita.how import HERE, TWO_WORKERS, How, in_memory_at_once
from synvita.inventory import arms_read, models_there
from synvita.publish.card import write_card
from synvita.recipes import RunConfig
from synvita.train.arm_folder import adapter_folder, is_trained

if TYPE_CHECKING:
    from synvita.generate.clips import MakeClips
    from synvita.generate.plan import Plan
    from synvita.triplets.negatives.captions import Caption
    from synvita.triplets.negatives.language_model import LanguageModel
    from synvita.weigh.stage import ScoreClips


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
    if command in ("evaluate", "report", "tasks"):
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


def make_triplets(run: Path, config: RunConfig, workers: int = 1) -> None:
    """The miniature's triplets, videos and benchmarks."""
    from synvita.world.dataset import build, video_count

    if (run / "triplets.jsonl").exists():
        return
    if config.world is None:
        raise ValueError(f"--run: {run} has no triplets.jsonl; first run: {again('triplets import TABLE', run)}")
    with only_one(run, "triplets"), progress("triplets: writing real videos", video_count(config.world)) as tick:
        build(run, config.world, tick, workers)


def make_negatives(
    run: Path, captions: Sequence[Caption], aside: dict[str, str], model: LanguageModel, how: How = HERE
) -> dict[str, int]:
    """Negative captions that are missing, by a language model, and the triplets of all that are there.

    Args:
        aside: rows of the table that cannot be used, with their reasons.
    """
    from synvita.core.set_aside import set_aside
    from synvita.triplets.negatives.stage import MakeNegatives, begin, write_triplets

    stage = MakeNegatives(model)
    with only_one(run, "triplets"):
        check_stamp(run, stage)
        begin(run, captions)
        set_aside(run, "triplets negatives, the table", aside)
    done = how.run(stage, run)
    if how.shard is not None:
        return counts(done, "asked")
    return write_triplets(run) | {"made": done.made, "set_aside": done.set_aside + len(aside)}


def make_clips(
    run: Path, config: RunConfig, how: How = HERE, generators: Sequence[str] = ()
) -> dict[str, dict[str, int]]:
    """The clips that are missing, also those that an earlier call set aside; which triplets they belong to.

    Args:
        generators: one after the other (default: the configuration's). One that cannot be had is refused before the
            first begins.
    Returns generator -> counts. Captions that a generator does not read to their end are named on stderr.
    """
    from synvita.generate.clips import link
    from synvita.generate.plan import name_long_prompts

    found = {}
    for name, stage in clip_stages(run, config, generators).items():
        name_long_prompts(run, stage)
        found[name] = counts(how.run(stage, run), "clips")
        if how.shard is None:
            link(run, stage)
    return found


def clip_stages(run: Path, config: RunConfig, generators: Sequence[str] = ()) -> dict[str, MakeClips]:
    """Generator -> its stage. ValueError: one cannot be had, or has made its folder otherwise."""
    from synvita.generate.clips import MakeClips, generator_part

    need(run, "triplets.jsonl", "triplets make")
    names = generators or [config.generate.generator]
    knob = "--generators" if generators else "--generate.generator"
    parts = [generator_part(name, config.generators, knob) for name in names]
    every = {part.name: MakeClips(part, config.generate.seed, config.generate.best_of) for part in parts}
    for stage in every.values():
        check_stamp(run, stage)
    return every


def plan_clips(run: Path, config: RunConfig, generators: Sequence[str] = ()) -> dict[str, Plan]:
    """Generator -> what its clips will cost. Nothing is made or written."""
    from synvita.generate.plan import plan_of

    return {name: plan_of(run, stage) for name, stage in clip_stages(run, config, generators).items()}


def make_weights(run: Path, config: RunConfig, how: How = HERE, scorers: Sequence[str] | None = None) -> dict[str, int]:
    """The scores that are missing, also of clips that an earlier call set aside; then weights from all scores.

    Args:
        scorers: only these, and the weights of this ensemble (default: all of the configuration). One that cannot be
            had is refused before the first begins.
    """
    from synvita.weigh.stage import ScoreClips, scorer_part
    from synvita.weigh.weigh import weigh

    need(run, "clip_of_triplet.jsonl", "generate")
    knob, names = ("--weigh.scorers", config.weigh.every) if scorers is None else ("--scorers", scorers)
    names = list(dict.fromkeys([*names, *config.weigh.judges]))
    parts = [scorer_part(name, config.scorers, knob) for name in names]
    every = [ScoreClips(part, config.weigh.decode_timeout) for part in parts]
    done = score(run, every, how)
    if how.shard is not None:
        return counts(Outcome(*(sum(column) for column in zip(*map(astuple, done), strict=True))), "clips scored")
    with only_one(run, "weigh"):
        return weigh(run, config.weigh, None if scorers is None else [tuple(scorers)])


def score(run: Path, every: Sequence[ScoreClips], how: How) -> list[Outcome]:
    """Several scorers, side by side where memory has room for them. ValueError: as `check_stamp`, before any begins."""
    for stage in every:
        check_stamp(run, stage)
    return [outcome for group in in_memory_at_once(every, how) for outcome in how.run_all(group, run)]


def counts(done: Outcome, what: str) -> dict[str, int]:
    """An outcome as the command says it."""
    found = {
        what: done.made + done.kept + done.set_aside,
        "made": done.made,
        "kept": done.kept,
        "set_aside": done.set_aside,
    }
    return found | ({"of_other_shards": done.left} if done.left else {})


@dataclass(frozen=True)
class Which:
    """What `evaluate` is about; None: every base model that the run has arms of, every arm there, every task."""

    models: Sequence[str] | None = None
    arms: Sequence[str] | None = None
    tasks: Sequence[str] | None = None


def evaluate(run: Path, config: RunConfig, how: How = TWO_WORKERS, which: Which = Which()) -> dict[str, Any] | None:
    """Ask what is missing, then measure: `results.json`. None: this was one shard of the asking. A look
    (`arms/looking.py`) asks little and writes `look/results.json`.

    Raises:
        ValueError: nothing to ask; an arm that is not trained; one that was read from a table, of other pairs.
    """
    from synvita.evaluate.results import collect
    from synvita.evaluate.tasks import tasks as tasks_of

    need(run, "triplets.jsonl", "triplets make")
    if not tasks_of(run, which.tasks):
        lacks = f"task {', '.join(which.tasks)}" if which.tasks else "triplets of split 'test' and no benchmarks/"
        raise ValueError(f"--run: {run} has no {lacks}; nothing to evaluate")
    configs = models_there(run, config, which.models)
    arms = {one.train.home: arms_to_measure(run, one, which.arms) for one in configs}
    for one in configs:
        for note in check_tables(run, one.train.home, one.train.seed, arms[one.train.home], which.tasks):
            sys.stderr.write(f"note: {note}\n")
    if how.look is not None:
        return look(run, configs, arms, how, which.tasks)
    for one in configs:
        ask(run, one, [arm for arm in arms[one.train.home] if arm in all_arms(one)], how, which.tasks)
    arms = {home: some for home, some in arms.items() if some}
    if how.shard is not None:
        return None
    results = collect(run, arms, config.train.seed, config.evaluate, which.tasks, how.workers)
    for home, some in arms.items():
        for arm in (arm for arm in some if is_trained(run / home, arm, config.train.seed)):
            write_card(adapter_folder(run, home, arm, config.train.seed))
    return results


def read_scores(run: Path, config: RunConfig, table: ScoreTable, models: Sequence[str] | None = None) -> Taken:
    """An arm beside those of a base model (the first of `models`), its scores read instead of asked.

    ValueError: an arm of the configuration has its name; as `evaluate.from_table.read_arm`.
    """
    need(run, "triplets.jsonl", "triplets make")
    one = models_there(run, config, models)[0]
    if table.arm in all_arms(one):
        raise ValueError(f"--as: {table.arm!r} is an arm that is asked; give another name")
    return read_arm(run, one.train.home, one.train.seed, table)


def arms_to_measure(run: Path, config: RunConfig, given: Sequence[str] | None) -> list[str]:
    """Those that are trained, and those that were read from tables. ValueError: one was named and is not trained."""
    seed, home = config.train.seed, run / config.train.home
    there = [arm for arm in all_arms(config) if arm == UNTRAINED or is_trained(home, arm, seed)]
    there += arms_from_tables(home, seed)
    if given is None:
        return there
    of_others = arms_read(run, seed)
    lacking = next((arm for arm in given if arm not in there and arm not in of_others), None)
    if lacking is not None:
        command = f"{again('train', run)} --arms {lacking}"
        raise ValueError(f"--arms: {home} has no trained arm {lacking!r} of seed {seed}; first run: {command}")
    return [arm for arm in given if arm in there]


def ask(run: Path, config: RunConfig, arms: Sequence[str], how: How, tasks: Sequence[str] | None) -> None:
    """On this machine a process per arm, which loads the model once; elsewhere a task after the other."""
    seed = config.train.seed
    do = Do(train=False, tasks=None if tasks is None else tuple(tasks))
    if how.executor == "local" and how.shard is None:
        run_arms(run, config, seed, how.workers, only=arms, do=do, model=config.train.model_name)
        return
    claim_folder(run, Model.of(config.train))
    for arm in arms:
        for stage in asking(run, config, arm, seed, do.tasks):
            how.run(stage, run)


def make_report(run: Path, of_look: bool = False) -> Path:
    """`of_look`: of what `evaluate` with a limit has measured, beside it."""
    from synvita.report.page import write_report

    name, command = (f"{LOOK}/results.json", "evaluate --limit 20") if of_look else ("results.json", "evaluate")
    path = need(run, name, command)
    return write_report(run, read_json(path, ["arms"]), path.parent)


def demo(run: Path, config: RunConfig, workers: int, arms: list[str] | None = None) -> Path:
    """The whole chain for some arms (default: all); returns the report's path.

    The time of each stage goes to `timings.jsonl`.
    """

    def timed(name: str, call: Any, *arguments: Any) -> Any:
        start = time.monotonic()
        found = call(*arguments)
        note_seconds(run, f"demo: {name}", time.monotonic() - start)
        return found

    timed("triplets", make_triplets, run, config, workers)
    timed("generate", make_clips, run, config, How(workers=workers))
    timed("weigh", make_weights, run, config, How(workers=workers))
    timed("train_and_evaluate", run_arms, run, config, config.train.seed, workers, 1, arms)
    timed("results", evaluate, run, config, How(workers=workers), Which(arms=arms))
    report: Path = timed("report", make_report, run)
    return report
