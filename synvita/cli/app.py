"""`synvita app`: a page on this machine that scores captions of a clip and shows which words carry the score."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HELP = """
examples:
  synvita app                                               a tiny model that knows coloured shapes
  synvita app --model LanguageBind/Video-LLaVA-7B --device cuda --dtype bfloat16

The page is at http://127.0.0.1:7860 until Ctrl-C, for this machine only. It needs gradio: pip install 'synvita[app]'

exit status: 0 done; 2 wrong input; 130 interrupted.
"""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_parser(commands: Any, positive: Callable[[str], int]) -> None:
    text = "a page in the browser: drop a clip, type captions, see scores and which words carry them"
    parser: argparse.ArgumentParser = commands.add_parser(
        "app", help=text, description=text[0].upper() + text[1:] + ".", epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--model", default="mini-video-llava", help="shipped name, folder or owner/name on the hub")
    parser.add_argument("--adapter", type=Path, help="a LoRA adapter of that model")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, mps")
    parser.add_argument("--dtype", default="float32", help="float32 (default), bfloat16, float16")
    parser.add_argument("--host", default=LOOPBACK[0], help="address to listen on (default 127.0.0.1: this machine)")
    parser.add_argument("--port", type=positive, default=7860, help="default 7860")
    parser.set_defaults(call=run_app)


def run_app(a: argparse.Namespace, flags: list[str]) -> int:
    import importlib.util

    from synvita.cli.configuration import refuse

    refuse(flags)
    if a.port > 65535:
        raise ValueError(f"--port: {a.port} is no port; give 1 to 65535")
    if importlib.util.find_spec("gradio") is None:  # before the model takes its minutes
        raise ValueError("app: needs gradio; pip install 'synvita[app]'")
    if a.host not in LOOPBACK:
        sys.stderr.write(f"note: --host {a.host}: whoever reaches this address can send videos to the model\n")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    from synvita.app.page import serve
    from synvita.videollm.aligner import Aligner
    from synvita.videollm.checkpoints import miniature_warning

    note = miniature_warning(a.model) or ""
    with Aligner.from_pretrained(a.model, a.adapter, dtype=a.dtype, device=a.device) as aligner:
        serve(aligner, a.host, a.port, note)
    return 0
