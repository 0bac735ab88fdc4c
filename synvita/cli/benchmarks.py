"""`synvita benchmarks`, and what `synvita evaluate` does with public benchmarks and one's own tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synvita.cli.configuration import refuse
from synvita.cli.exits import EXIT
from synvita.cli.run import chosen, known_tasks, say


def add_parser(commands: Any) -> None:
    known = commands.add_parser(
        "benchmarks",
        help="public benchmarks: sizes, licences, where files and videos come from; or check one's own table",
        description="The public benchmarks that evaluate knows; `check` names every bad row of one's own table.",
        epilog=EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    known.set_defaults(call=run_list)
    what = known.add_subparsers(dest="what", metavar="WHAT")
    check = what.add_parser(
        "check",
        help="read one's own benchmark and name every bad row",
        description="Columns: video, caption, label (1 or 0) and, where pairs belong together, group (or query).",
        allow_abbrev=False,
    )
    check.add_argument("table", type=Path)
    check.add_argument("--metric", metavar="NAME", help="also check groups for it: auc, map, accuracy, strict, group")
    check.set_defaults(call=run_check)


VIDEOS = "the folder of their videos, by the tables' paths or, anywhere below, by their ids"


def add_arguments(evaluate: argparse.ArgumentParser) -> None:
    group = evaluate.add_argument_group("public benchmarks, and one's own")
    group.add_argument("--data", type=Path, metavar="DIR", help="the folder with the benchmarks' tables")
    group.add_argument("--videos", type=Path, metavar="DIR", help=f"{VIDEOS} (one's own: default the table's)")
    group.add_argument("--allow-missing", action="store_true", help="go on without what is missing; tables say n of N")
    group.add_argument("--benchmark", metavar="NAME", help="measure --scores of it: a known one, or one's own table")
    group.add_argument("--metric", metavar="NAME", help="of one's own table: auc, map, accuracy, strict, group")
    group.add_argument("--out", type=Path, metavar="FILE", help="the result as JSON")


def check_flags(a: argparse.Namespace) -> None:
    """ValueError: flags of `--benchmark` without it, or of benchmarks in a run that say too little."""
    tables = [] if a.tasks is None else own_tables(chosen(a.tasks, "--tasks"))
    if a.run is None:
        raise ValueError("--run: give the run folder, or --benchmark with --scores to measure a file of scores")
    if a.out is not None:
        raise ValueError("--out: goes with --benchmark; give that, too")
    if a.metric is not None and not tables:
        raise ValueError("--metric: goes with --benchmark, or with a table of one's own among --tasks")
    if (a.data is None) != (a.videos is None) and not (tables and a.data is None):
        raise ValueError("--data and --videos: a benchmark in a run needs both, its tables and its videos")
    if a.data is not None and a.tasks is None:
        raise ValueError("--data: say which benchmarks with --tasks A,B (see: synvita benchmarks)")
    if a.allow_missing and a.data is None and not tables:
        raise ValueError("--allow-missing: is about the benchmarks of --data, or one's own tables; give them, too")


def run_list(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.evaluate.benchmarks.registry import BENCHMARKS

    refuse(flags)
    say(f"{'name':<21}{'size':<28}{'figure':<17}files")
    for b in BENCHMARKS:
        size = f"{'about ' if b.about else ''}{' or '.join(f'{size:,}' for size in b.sizes)} {b.unit}"
        files = f"{len(b.files)} files: <aspect>.jsonl" if len(b.files) > 2 else ", ".join(b.files)
        say(f"{b.name:<21}{size:<28}{b.metric:<17}{files}")
    say("")
    for b in BENCHMARKS:
        say(f"{b.name}: files from {b.source}; licence: {b.license}; videos: {b.videos}")
    return 0


def run_check(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.evaluate.benchmarks.own import check

    refuse(flags)
    checked = check(a.table, a.metric, "TABLE")
    for line in checked.bad:
        sys.stderr.write(f"{line}\n")
    entries = checked.loaded.entries
    right, groups = sum(entry.row["label"] for entry in entries), len(checked.loaded.by_query())
    of_groups = f", {groups} groups" if checked.grouped else ""
    videos = len({entry.row["video"] for entry in entries})
    bad = f"; {len(checked.bad)} bad, named above" if checked.bad else ""
    say(f"{a.table}: {len(entries)} pairs of {videos} videos, {right} right{of_groups}{bad}")
    return 3 if checked.bad else 0


def measure(a: argparse.Namespace, flags: list[str]) -> int:
    """Somebody's scores of a benchmark, without a run."""
    from synvita.evaluate.benchmarks.measure import measure_scores
    from synvita.evaluate.benchmarks.outcome import as_table, gaps, write_outcome

    refuse(flags)
    for name in ("run", "videos", "tasks", "arms", "models", "shard", "limit"):
        if getattr(a, name) is not None:
            raise ValueError(f"--{name}: does not go with --benchmark, which measures a file of scores")
    if a.scores is None or a.out is None:
        raise ValueError("--benchmark: give --scores FILE and --out OUT.json, too")
    found = measure_scores(a.benchmark, a.metric, a.data, a.scores, a.name, a.allow_missing)
    write_outcome(a.out, found)
    say(as_table(found))
    lines = gaps(found)
    for line in lines:
        sys.stderr.write(f"{line}\n")
    say(f"evaluate: {a.out}")
    return 3 if lines else 0


def own_tables(names: Sequence[str]) -> list[Path]:
    """Those of `--tasks` that are tables: their suffix says so."""
    from synvita.core.tables import READERS

    return [Path(name) for name in names if Path(name).suffix.lower() in READERS]


def put_into_run(a: argparse.Namespace) -> list[str] | None:
    """Write the pairs of the benchmarks among `--tasks` into the run folder; the names of all of `--tasks`.

    A table of one's own is a task with the table's name. None: no `--tasks`.
    """
    if a.tasks is None:
        return None
    given = chosen(a.tasks, "--tasks")
    tables = own_tables(given)
    told = []
    names = [name for name in given if Path(name) not in tables]
    if names:  # before anything is written
        known_tasks(",".join(names), a.run)
    if a.data is not None or tables:
        from synvita.evaluate.benchmarks.into_run import put, put_own
        from synvita.evaluate.benchmarks.registry import known

        public = [name for name in names if name in known()]
        if a.data is not None and not public:
            raise ValueError(f"--data: {', '.join(given)}: no public benchmark among them")
        told += put(a.run, public, a.data, a.videos, a.allow_missing) if a.data is not None else []
        told += put_own(a.run, tables, a.metric, a.videos, a.allow_missing)
    for line in told:
        say(f"evaluate: {line}")
    return list(dict.fromkeys([*names, *(table.stem for table in tables)]))
