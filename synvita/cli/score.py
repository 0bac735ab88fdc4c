"""`synvita score`: how well captions fit a video, for one video or for a table of pairs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from synvita.cli.exits import EXIT

EXAMPLES = """
examples:
  synvita score clip.mp4 "a man walks his dog" "a dog walks its man"
  synvita score clip.mp4 "a man walks his dog" --model LanguageBind/Video-LLaVA-7B --device cuda --dtype bfloat16
  synvita score --pairs pairs.csv --out scores.jsonl       pairs.csv has the columns video, caption
"""


def add_parser(commands: Any) -> None:
    score = commands.add_parser(
        "score",
        help="how well captions fit a video: alignment in [0, 1] and log-odds",
        description="How well captions fit a video: alignment in [0, 1] (Eq. 1 of the paper) and log-odds.",
        epilog=EXAMPLES + EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    score.add_argument("video", type=Path, nargs="?", help="any video file")
    score.add_argument("captions", nargs="*", help="one or more captions, each in quotes")
    score.add_argument(
        "--pairs", type=Path, metavar="TABLE", help="CSV or JSONL with video, caption instead of a video"
    )
    score.add_argument("--out", type=Path, metavar="FILE", help="JSONL for the scores of --pairs; goes on where it is")
    score.add_argument("--videos", type=Path, metavar="DIR", help="videos of --pairs are in it (default: the table's)")
    score.add_argument("--explain", action="store_true", help="also let the model say what is wrong with each caption")
    model = score.add_argument_group("model")
    model.add_argument("--model", default="mini-video-llava", help="shipped name, folder or owner/name on the hub")
    model.add_argument("--adapter", type=Path, help="a LoRA adapter (peft's or VideoCon's format) of that model")
    model.add_argument(
        "--temporal-attention", choices=["true", "false"], help="say false for transformers-layout Video-LLaVA models"
    )
    model.add_argument("--tower", help="LanguageBind's folder (default: the one that Video-LLaVA's config names)")
    model.add_argument("--base", help="the vicuna under a pre-training projector")
    model.add_argument("--frames", type=int, default=0, help="frames per video, where the model leaves the choice")
    model.add_argument("--dtype", default="float32", help="float32 (default), bfloat16, float16; scores are fp32")
    model.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, mps")
    model.add_argument("--device-map", choices=["auto"], help="spread the model over all devices")
    model.add_argument("--load-4bit", action="store_true", help="language model in 4 bits (pip install synvita[4bit])")
    limits = score.add_argument_group("limits")
    limits.add_argument("--long-captions", default="error", help="error (default) or truncate, for too long captions")
    limits.add_argument("--cache", type=Path, metavar="DIR", help="keep visual features there for the next time")
    limits.add_argument("--cache-gb", type=float, default=100.0, help="most that the cache may take (default 100)")
    limits.add_argument(
        "--decode-timeout", type=float, default=60.0, metavar="S", help="seconds until a decoder is killed"
    )
    score.set_defaults(call=run_score)


def run_score(a: argparse.Namespace, flags: list[str]) -> int:
    if flags:
        raise ValueError(f"{flags[0]}: unknown argument (see synvita score --help)")
    if (a.video is None) == (a.pairs is None):
        raise ValueError("score: give a video with captions, or --pairs TABLE (see synvita score --help)")
    if a.pairs is not None and a.out is None:
        raise ValueError("--out: --pairs needs a file for the scores, e.g. --out scores.jsonl")
    if a.pairs is None and not a.captions:
        raise ValueError("captions: none given; give at least one, in quotes")
    if a.pairs is None and not a.video.exists():
        raise ValueError(f"{a.video}: no such file; check the path")
    from synvita.api.pairs import Pairs

    table = Pairs(a.pairs, a.videos, a.out) if a.pairs is not None else None  # before the model takes its minutes
    from synvita.videollm.checkpoints import miniature_warning

    aligner = load_aligner(a)
    try:
        status = score_table(aligner, table) if table is not None else score_one(aligner, a)
        warning = miniature_warning(a.model)
        if warning:
            sys.stderr.write(f"note: {warning}\n")
        return status
    finally:
        aligner.close()
        if aligner.store.folder is not None:
            size = aligner.store.size() / 1e9
            sys.stderr.write(f"visual cache: {size:.2f} of {a.cache_gb:g} GB in {aligner.store.folder}\n")


def load_aligner(a: argparse.Namespace) -> Any:
    from synvita.videollm.aligner import Aligner
    from synvita.videollm.protocol import dtype_of

    return Aligner.from_pretrained(
        a.model,
        a.adapter,
        {"true": True, "false": False, None: None}[a.temporal_attention],
        dtype_of(a.dtype),
        a.device,
        a.cache,
        a.decode_timeout,
        a.long_captions,
        a.cache_gb,
        device_map=a.device_map,
        load_4bit=a.load_4bit,
        tower=a.tower,
        base=a.base,
        frames=a.frames,
    )


def score_one(aligner: Any, a: argparse.Namespace) -> int:
    scores = aligner.score(a.video, a.captions)
    sys.stdout.write(f"{'alignment':>9}  {'log-odds':>8}  caption\n")
    for value, odds, caption in zip(scores.alignment, scores.log_odds, a.captions, strict=True):
        sys.stdout.write(f"{value:9.4f}  {odds:8.3f}  {caption}\n")
        if a.explain:
            sys.stdout.write(f"{'':21}{aligner.explain(a.video, caption)}\n")
    if aligner.model.temporal_attention is False:
        sys.stderr.write("note: this model's vision part has no temporal attention\n")
    return 0


def score_table(aligner: Any, table: Any) -> int:
    """What is named and counted on the terminal; 3 where a row gave no score."""
    from synvita.api import pairs

    done = pairs.score_table(aligner, table)
    for where, reason in ((line["row"], line["reason"]) for line in done.lines if "reason" in line):
        sys.stderr.write(f"{where}: {reason}\n")
    left = f", {done.gone} of pairs that are no longer in the table were dropped" if done.gone else ""
    sys.stdout.write(
        f"score: {len(done.lines)} pairs, {done.were_there} were there, {len(done.reasons)} gave no score{left}; "
        f"{table.out}\n"
    )
    return 3 if done.reasons else 0
