"""The command `synvita`: one subcommand per stage; every stage takes `--run DIR` and goes on where it was."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synvita import __version__, cli_score
from synvita.cli_score import EXIT
from synvita.core.reading import read_json

SETTINGS = """
settings: any value of the configuration can be given as a dotted flag, e.g. --train.epochs 2 --weigh.criteria product
(`synvita config` prints them all), or as YAML with --config FILE. A run folder keeps the configuration it was begun
with in config.yaml.
"""


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
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def stage(name: str, help_text: str, call: Callable[..., int], parent: Any = commands) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = parent.add_parser(
            name,
            help=help_text,
            description=help_text[0].upper() + help_text[1:] + ".",
            epilog=SETTINGS + EXIT,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.add_argument("--run", type=Path, required=True, metavar="DIR", help="the run folder")
        sub.add_argument("--recipe", help="a named configuration: mini, own_triplets (default: the run's, or mini)")
        sub.add_argument("--config", type=Path, metavar="FILE", help="YAML with settings that differ from the recipe")
        sub.set_defaults(call=call)
        return sub

    demo = stage("demo", "the whole chain in the miniature: prints the table and the path of the report", run_demo)
    demo.add_argument("--workers", type=positive, default=2, help="arms trained at a time, one thread each (default 2)")

    triplets = commands.add_parser("triplets", help="stage 1: make, import or check triplets")
    kinds = triplets.add_subparsers(dest="what", metavar="WHAT", required=True)
    stage("make", "make the miniature's triplets, videos and benchmarks", run_make, kinds)
    imported = stage(
        "import", "import a table of triplets (CSV, JSONL, Parquet; own or VideoCon's columns)", run_import, kinds
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
    check.set_defaults(call=run_check)

    generate = stage("generate", "stage 2: make a synthetic clip for each negative caption", run_generate)
    generate.add_argument(
        "--clips", type=Path, metavar="TABLE", help="take existing clips instead: CSV or JSONL caption,file"
    )
    stage("weigh", "stage 3: score every clip with both captions and turn the scores into weights", run_weigh)
    train = stage("train", "stages 4 and 5 for all arms: train, then ask every pair", run_train)
    train.add_argument("--workers", type=positive, default=2, help="arms at a time, one thread each (default 2)")
    train.add_argument("--processes", type=positive, default=1, help="processes (GPUs) that train one arm together")
    train.add_argument("--arms", metavar="A,B", help="train these arms only (default: all of the configuration)")
    train.add_argument("--synthetic-types", metavar="A,B", help="use synthetic clips of these misalignment types only")
    train.add_argument("--generators", metavar="A,B", help="use synthetic clips of these generators only")
    arm = stage("arm", "train and evaluate one arm with one seed", run_arm)
    arm.add_argument("--arm", required=True, help="off_the_shelf or an arm of the configuration (synvita config)")
    arm.add_argument("--seed", type=whole, default=0)
    stage("evaluate", "stage 5: metrics with intervals from the pair scores, into results.json", run_evaluate)
    stage("report", "stage 6: one self-contained HTML page from results.json", run_report)

    cli_score.add_parser(commands)

    study = commands.add_parser(
        "study",
        help="the miniature's experiment over seeds: arms, criteria, objective, scorers, margin, ...",
        description="Train and ask the arms of a study for several seeds; goes on where it was.",
        epilog=SETTINGS + EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    study.add_argument("name", help="arms, criteria, objective, scorers, margin, lambda, misalignment; or report")
    study.add_argument("--run", type=Path, required=True, metavar="DIR", help="the folder of all studies")
    study.add_argument("--seeds", type=positive, default=5, help="seeds 0, 1, ... (default 5)")
    study.add_argument("--workers", type=positive, default=2, help="arms at a time, one thread each (default 2)")
    study.add_argument("--out", type=Path, metavar="FILE", help="report: where the tables go (default: DIR/results.md)")
    study.set_defaults(call=run_study)

    show = commands.add_parser("config", help="print a recipe as YAML", allow_abbrev=False)
    show.add_argument("--recipe", default="mini")
    show.set_defaults(call=run_config)
    return top


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def settled(arguments: argparse.Namespace, flags: list[str]) -> Any:
    """The run's configuration: recipe or the folder's own, then --config, then flags; claims the folder."""
    from synvita import stages
    from synvita.core.reading import read_yaml
    from synvita.core.run_folder import claim_run
    from synvita.core.settings import build, merge, override
    from synvita.recipes import RunConfig, recipe

    stored = arguments.run / "config.yaml"
    if stored.exists() and arguments.recipe is None:
        values = read_yaml(stored)
    else:
        default = "own_triplets" if getattr(arguments, "what", None) == "import" else "mini"
        values = recipe(arguments.recipe or default).as_dict()
    if arguments.config is not None:
        if not arguments.config.exists():
            raise ValueError(f"--config: {arguments.config}: no such file")
        values = merge(values, read_yaml(arguments.config))
    values = restrict(override(values, flags), arguments)
    config = build(RunConfig, values)
    if arguments.command not in ("demo", "triplets") and not stored.exists():
        raise ValueError(f"--run: {arguments.run} is no run folder (no config.yaml); begin with synvita triplets")
    stages.check_backends(config, arguments.command)
    claim_run(arguments.run, config.as_dict(), lambda stored: build(RunConfig, stored).as_dict())
    return config


def restrict(values: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """`--synthetic-types` and `--generators` are settings of every arm that uses synthetic clips."""
    for name in ("synthetic_types", "generators"):
        given = getattr(arguments, name, None)
        train = values.get("train")
        arms = train.get("arms") if isinstance(train, dict) and given else None
        for arm in arms.values() if isinstance(arms, dict) else ():
            if isinstance(arm, dict) and arm.get("weights", "none") != "none":
                arm[name] = given.split(",")
    return values


def run_demo(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import stages
    from synvita.core.run_folder import only_one

    config = settled(a, flags)
    with only_one(a.run, "demo"):
        report = stages.demo(a.run, config, a.workers)
    say(table(a.run))
    say(f"\nresults: {a.run / 'results.json'}\nreport:  {report}")
    return max(left_out(a.run), trained_without(a.run, config), holes(a.run))


def run_make(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import stages

    stages.make_triplets(a.run, settled(a, flags))
    say(f"triplets: {stages.count_lines(a.run / 'triplets.jsonl')} in {a.run / 'triplets.jsonl'}")
    return 0


def summarise(imported: Any) -> int:
    from synvita.triplets.tables import summary

    for bad in imported.set_aside:
        sys.stderr.write(f"{bad.where}: {bad.reason}\n")
    say("\n".join(f"{key}: {value}" for key, value in summary(imported).items()))
    return 3 if imported.set_aside else 0


def run_check(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.triplets.tables import read_triplets

    refuse(flags)
    return summarise(read_triplets(a.table, a.videos))


def run_import(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.core.store import write_records
    from synvita.triplets.authors_table import is_authors_table, read_items
    from synvita.triplets.tables import read_triplets, write_set_aside

    items = read_items(a.table, a.videos) if is_authors_table(a.table) else None
    imported: Any = items or read_triplets(a.table, a.videos)
    settled(a, flags)
    if (a.run / "triplets.jsonl").exists():
        raise ValueError(f"--run: {a.run} already has triplets.jsonl; give a new folder")
    write_set_aside(a.run / "triplets.set_aside.jsonl", imported.set_aside)
    if items is None:
        write_records(a.run / "triplets.jsonl", imported.triplets)
        return summarise(imported)
    write_records(a.run / "items.jsonl", items.items)
    write_records(a.run / "triplets.jsonl", [])  # last: the import is complete
    for bad in items.set_aside:
        sys.stderr.write(f"{bad.where}: {bad.reason}\n")
    paired = sum(bool(item.clips) for item in items.items)
    say(f"items: {len(items.items)}, {paired} with a clip; {len(items.set_aside)} rows set aside or without their clip")
    return 3 if items.set_aside else 0


def run_generate(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import stages

    config = settled(a, flags)
    if a.clips is not None:
        from synvita.generate.existing import take_clips

        counts = take_clips(stages.need(a.run, "triplets.jsonl", "triplets import").parent, a.clips)
    else:
        counts = stages.make_clips(a.run, config)
    say("generate: " + (", ".join(f"{v} {k}" for k, v in counts.items()) or "all clips are there"))
    return left_out(a.run, "generate")


def run_weigh(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import stages

    counts = stages.make_weights(a.run, settled(a, flags))
    say("weigh: " + ", ".join(f"{v} {k}" for k, v in counts.items()))
    return left_out(a.run, "weigh")


def run_train(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import stages

    config = settled(a, flags)
    arms = chosen_arms(a.arms, stages.all_arms(config))
    with stages.only_one(a.run, "train"):
        stages.run_arms(a.run, config, config.train.seed, a.workers, a.processes, arms)
    say(f"train: adapters in {a.run / 'adapters'}, pair scores in {a.run / 'pairs'}")
    return trained_without(a.run, config, arms)


def chosen_arms(given: str | None, known: list[str]) -> list[str]:
    """`--arms a,b`, or all; ValueError names the first that the configuration does not have."""
    if given is None:
        return known
    arms = list(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    unknown = [name for name in arms if name not in known]
    if unknown or not arms:
        shown = repr(unknown[0]) if unknown else "none given"
        raise ValueError(f"--arms: unknown arm {shown}; known: {', '.join(known)}")
    return arms


def run_arm(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import stages
    from synvita.core.process import watch_parent
    from synvita.core.progress import progress, tick_parent

    config = settled(a, flags)
    known = stages.all_arms(config)
    if a.arm not in known:
        raise ValueError(f"--arm: unknown arm {a.arm!r}; known: {', '.join(known)}")
    if int(os.environ.get("RANK", "0")):  # accelerate launch: the first process holds the lock and shows progress
        stages.train_and_evaluate(a.run, config, a.arm, a.seed)
        return 0
    with stages.only_one(a.run, f"arm-{a.arm}-{a.seed}"):
        if "SYNVITA_PARENT" in os.environ:  # started by `train` or `demo`: end with them, even if they are killed
            watch_parent(int(os.environ["SYNVITA_PARENT"]))
            stages.train_and_evaluate(a.run, config, a.arm, a.seed, tick_parent)
            return 0
        with progress(f"arm {a.arm}", stages.arm_work(a.run, config, a.arm, a.seed)) as tick:
            stages.train_and_evaluate(a.run, config, a.arm, a.seed, tick)
    return trained_without(a.run, config, [a.arm], a.seed)


def run_evaluate(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import stages

    config = settled(a, flags)
    stages.make_results(a.run, config, config.train.seed)
    say(table(a.run))
    return holes(a.run)


def run_report(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import stages

    settled(a, flags)
    say(f"report: {stages.make_report(a.run)}")
    return 0


def run_config(a: argparse.Namespace, flags: list[str]) -> int:
    import yaml

    from synvita.core.settings import build, override
    from synvita.recipes import RunConfig, recipe

    config = build(RunConfig, override(recipe(a.recipe).as_dict(), flags))
    say(yaml.safe_dump(config.as_dict(), sort_keys=False).rstrip())
    return 0


def run_study(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import study
    from synvita.core.settings import build, override
    from synvita.core.store import write_atomic
    from synvita.recipes import RunConfig, recipe
    from synvita.report.study import render

    if a.out is not None and a.out.is_dir():
        raise ValueError(f"--out: {a.out} is a folder; give a file, e.g. {a.out / 'results.md'}")
    if a.name == "report":
        refuse(flags)
        if not any(a.run.glob("seed-*/figures/*.json")):
            raise ValueError(
                f"--run: {a.run} holds no figures of a study (seed-*/figures); run synvita study arms first"
            )
        found = study.collect(a.run)
    else:
        base = build(RunConfig, override(recipe("mini").as_dict(), flags))
        found = study.run_study(a.run, a.name, a.seeds, a.workers, base)
    text = render(read_json(found))
    write_atomic(a.out or a.run / "results.md", text)
    say(f"study: {found}, tables in {a.out or a.run / 'results.md'}")
    return 0


def refuse(flags: list[str]) -> None:
    if flags:
        raise ValueError(f"{flags[0]}: unknown argument (see --help)")


def table(run: Path) -> str:
    """The arms and their main figures in percent, for the terminal."""
    arms = read_json(run / "results.json", ["arms"])["arms"]
    tasks = {
        "in-dist": ("in_distribution", "auc"),
        "open": ("open", "auc"),
        "unseen": ("unseen", "auc"),
        "temporal": ("temporal", "auc"),
        "retr. temporal": ("retrieval_temporal", "map"),
        "retr. events": ("retrieval_events", "map"),
        "QA": ("qa", "accuracy"),
    }
    shown = {title: at for title, at in tasks.items() if any(at[0] in found for found in arms.values())}
    lines = [f"{'arm (AUC, mAP, accuracy in %)':<30}" + "".join(f"{title:>20}" for title in shown)]
    for arm, found in arms.items():
        cells = []
        for name, metric in shown.values():
            cells.append(shown_cell(found.get(name), metric))
        lines.append(f"{arm:<30}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)


def shown_cell(figure: dict[str, Any] | None, metric: str) -> str:
    """Percent with its interval; "-" where there is none (nothing asked, or nothing could be scored)."""
    if not figure or figure.get(metric) is None:
        return "-"
    value = f"{100 * figure[metric]:.1f}"
    if figure.get("low") is None:
        return value
    return f"{value} [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"


def left_out(run: Path, stage: str | None = None) -> int:
    """3, and a line on stderr, if a stage (default: any) set something aside; else 0."""
    from synvita.core.set_aside import read_set_aside

    rows = [row for row in read_set_aside(run) if stage is None or row["stage"].split()[0] == stage]
    if rows:
        sys.stderr.write(f"synvita: {len(rows)} set aside, named with their reasons in {run / 'set_aside.jsonl'}\n")
    return 3 if rows else 0


def trained_without(run: Path, config: Any, arms: list[str] | None = None, seed: int | None = None) -> int:
    """3, and a line on stderr, if videos or clips that arms were to be trained on could not be read; else 0."""
    from synvita.train.arm_folder import set_aside_by

    seed = config.train.seed if seed is None else seed
    trained = [arm for arm in config.train.arms if arms is None or arm in arms]
    reasons = {video: reason for arm in trained for video, reason in set_aside_by(run, arm, seed).items()}
    if reasons:
        sys.stderr.write(
            f"synvita: {len(reasons)} videos could not be trained on, named with their reasons in "
            f"{run / 'adapters' / trained[0] / str(seed) / 'arm.json'}\n"
        )
    return 3 if reasons else 0


def holes(run: Path) -> int:
    """3, and a line on stderr, if pairs are missing from the figures; else 0."""
    arms = read_json(run / "results.json", ["arms"])["arms"]
    entries = [entry for task in arms.values() for entry in task.values() if isinstance(entry, dict)]
    missing = max((entry.get("missing", 0) for entry in entries), default=0)
    if missing:
        sys.stderr.write(f"synvita: {missing} pairs could not be scored; the reasons are in {run / 'pairs'}\n")
    return 3 if missing else 0


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done; 1 failed; 2 wrong input; 3 done, but something was set aside; 130 interrupted."""
    if argv is None:
        speak_utf8()
    streams()
    try:
        given = sys.argv[1:] if argv is None else argv
        not_text = [text for text in given if any("\ud800" <= letter <= "\udfff" for letter in text)]
        if not_text:
            raise ValueError(f"{not_text[0]!a}: an argument that is not UTF-8; write it anew, or rename the file")
        arguments, flags = parser().parse_known_args(given)
        status = int(arguments.call(arguments, flags))
        sys.stdout.flush()
        return status
    except (ValueError, FloatingPointError) as error:
        sys.stderr.write(f"synvita: {one_line(error)}\n")
        return 2
    except FileNotFoundError as error:
        sys.stderr.write(f"synvita: {error.filename or one_line(error)}: no such file; check the path\n")
        return 2
    except MemoryError as error:
        text = (
            one_line(error) if str(error) else "out of memory; close other programs, or take a smaller model or batch"
        )
        sys.stderr.write(f"synvita: {text}\n")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the interpreter complains once more at its end
        sys.stderr.write("synvita: whoever read the output closed it; it is not complete\n")
        return 1
    except OSError as error:
        name = f" ({error.filename})" if error.filename else ""
        reason = error.strerror or one_line(error)
        sys.stderr.write(f"synvita: {reason}{name}; no half file was kept, mend it and run again\n")
        return 1
    except KeyboardInterrupt:
        if "SYNVITA_PARENT" not in os.environ:  # else the parent says so
            sys.stderr.write("synvita: interrupted; run the same command again to go on\n")
        return 130


def speak_utf8() -> None:
    """Start anew in UTF-8 mode where the locale is plain ASCII (LC_ALL=C with PYTHONUTF8=0): captions are UTF-8."""
    if sys.getfilesystemencoding().lower() in ("ascii", "ansi_x3.4-1968", "us-ascii"):
        environment = {**os.environ, "PYTHONUTF8": "1"}
        os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)


def streams() -> None:
    """Output that is closed goes nowhere; letters that a terminal does not have are shown by number."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
