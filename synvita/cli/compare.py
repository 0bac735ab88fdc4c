"""`synvita compare`: arms, base models or run folders side by side, with what chance makes of their differences."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HELP = """
examples:
  synvita compare runs/A                                    the arms of one run, each with real_only
  synvita compare runs/A runs/B --against paper             the same arms of two runs, B minus A
  synvita compare runs/A --models one,two --arms synvita    base models of one run
  synvita compare runs/A runs/B --out compared.html         as a page: verdicts in words, differences drawn

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
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="also write it: FILE.html (a page), FILE.md or FILE.json"
    )
    parser.set_defaults(call=run_compare)


def run_compare(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.api.compare import compare_runs, question
    from synvita.cli.configuration import refuse
    from synvita.cli.run import chosen, say
    from synvita.report.comparison import as_text, tables

    refuse(flags)
    names = {
        name: None if (given := getattr(a, name)) is None else chosen(given, f"--{name}")
        for name in ("arms", "models", "tasks")
    }
    asked = question(a.runs, **names, reference=a.reference, seed=a.seed, draws=a.draws)
    computed = compare_runs(a.runs, asked, paper=a.against == "paper", out=a.out)
    say(as_text(tables(computed), computed["notes"]))
    if a.out is not None:
        say(f"\ncompare: {a.out}")
    return 3 if says_left_out(computed) else 0


def says_left_out(found: dict[str, Any]) -> bool:
    """Whether a difference lacks pairs, and a line on stderr then."""
    keys = ("only_of", "only_minus", "without_score", "of_cut_questions")
    number = sum(row[key] for one in found["comparisons"] for row in one["tasks"] for key in keys if row.get(key))
    if number:
        sys.stderr.write(f"synvita: {number} pairs are in no difference, counted by task above\n")
    return bool(number)
