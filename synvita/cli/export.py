"""`synvita export`: a run's clips as a data set that others can load."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

HELP = """
example:
  synvita export --run runs/A --format videofolder --out clips/
  synvita generate --clips clips/metadata.parquet --run runs/B       the same clips in another run

exit status: 0 done; 2 wrong input; 3 done, but some clips could not be read; 130 interrupted (give it again).
"""


def add_parser(commands: Any) -> None:
    text = "a run's clips with captions, scores and weights as a data set"
    parser: argparse.ArgumentParser = commands.add_parser(
        "export", help=text, description=text[0].upper() + text[1:] + ".", epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="the run folder")
    formats = "Hugging Face's VideoFolder (default), or tar shards of WebDataset"
    parser.add_argument("--format", choices=["videofolder", "webdataset"], default="videofolder", help=formats)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--generators", metavar="A,B", help="clips of these generators only (default: all)")
    parser.set_defaults(call=run_export)


def run_export(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.cli.configuration import refuse
    from synvita.cli.run import chosen, say
    from synvita.publish.shards import export_shards
    from synvita.publish.videofolder import export

    refuse(flags)
    if not (a.run / "config.yaml").exists():
        raise ValueError(f"--run: {a.run} is no run folder (no config.yaml)")
    write = export if a.format == "videofolder" else export_shards
    done = write(a.run, a.out, None if a.generators is None else chosen(a.generators, "--generators"))
    for clip, reason in done.set_aside.items():
        sys.stderr.write(f"{clip}: {reason}\n")
    say(f"export: {done.clips} clips in {a.out}, {len(done.set_aside)} set aside")
    return 3 if done.set_aside else 0
