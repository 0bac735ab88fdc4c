"""`synvita compare`: arms, base models or run folders side by side, with what chance makes of their differences."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HELP = """
examples:
  synvita compare runs/A                                    the arms of one run, each with real_only
  synvita compare runs/A runs/B --against paper             the same arms of two runs, B minus A
  synvita compare runs/A --models one,two --arms synvita    base models of one run

Runs that were asked different pairs are compared on those that they share; what is left out is counted.
Fractions, and differences by class, are in --out FILE.json.

exit status: 0 done; 2 wrong input, or nothing shared; 3 done, but pairs were left out; 130 interrupted.
"""


def add_parser(commands: Any, whole: Callable[[str], int], positive: Callable[[str], int]) -> None:
    text = "arms, base models or runs side by side: intervals, paired differences, better, worse or cannot tell"
    parser: argparse.ArgumentParser = commands.add_parser(
        "compare", help=text, description=text[0].upper() + text[1:] + ".", epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="one or several run folders")
    parser.add_argument("--against", choices=["paper"], help="put the paper's published numbers beside")
    parser.add_argument("--arms", metavar="A,B", help="these arms only (default: all that were asked)")
    parser.add_argument("--models", metavar="A,B", help="these base models only (default: all)")
    parser.add_argument("--tasks", metavar="A,B", help="these tasks only (default: all); also per_type.flip and so on")
    parser.add_argument(
        "--reference", metavar="NAME", help="the run, model or arm to compare with (default: the first; real_only)"
    )
    parser.add_argument("--seed", type=whole, help="of training (default: each run's own)")
    parser.add_argument("--draws", type=positive, help="bootstrap resamples of videos (default 2000)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the tables: FILE.json or FILE.md")
    parser.set_defaults(call=run_compare)


def run_compare(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.cli.configuration import refuse
    from synvita.cli.run import say
    from synvita.core.store import write_atomic
    from synvita.evaluate.compare import compare
    from synvita.report.comparison import as_markdown, as_text, paper_beside, tables

    refuse(flags)
    if a.out is not None and a.out.suffix not in (".json", ".md"):
        raise ValueError(f"--out: {a.out}: give a file that ends in .json or .md")
    found = compare(a.runs, question(a))
    if a.against == "paper":
        found["paper"] = paper_beside([row["task"] for one in found["comparisons"] for row in one["tasks"]])
        if not found["paper"]:
            found["notes"].append("--against paper: none of these tasks is one of the paper's")
    every = tables(found)
    say(as_text(every, found["notes"]))
    if a.out is not None:
        text = as_markdown(every, found["notes"]) if a.out.suffix == ".md" else json.dumps(found, indent=1) + "\n"
        write_atomic(a.out, text)
    return 3 if says_left_out(found) else 0


def question(a: argparse.Namespace) -> Any:
    from synvita.cli.run import chosen
    from synvita.core.records import Misalignment
    from synvita.core.vocabulary import FIGURES, check_names
    from synvita.evaluate.compare import DRAWS, Question
    from synvita.evaluate.config import EvaluateConfig

    some = {
        name: None if (given := getattr(a, name)) is None else chosen(given, f"--{name}") for name in ("arms", "models")
    }
    known = dict.fromkeys([*(task.name for task in FIGURES), *(f"per_type.{kind}" for kind in Misalignment)])
    tasks = None if a.tasks is None else check_names(chosen(a.tasks, "--tasks"), known, "--tasks")
    return Question(
        **some, tasks=tasks, reference=a.reference, seed=a.seed, measure=EvaluateConfig(draws=a.draws or DRAWS)
    )


def says_left_out(found: dict[str, Any]) -> bool:
    """Whether a difference lacks pairs, and a line on stderr then."""
    keys = ("only_of", "only_minus", "without_score", "of_cut_questions")
    number = sum(row[key] for one in found["comparisons"] for row in one["tasks"] for key in keys if row.get(key))
    if number:
        sys.stderr.write(f"synvita: {number} pairs are in no difference, counted by task above\n")
    return bool(number)
