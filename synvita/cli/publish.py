"""`synvita publish adapter`: a trained arm on a model hub, with a model card."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

HELP = """
example:
  synvita publish adapter runs/A/models/mini-video-llava/adapters/synvita/0 --repo owner/name --dry-run

The token of the hub comes from `hf auth login` or HF_TOKEN. exit status: 0 done; 2 wrong input, or refused.
"""


def add_parser(commands: Any) -> None:
    text = "put a trained arm's adapter on a model hub, with a model card"
    parser: argparse.ArgumentParser = commands.add_parser(
        "publish", help=text, description=text[0].upper() + text[1:] + ".", epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("what", choices=["adapter"])
    parser.add_argument("folder", type=Path, help="RUN/models/MODEL/adapters/ARM/SEED")
    parser.add_argument("--repo", required=True, metavar="OWNER/NAME", help="made if it is not there")
    parser.add_argument("--dry-run", action="store_true", help="show what would go up; nothing is sent")
    parser.set_defaults(call=run_publish)


def run_publish(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.cli.configuration import refuse
    from synvita.cli.run import say
    from synvita.publish.adapter import prepare, publish

    refuse(flags)
    upload = prepare(a.folder, a.repo)
    for note in upload.notes:
        sys.stderr.write(f"note: {note}\n")
    for name, size in upload.sizes.items():
        say(f"{size:>12,}  {name}")
    if a.dry_run:
        say(f"\n{upload.card}\npublish: nothing was sent (--dry-run); it would go to {a.repo}")
        return 0
    say(f"publish: {publish(upload)}")
    return 0
