"""`synvita evaluate`, and `synvita tasks`: what it asks as a table, for scores that come back with `--scores`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synvita.cli import benchmarks
from synvita.cli.configuration import settled
from synvita.cli.exits import holes
from synvita.cli.run import chosen, known_tasks, opened, say, table, tiny_note, work
from synvita.core.run_tasks import tasks_of
from synvita.core.vocabulary import check_names

EXAMPLE = """
scores instead of answers (of a scorer, or of any model: a table with the columns file, caption, score in [0, 1]):
  synvita tasks --run DIR --out pairs.csv
  synvita rank pairs.csv --scorer qwen3_vl --device cuda --out ranked/
  synvita evaluate --run DIR --scores ranked/ranked.csv --as qwen3_vl
benchmarks (synvita benchmarks lists public ones; or one's own table): asked of the run's arms, or somebody's scores
measured without a run:
  synvita evaluate --run DIR --tasks ssv2_temporal,atp_hard --data TABLES --videos VIDEOS
  synvita evaluate --run DIR --tasks mine.csv --metric auc --videos VIDEOS
  synvita evaluate --benchmark ssv2_temporal --data TABLES --scores scores.csv --out result.json
  synvita evaluate --benchmark mine.csv --metric auc --scores scores.csv --out result.json
"""


def add_arguments(asking: argparse.ArgumentParser, positive: Callable[[str], int]) -> None:
    asking.epilog = EXAMPLE + (asking.epilog or "")
    text = "these tasks only (default: all that the run has); also one's own tables, each with --metric the first time"
    asking.add_argument("--tasks", metavar="A,B", help=text)
    asking.add_argument("--arms", metavar="A,B", help="these arms only (default: all that are trained or read)")
    asking.add_argument("--models", metavar="A,B", help="these base models only (default: all that have arms)")
    look = "a look: ask (about) N videos of each task; kept apart in DIR/look, and the whole evaluation goes on from it"
    asking.add_argument("--limit", type=positive, metavar="N", help=look)
    asking.add_argument("--scores", type=Path, metavar="TABLE", help="read an arm's scores instead of asking a model")
    asking.add_argument(
        "--as", dest="name", metavar="NAME", help="its name, and of the column, where there is one (default: score)"
    )
    benchmarks.add_arguments(asking)


def run_tasks(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.evaluate.tasks import write_pairs

    settled(a, flags)
    counts = write_pairs(a.run, a.out, None if a.tasks is None else known_tasks(a.tasks, a.run))
    each = ", ".join(f"{name} {number}" for name, number in counts.items())
    say(f"tasks: {sum(counts.values())} pairs in {a.out} ({each})")
    if own := [name for name, number in counts.items() if not number]:
        sys.stderr.write(f"note: {', '.join(own)}: left out, because it asks questions of its own and no captions\n")
    return 0


def run_evaluate(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import stages
    from synvita.arms.looking import FOLDER as LOOK
    from synvita.core.run_folder import again

    if a.benchmark is not None:
        return benchmarks.measure(a, flags)
    benchmarks.check_flags(a)
    if a.name is not None and a.scores is None:
        raise ValueError("--as: names the arm of --scores; give --scores TABLE, too")
    if a.scores is not None and a.shard is not None:
        raise ValueError("--scores: is read when all shards are done; leave it or --shard out")
    if a.limit is not None and a.shard is not None:
        raise ValueError("--limit: a look is small; leave it or --shard out")
    run, scores = opened(a, flags), score_table(a)
    config = run.config()
    names = benchmarks.put_into_run(a)
    models = None if a.models is None else chosen(a.models, "--models")
    known = [*run.known_arms(config), *([] if scores is None else [scores.arm])]
    arms = None if a.arms is None else check_names(chosen(a.arms, "--arms"), known, "--arms")
    tasks = None if names is None else check_names(names, [task.name for task in tasks_of(a.run)], "--tasks")
    if scores is not None:
        taken = stages.read_scores(a.run, config, scores, models)
        say(f"evaluate: {taken.text}")
        sys.stderr.write(f"{taken.gaps}\n" if taken.gaps else "")
    if run.evaluate(tasks, arms, models, **work(a), limit=a.limit) is None:
        say(f"evaluate: shard {a.shard} of the asking is done; when all are: synvita merge, then evaluate again")
        return 0
    place = a.run if a.limit is None else a.run / LOOK
    say(table(place))
    if a.limit is not None:
        say(f"evaluate: {place / 'results.json'}; its page: {again('report', a.run)} --look")
    tiny_note(config)
    return holes(place)


def score_table(a: argparse.Namespace) -> Any:
    from synvita.evaluate.from_table import ScoreTable
    from synvita.ranking.table import files_beside

    return None if a.scores is None else ScoreTable.read(a.scores, a.name, files_beside(a.scores))
