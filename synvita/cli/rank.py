"""`synvita rank`: which of these clips fit their captions?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

HELP = """
example:
  synvita rank clips.csv --scorer qwen3_vl --model Qwen/Qwen3-VL-8B-Instruct --device cuda --out ranked/ --top 100

clips.csv has the columns file, caption and, for a weight, negative_caption; others are kept. A folder of videos has a
captions.csv with the same columns, or a captions.txt with lines of name<TAB>caption. The same command goes on where it
was. Settings of a scorer: --scorers.NAME.dtype bfloat16 and the like.

exit status: 0 done; 1 the machine failed; 2 wrong input; 3 done, but some clips got no score; 130 interrupted.
"""


def add_parser(commands: Any, positive: Any) -> argparse.ArgumentParser:
    text = "which of these clips fit their captions? scores, an order, the best in a folder, a contact sheet"
    parser: argparse.ArgumentParser = commands.add_parser(
        "rank", help=text, description=text[0].upper() + text[1:] + ".", epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("clips", type=Path, help="a table (CSV, JSONL, Parquet), or a folder of videos with captions")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="ranked.csv, index.html, scores, kept/")
    parser.add_argument(
        "--scorer", default="qwen3_vl", metavar="A,B", help="one or several, averaged (default qwen3_vl)"
    )
    parser.add_argument("--model", metavar="FOLDER", help="the scorer's checkpoint: a folder or owner/name")
    parser.add_argument("--device", help="cpu (default), cuda, cuda:1, mps; bfloat16 where no cpu")
    parser.add_argument("--min-score", type=float, metavar="X", help="keep clips with at least this score")
    parser.add_argument("--min-weight", type=float, metavar="W", help="keep clips with at least this weight (Eq. 4)")
    parser.add_argument("--top", type=positive, metavar="N", help="keep the N best")
    parser.add_argument("--best-per-caption", action="store_true", help="keep the best clip of each caption")
    parser.add_argument("--copies", action="store_true", help="kept/ holds copies instead of links")
    parser.set_defaults(call=run_rank)
    return parser


def run_rank(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.cli.run import chosen, how
    from synvita.ranking.api import rank_to_folder
    from synvita.ranking.rank import Keep
    from synvita.ranking.table import read_clips

    if not a.clips.exists():
        raise ValueError(f"{a.clips}: no such table or folder")
    scorers = chosen(a.scorer, "--scorer")
    entries = entries_of(a, scorers, flags)
    rows = read_clips(a.clips)
    keep = Keep(a.min_score, a.min_weight, a.top, a.best_per_caption)
    notes = tiny_notes(scorers, entries)
    for note in notes:
        sys.stderr.write(f"note: {note}\n")
    found = rank_to_folder(rows, a.clips, a.out, scorers, entries, keep, a.copies, how(a), notes)
    without = [one for one in found if one.score is None]
    for one in without:
        sys.stderr.write(f"{one.row.where}: {one.row.reason}\n")
    for one in found[:10]:
        if one.score is not None:
            sys.stdout.write(f"{one.rank:>5}  {one.score:.3f}  {Path(one.row.file).name}  {one.row.caption}\n")
    kept = f", {sum(one.kept for one in found)} kept in {a.out / 'kept'}" if keep.any else ""
    sys.stdout.write(
        f"rank: {len(found) - len(without)} of {len(found)} clips scored{kept}; {a.out / 'ranked.csv'}, "
        f"{a.out / 'index.html'}\n"
    )
    return 3 if without else 0


def entries_of(a: argparse.Namespace, scorers: list[str], flags: list[str]) -> dict[str, dict[str, Any]]:
    """Settings by scorer, from --model, --device and dotted flags. ValueError: a flag that is none of these."""
    from synvita.core.settings import override

    if a.model is not None and len(scorers) > 1:
        raise ValueError("--model: with several scorers it could be any's; give --scorers.NAME.checkpoint for each")
    unknown = next((flag for flag in flags if flag.startswith("--") and not flag.startswith("--scorers.")), None)
    if unknown is not None:
        raise ValueError(f"{unknown}: unknown argument of rank (see --help)")
    found = dict(override({"scorers": {name: {} for name in scorers}}, flags)["scorers"])
    for name in scorers:
        place = {"checkpoint": a.model, "device": a.device}
        found[name] = dict(found.get(name, {})) | {key: value for key, value in place.items() if value is not None}
    return {name: settings for name, settings in found.items() if settings}


def tiny_notes(scorers: list[str], entries: dict[str, dict[str, Any]]) -> list[str]:
    from synvita.videollm.checkpoints import miniature_warning

    given = [(name, entries.get(name, {}).get("checkpoint")) for name in scorers]
    found = [miniature_warning(path, f"--scorers.{name}.checkpoint") for name, path in given if path is not None]
    return [note for note in found if note is not None]
