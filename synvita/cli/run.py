"""The commands of the stages on one run folder."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from synvita.cli.configuration import refuse, settled
from synvita.cli.exits import holes, left_out, trained_without
from synvita.core.artefacts import quantities
from synvita.core.reading import read_json
from synvita.core.run_tasks import tasks_of
from synvita.core.vocabulary import check_names


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def run_demo(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import stages
    from synvita.arms.left import all_arms
    from synvita.core.run_folder import only_one

    config = settled(a, flags)
    known = all_arms(config)
    some = known if a.arms is None else check_names(chosen(a.arms, "--arms"), known, "--arms")
    with only_one(a.run, "demo"):
        report = stages.demo(a.run, config, a.workers, some)
    say(table(a.run))
    say(f"\nresults: {a.run / 'results.json'}\nreport:  {report}")
    return max(left_out(a.run), trained_without(a.run, config, some), holes(a.run))


def run_make(a: argparse.Namespace, flags: list[str]) -> int:
    number = opened(a, flags).make_triplets()
    say(f"triplets: {number} in {a.run / 'triplets.jsonl'}")
    return 0


def summarise(table: Any) -> int:
    for line in table.set_aside:
        sys.stderr.write(f"{line}\n")
    say(table.summary)
    return 3 if table.set_aside else 0


def run_check(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.triplets.importing import read_any

    refuse(flags)
    return summarise(read_any(a.table, a.videos))


def run_import(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.triplets.importing import read_any

    table = read_any(a.table, a.videos)  # what is wrong with it is said before a folder is made
    settled(a, flags)
    table.write(a.run)
    return summarise(table)


def run_generate(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import stages
    from synvita.api.run import Run

    if a.dry_run and (a.clips is not None or a.shard is not None):
        raise ValueError("--dry-run: says what all clips of generators cost; leave --clips and --shard out")
    config = settled(a, flags, claim=not a.dry_run)
    run = Run.of(a.run, config)
    if a.clips is not None:
        say_counts("generate", run.generate(clips=a.clips)["clips"])
        return left_out(a.run, "generate")
    generators = [] if a.generators is None else chosen(a.generators, "--generators")
    if a.dry_run:
        for name, plan in stages.plan_clips(a.run, config, generators).items():
            say(plan.text(name, a.workers))
        return 0
    found = run.generate(generators or None, **work(a))
    for name, counts in found.items():
        say_counts("generate" if len(found) == 1 else f"generate: {name}", counts)
    return left_out(a.run, "generate") if a.shard is None else 0


def run_weigh(a: argparse.Namespace, flags: list[str]) -> int:
    if a.truth is not None and not a.report:
        raise ValueError("--truth: is for the report; give --report, too")
    run = opened(a, flags)
    if a.report:
        return report_weights(a)
    scorers = None if a.scorers is None else chosen(a.scorers, "--scorers")
    say_counts("weigh", run.weigh(scorers, **work(a)))
    warn_of_judges(a.run)
    say("weigh: a score is " + ", ".join(f"the {kind} of {name}" for name, kind in quantities(a.run).items()))
    return left_out(a.run, "weigh") if a.shard is None else 0


def warn_of_judges(run: Path) -> None:
    from synvita.core.chosen import judges_that_weigh

    for group, both in judges_that_weigh(run).items():
        text = f"{' and '.join(both)} chose the clips that {group} weighs, so these weights are too high"
        sys.stderr.write(f"note: {text}; let another scorer choose or weigh\n")


def report_weights(a: argparse.Namespace) -> int:
    from synvita.core.run_folder import again
    from synvita.evaluate.audit import as_text, audit, read_truth, write_audit

    if not quantities(a.run):
        raise ValueError(f"--report: {a.run} has no scores; first run: {again('weigh', a.run)}")
    found = audit(a.run, None if a.truth is None else read_truth(a.truth, a.run))
    say(as_text(found))
    say(f"weigh: {write_audit(a.run, found)}")
    return 0


def work(a: argparse.Namespace) -> dict[str, Any]:
    """What the flags say about how the work is done."""
    return {name: getattr(a, name) for name in ("workers", "executor", "address", "shard")}


def how(a: argparse.Namespace) -> Any:
    """ValueError: flags that exclude each other."""
    from synvita.how import How

    return How.of(a.executor, a.workers, a.shard, a.address)


def opened(a: argparse.Namespace, flags: list[str]) -> Any:
    """The run folder with its configuration."""
    from synvita.api.run import Run

    return Run.of(a.run, settled(a, flags))


def run_merge(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import inventory

    for folder, done in inventory.merge_shards(a.run, settled(a, flags)).items():
        say(f"merge: {folder}: {done.made} from the shards, {done.kept} kept, {done.set_aside} set aside")
    return left_out(a.run)


def run_status(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import inventory

    say(inventory.status(a.run, settled(a, flags)))
    return 0


def say_counts(what: str, counts: dict[str, int]) -> None:
    say(f"{what}: " + ", ".join(f"{number} {name}" for name, number in counts.items()))


def chosen(given: str, knob: str) -> list[str]:
    """The names of a list `a,b`, each once. ValueError: none."""
    names = list(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    if not names:
        raise ValueError(f"{knob}: none given; give names like a,b")
    return names


def run_train(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.core.run_folder import again
    from synvita.inventory import config_of

    run = opened(a, flags)
    config = config_of(a.run, run.config(), a.model)
    done = run.train(None if a.arms is None else chosen(a.arms, "--arms"), a.model, a.workers, a.processes)
    tiny_note(config)
    say(f"train: adapters in {a.run / config.train.home / 'adapters'}; then: {again('evaluate', a.run)}")
    return trained_without(a.run, config, list(done))


def run_arm(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.arms import doing
    from synvita.arms.left import Do, all_arms, arm_work
    from synvita.children import FROM_STDIN
    from synvita.core.process import watch_parent
    from synvita.core.progress import progress
    from synvita.core.run_folder import only_one
    from synvita.inventory import config_of

    config = config_of(a.run, settled(a, flags), a.model)
    if a.arm != FROM_STDIN:
        check_names([a.arm], all_arms(config), "--arm")
    steps = check_names(chosen(a.do, "--do"), ["train", "ask"], "--do")
    do = Do("train" in steps, "ask" in steps, None if a.tasks is None else tuple(known_tasks(a.tasks, a.run)))
    if int(os.environ.get("RANK", "0")):  # accelerate launch: the first process holds the lock and shows progress
        doing.do_arm(a.run, config, a.arm, a.seed, do)
        return 0
    if "SYNVITA_PARENT" in os.environ:  # started by `train` or `demo`: end with them, even if they are killed
        watch_parent(int(os.environ["SYNVITA_PARENT"]))
        doing.arms_of_a_parent(a.run, config, a.arm, a.seed, do)
        return 0
    total = arm_work(a.run, config, a.arm, a.seed, do)
    with only_one(a.run, doing.lock_of(config, a.arm, a.seed)), progress(f"arm {a.arm}", total) as tick:
        doing.do_arm(a.run, config, a.arm, a.seed, do, tick)
    return trained_without(a.run, config, [a.arm], a.seed) if do.train else 0


def known_tasks(given: str, run: Path) -> list[str]:
    return check_names(chosen(given, "--tasks"), [task.name for task in tasks_of(run)], "--tasks")


def run_report(a: argparse.Namespace, flags: list[str]) -> int:
    say(f"report: {opened(a, flags).report(a.look)}")
    return 0


def table(place: Path) -> str:
    """The arms and their main figures in percent, for the terminal. `place`: of `results.json`."""
    from synvita.report.look import look_words
    from synvita.report.terminal import terminal_table

    results = read_json(place / "results.json", ["arms"])
    others = results.get("models", {})
    words = look_words(results.get("look"))
    parts = [f"{words}\n" if words else "", terminal_table(results["arms"])]
    parts += [f"\n{name}\n{terminal_table(found['arms'])}" for name, found in others.items()]
    return "\n".join(filter(None, parts))


def tiny_note(config: Any) -> None:
    """One line on stderr where the tiny checkpoints are asked about real videos."""
    from synvita.videollm.checkpoints import miniature_warning

    warning = miniature_warning(config.train.model) if config.world is None else None
    if warning:
        sys.stderr.write(f"note: {warning}\n")
