"""`synvita clip`: one caption, one file, to look at; no run folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

HELP = """
example: synvita clip "a red ring moves left" --generator wan --device cuda --out ring.mp4

Settings of the generator: --generators.NAME.steps 20 and the like, or several: --generators.NAME '{steps: 20, fps: 8}'.

exit status: 0 done; 1 the machine failed; 2 wrong input; 130 interrupted.
"""


def add_parser(commands: Any, whole: Any) -> None:
    text = "make one clip of a caption, to look at"
    parser: argparse.ArgumentParser = commands.add_parser(
        "clip", help=text, description=text[0].upper() + text[1:] + ".", epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("caption", help="what it is to show")
    parser.add_argument(
        "--generator", required=True, metavar="NAME", help="a known one, diffusers:FOLDER, module:Class"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="an mp4 file; refused if it is there")
    parser.add_argument("--checkpoint", metavar="FOLDER", help="the generator's: a folder or owner/name")
    parser.add_argument("--device", help="cpu (default), cuda, cuda:1, mps")
    parser.add_argument("--seed", type=whole, default=0, help="another one shows another clip (default 0)")
    parser.set_defaults(call=run_clip)


def run_clip(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita.core.settings import override
    from synvita.generate.clips import generator_part
    from synvita.generate.one import make_one

    unknown = next((flag for flag in flags if flag.startswith("--") and not flag.startswith("--generators.")), None)
    if unknown is not None:
        raise ValueError(f"{unknown}: unknown argument of clip (see --help)")
    place = {"checkpoint": a.checkpoint, "device": a.device}
    entries = dict(override({"generators": {}}, flags)["generators"])
    given = {key: value for key, value in place.items() if value is not None}
    if given or a.generator in entries:
        entries[a.generator] = dict(entries.get(a.generator, {})) | given
    seconds = make_one(generator_part(a.generator, entries, "--generator"), a.caption, a.seed, a.out)
    sys.stdout.write(f"clip: {a.out} in {seconds:.1f} s\n")
    return 0
