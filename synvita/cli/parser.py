"""What can be typed: the subcommands, their arguments and help; no stage is imported."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synvita import __version__
from synvita.cli import (
    app,
    benchmarks,
    clip,
    compare,
    configuration,
    evaluate,
    export,
    negatives,
    publish,
    rank,
    run,
    score,
    study,
)
from synvita.cli.exits import EXIT
from synvita.cli.settings_help import settings_help

SETTINGS = """
settings: any value of the configuration can be given as a dotted flag, e.g. --train.epochs 2 --weigh.criteria product
(`synvita config` prints them all), or as YAML with --config FILE. A run folder keeps the configuration it was begun
with in config.yaml.
"""


class StageParser(argparse.ArgumentParser):
    """Its help ends with the settings of the stage; they are looked up only when somebody asks."""

    def format_help(self) -> str:
        return super().format_help() + "\n" + settings_help((self.prog or "").split()[-1])


def positive(text: str) -> int:
    """An argument that counts something; refused at once, not after the first stage."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def whole(text: str) -> int:
    """A seed: part of a folder's name."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def add_executors(stage: argparse.ArgumentParser, workers: int = 1, shards: bool = True) -> None:
    """How a stage's items are worked on. `shards`: False for a command that nothing merges."""
    how = stage.add_argument_group("how the work is done; the records are the same bytes")
    help_text = f"processes, or actors on a cluster (default {workers})"
    how.add_argument("--workers", type=positive, default=workers, help=help_text)
    how.add_argument("--executor", choices=["local", "ray"], default="local", help="this machine, or a cluster")
    how.add_argument("--address", help="of a Ray cluster that runs; auto: this machine's (default: start one)")
    if not shards:
        stage.set_defaults(shard=None)
        return
    how.add_argument("--shard", metavar="I/N", help="only every N-th batch, from the I-th on; then: synvita merge")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="synvita",
        description="Better video-language alignment with synthetic videos: "
        "triplets -> generate -> weigh -> train -> evaluate -> report.",
        epilog=EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"synvita {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=StageParser)

    def stage(
        name: str, help_text: str, call: Callable[..., int], parent: Any = commands, run_needed: bool = True
    ) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = parent.add_parser(
            name,
            help=help_text,
            description=help_text[0].upper() + help_text[1:] + ".",
            epilog=SETTINGS + EXIT,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.add_argument("--run", type=Path, required=run_needed, metavar="DIR", help="the run folder")
        sub.add_argument("--recipe", help="a named configuration: mini, own_triplets (default: the run's, or mini)")
        sub.add_argument("--config", type=Path, metavar="FILE", help="YAML with settings that differ from the recipe")
        sub.add_argument("--verify", action="store_true", help="read every file again, also those that look unchanged")
        sub.set_defaults(call=call)
        return sub

    demo = stage("demo", "the whole chain in the miniature: prints the table and the path of the report", run.run_demo)
    demo.add_argument("--arms", metavar="A,B", help="train and ask these arms only (default: all)")
    demo.add_argument("--workers", type=positive, default=2, help="arms trained at a time, one thread each (default 2)")

    triplets = commands.add_parser("triplets", help="stage 1: make, import or check triplets")
    kinds = triplets.add_subparsers(dest="what", metavar="WHAT", required=True, parser_class=StageParser)
    stage("make", "make the miniature's triplets, videos and benchmarks", run.run_make, kinds)
    imported = stage(
        "import", "import a table of triplets (CSV, JSONL, Parquet; own or VideoCon's columns)", run.run_import, kinds
    )
    imported.add_argument("table", type=Path)
    imported.add_argument(
        "--videos", type=Path, metavar="DIR", help="videos are relative to it (default: the table's folder)"
    )
    check = kinds.add_parser("check", help="read a table and name every bad row", allow_abbrev=False)
    check.add_argument("table", type=Path)
    check.add_argument(
        "--videos", type=Path, metavar="DIR", help="videos are relative to it (default: the table's folder)"
    )
    check.set_defaults(call=run.run_check)

    asked = stage("negatives", "ask a language model for negative captions of a table's captions", negatives.run, kinds)
    add_executors(negatives.add_arguments(asked, positive))

    generate = stage("generate", "stage 2: make a synthetic clip for each negative caption", run.run_generate)
    generate.add_argument(
        "--clips", type=Path, metavar="TABLE", help="take existing clips instead: CSV or JSONL caption,file"
    )
    generate.add_argument("--generators", metavar="A,B", help="these generators, one after the other, beside others")
    generate.add_argument(
        "--dry-run", action="store_true", help="make nothing: say clips, hours, gigabytes, long prompts"
    )
    generate.add_argument(
        "--from-first-frame",
        action="store_true",
        help="image-to-video: start with the real video's first frame",
    )
    generate.add_argument(
        "--best-of", type=positive, metavar="N", help="make N clips of each caption; then: synvita weigh --select best"
    )
    clip.add_parser(commands, whole)
    weigh = stage(
        "weigh", "stage 3: score every clip with both captions and turn the scores into weights", run.run_weigh
    )
    weigh.add_argument("--scorers", metavar="A,B", help="score with these, and weigh with them as one ensemble")
    weigh.add_argument("--device", help="of these scorers: cpu (default), cuda, cuda:1, mps; bfloat16 where no cpu")
    weigh.add_argument(
        "--select", choices=["best", "all"], help="use one clip per triplet and generator, or all of them"
    )
    weigh.add_argument("--judge", metavar="S", help="with --select best: the scorer, or ensemble a+b, that chooses")
    weigh.add_argument("--report", action="store_true", help="score nothing: say where scorers are blind, by type")
    weigh.add_argument(
        "--truth", type=Path, metavar="TABLE", help="with --report: clip_id or file, shows_target (1, 0) of some clips"
    )
    for items in (generate, weigh):
        add_executors(items)
    stage("merge", "put the shards of generate, weigh or evaluate together", run.run_merge)
    stage("status", "what is there, what is missing and what was set aside, by stage", run.run_status)
    train = stage("train", "stage 4: train all arms of a base model", run.run_train)
    train.add_argument("--model", metavar="NAME", help="another base model: of models in the configuration, or any")
    train.add_argument("--workers", type=positive, default=2, help="arms at a time, one thread each (default 2)")
    train.add_argument("--processes", type=positive, default=1, help="processes (GPUs) that train one arm together")
    train.add_argument("--arms", metavar="A,B", help="train these arms only (default: all of the configuration)")
    train.add_argument("--synthetic-types", metavar="A,B", help="use synthetic clips of these misalignment types only")
    train.add_argument("--generators", metavar="A,B", help="use synthetic clips of these generators only")
    arm = stage("arm", "train one arm with one seed and ask it", run.run_arm)
    arm.add_argument("--arm", required=True, help="off_the_shelf or an arm of the configuration (synvita config)")
    arm.add_argument("--seed", type=whole, default=0)
    arm.add_argument("--model", metavar="NAME", help="another base model, as of train")
    arm.add_argument("--do", default="train,ask", metavar="A,B", help="train, ask, or both (default train,ask)")
    arm.add_argument("--tasks", metavar="A,B", help="ask these tasks only (default: all)")
    asking = stage(
        "evaluate", "stage 5: ask what is missing, then measure: results.json", evaluate.run_evaluate, run_needed=False
    )
    evaluate.add_arguments(asking, positive)
    add_executors(asking, workers=2)
    pairs = stage("tasks", "every video and caption that evaluate asks, as a table for rank", evaluate.run_tasks)
    pairs.add_argument("--out", type=Path, required=True, metavar="FILE", help="a CSV table: file, caption")
    pairs.add_argument("--tasks", metavar="A,B", help="of these tasks only (default: all that the run has)")
    benchmarks.add_parser(commands)
    page = stage("report", "stage 6: one self-contained HTML page from results.json", run.run_report)
    page.add_argument("--look", action="store_true", help="of what evaluate --limit has measured, in DIR/look")

    compare.add_parser(commands, whole, positive)
    export.add_parser(commands)
    publish.add_parser(commands)
    score.add_parser(commands)
    add_executors(rank.add_parser(commands, positive), shards=False)
    app.add_parser(commands, positive)

    over_seeds = commands.add_parser(
        "study",
        help="the miniature's experiment over seeds: arms, criteria, objective, scorers, table_6, margin, ...",
        description="Train and ask the arms of a study for several seeds, or measure scorers; goes on where it was.",
        epilog=SETTINGS + EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    over_seeds.add_argument(
        "name",
        help="arms, criteria, objective, scorers, margin, lambda, misalignment, bases, generators, best_of, table_6; "
        "or report",
    )
    over_seeds.add_argument("--run", type=Path, required=True, metavar="DIR", help="the folder of all studies")
    over_seeds.add_argument("--recipe", default="mini", help="a recipe in the miniature (default: mini)")
    over_seeds.add_argument("--seeds", type=positive, default=5, help="seeds 0, 1, ... (default 5)")
    over_seeds.add_argument("--workers", type=positive, default=2, help="arms at a time, one thread each (default 2)")
    over_seeds.add_argument(
        "--out", type=Path, metavar="FILE", help="report: where the tables go (default: DIR/results.md)"
    )
    over_seeds.set_defaults(call=study.run_study)

    show = commands.add_parser("config", help="print a recipe as YAML", allow_abbrev=False)
    show.add_argument("--recipe", default="mini")
    show.set_defaults(call=configuration.run_config)
    return top
