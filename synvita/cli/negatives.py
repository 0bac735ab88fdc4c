"""`synvita triplets negatives`: captions of a table -> triplets, by a language model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from synvita.cli.configuration import settled
from synvita.cli.exits import left_out
from synvita.core.records import Misalignment

EXAMPLE = """
examples:
  synvita triplets negatives captions.csv --run R --endpoint http://127.0.0.1:8000/v1 --model Qwen/Qwen3-8B
  synvita triplets negatives captions.csv --run R --local Qwen/Qwen3-4B-Instruct-2507 --device cuda

captions.csv has the columns video, caption and, if known, id, split. The key of an endpoint comes from SYNVITA_API_KEY
or OPENAI_API_KEY. The same command goes on where it was, and tries again what was set aside.
"""


def add_arguments(parser: argparse.ArgumentParser, positive: Any) -> argparse.ArgumentParser:
    parser.epilog = EXAMPLE + (parser.epilog or "")
    parser.add_argument("table", type=Path, help="CSV, JSONL or Parquet with video, caption")
    parser.add_argument(
        "--videos", type=Path, metavar="DIR", help="videos are relative to it (default: the table's folder)"
    )
    types = ", ".join(Misalignment)
    parser.add_argument("--types", metavar="A,B", help=f"of these types only (default: {types})")
    model = parser.add_argument_group("language model")
    model.add_argument("--endpoint", metavar="URL", help="a chat endpoint in OpenAI's format, as http://HOST:8000/v1")
    model.add_argument("--model", metavar="NAME", help="the model's name there")
    model.add_argument(
        "--at-once", type=positive, default=4, metavar="N", help="requests under way at a time (default 4)"
    )
    model.add_argument("--timeout", type=positive, default=60, metavar="S", help="seconds per request (default 60)")
    model.add_argument(
        "--request", default="{}", metavar="YAML", help="fields of the request: '{temperature: 1, max_tokens: null}'"
    )
    model.add_argument("--local", metavar="FOLDER", help="instead: a model of transformers, or owner/name on the hub")
    model.add_argument("--device", default="cpu", help="of --local: cpu (default), cuda, cuda:1, mps")
    model.add_argument("--dtype", default="auto", help="of --local: float32, bfloat16, float16 (default: as stored)")
    return parser


def run(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import stages
    from synvita.cli.run import chosen, how, say_counts
    from synvita.core.vocabulary import check_names
    from synvita.triplets.negatives.captions import read_captions

    types = list(Misalignment)
    if a.types is not None:
        check_names(chosen(a.types, "--types"), types, "--types")
        types = [kind for kind in types if kind in chosen(a.types, "--types")]
    model, work = language_model(a), how(a)
    captions, aside = read_captions(a.table, a.videos, types)  # what is wrong with it is said before a folder is made
    settled(a, flags)
    for where, reason in aside.items():
        sys.stderr.write(f"{where}: {reason}\n")
    say_counts("negatives", stages.make_negatives(a.run, captions, aside, model, work))
    return left_out(a.run, "triplets") if a.shard is None else 0


def language_model(a: argparse.Namespace) -> Any:
    """ValueError: not exactly one of --endpoint and --local; settings of the one given with the other."""
    if (a.endpoint is None) == (a.local is None):
        raise ValueError("--endpoint: give either --endpoint URL --model NAME or --local FOLDER")
    if a.local is not None:
        from synvita.core.devices import DTYPES
        from synvita.core.settings import choose
        from synvita.triplets.negatives.local_model import LocalModel

        if a.model is not None:
            raise ValueError("--model: is the name at an endpoint; --local names the model itself")
        choose("--dtype", a.dtype, ("auto", *DTYPES))
        return LocalModel(a.local, a.device, a.dtype)
    from synvita.core.reading import parse_yaml
    from synvita.triplets.negatives.endpoint import Endpoint

    if not a.model:
        raise ValueError("--model: none given; give the model's name at the endpoint")
    request = parse_yaml(a.request, "--request")
    if not isinstance(request, dict) or {"model", "messages", "stream"} & request.keys():
        raise ValueError("--request: expected fields like '{temperature: 1}', without model, messages and stream")
    return Endpoint(a.endpoint, a.model, request, a.at_once, a.timeout)
