"""`synvita score`: how well captions fit a video, for one video or for a table of pairs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
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
    table = Pairs(a.pairs, a.videos, a.out) if a.pairs is not None else None  # before the model takes its minutes
    from synvita.videollm.checkpoints import miniature_warning

    aligner = load_aligner(a)
    try:
        status = score_table(aligner, a, table) if table is not None else score_one(aligner, a)
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


RECORD = {"row", "video", "caption", "digest", "alignment", "log_odds", "model"}  # and `reason`, if there is no score


class Pairs:
    """The rows of `--pairs` with what they are about, and the scores that `--out` has already.

    A score belongs to (the video's bytes, the caption, the model), so rows may be added, moved and edited between two
    calls. `rows`: (where, video as written, caption, digest, path or "", problem or "").
    """

    def __init__(self, table: Path, videos: Path | None, out: Path):
        from synvita.core.tables import need_columns, read_table

        columns, rows = read_table(table, "--pairs", ("video", "caption"))
        need_columns(table, columns, ("video", "caption"), "--pairs")
        self.out, self.kept = out, self._there(out)
        self.rows = list(self._resolved(rows, table, videos))

    def _resolved(self, rows: list[Any], table: Path, videos: Path | None) -> Iterator[dict[str, str]]:
        from synvita.core.provenance import file_digest
        from synvita.core.tables import cell
        from synvita.triplets.tables import video_finder

        find = video_finder(table.parent, videos)
        digests: dict[str, str] = {}
        for row in rows:
            pair = {"row": row.where, "digest": "", "path": "", "reason": row.problem}
            pair |= {name: str(row.fields.get(name) or "") for name in ("video", "caption")}  # shown, if refused
            try:
                for column in ("video", "caption") if not row.problem else ():
                    pair[column] = cell(row.fields, column)
                if not row.problem:
                    pair["path"] = find(pair["video"])
                    if pair["path"] not in digests:  # a FIFO or a broken file is the decoder's to judge
                        regular = Path(pair["path"]).is_file()
                        digests[pair["path"]] = file_digest(Path(pair["path"])) if regular else ""
                    pair["digest"] = digests[pair["path"]]
            except (ValueError, OSError) as error:
                pair["reason"] = f"{getattr(error, 'strerror', None) or error}"
            yield pair

    def _there(self, out: Path) -> list[dict[str, Any]]:
        """The scores of an earlier call; ValueError if the file is anything else: it would be overwritten."""
        from synvita.core.store import as_line, parse_lines

        if not out.exists():
            return []
        if not out.is_file():
            raise ValueError(f"--out: {out} is not a file; give another one")
        other = f"--out: {out} holds something else than scores of this command and is kept; give another file"
        try:
            lines = [fields for _, fields in parse_lines(out)]
        except ValueError as error:
            raise ValueError(f"{other} ({error})") from None
        torn = out.read_bytes().rpartition(b"\n")[2]
        begin = as_line({"row": ""}).encode()[:9]  # how every line begins: a torn one is a piece of such a line
        if any(set(fields) - {"reason"} != RECORD for fields in lines) or torn[: len(begin)] != begin[: len(torn)]:
            raise ValueError(other)
        return [fields for fields in lines if "reason" not in fields]


def score_table(aligner: Any, a: argparse.Namespace, table: Pairs) -> int:
    """One line per row of the table, in its order; what gives no score is named and counted, and tried again.

    Goes on where a killed run was.

    Raises:
        ValueError: the file holds scores of another model.
    """
    from synvita.core.progress import progress
    from synvita.core.store import Appender, write_records

    model = identity(aligner, a)
    other = next((fields["model"] for fields in table.kept if fields["model"] != model), None)
    if other is not None:
        raise ValueError(f"--out: {a.out} holds scores of model {other}, this is {model}; give another file")
    scores = {(fields["digest"], fields["caption"]): fields for fields in table.kept}
    wanted = {(row["digest"], row["caption"]) for row in table.rows}
    gone = len(scores.keys() - wanted)
    todo: dict[str, list[dict[str, str]]] = {}
    for row in table.rows:
        if not row["reason"] and (row["digest"], row["caption"]) not in scores:
            todo.setdefault(row["path"], []).append(row)
    write_records(a.out, table.kept)  # without a torn line and lines that gave no score
    were_there = sum((row["digest"], row["caption"]) in scores for row in table.rows)
    reasons: dict[str, str] = {row["row"]: row["reason"] for row in table.rows if row["reason"]}
    with Appender(a.out) as out, progress("score", sum(map(len, todo.values()))) as tick:
        for path, rows in todo.items():
            pairs = aligner.score_pairs((path, row["caption"]) for row in rows)
            for row, pair in zip(rows, pairs, strict=True):
                if pair.reason is None:
                    line = record(row, model, pair.alignment, pair.log_odds)
                    if (row["digest"], row["caption"]) not in scores:
                        out.append(line)
                    scores[row["digest"], row["caption"]] = line
                else:
                    reasons[row["row"]] = pair.reason
                tick()
    lines = []
    for row in table.rows:
        score = scores.get((row["digest"], row["caption"])) if row["row"] not in reasons else None
        if score is not None:
            lines.append(record(row, model, score["alignment"], score["log_odds"]))
        else:
            lines.append(record(row, model, None, None) | {"reason": reasons[row["row"]]})
            sys.stderr.write(f"{row['row']}: {reasons[row['row']]}\n")
    write_records(a.out, lines)
    left = f", {gone} of pairs that are no longer in the table were dropped" if gone else ""
    sys.stdout.write(
        f"score: {len(lines)} pairs, {were_there} were there, {len(reasons)} gave no score{left}; {a.out}\n"
    )
    return 3 if reasons else 0


def record(row: dict[str, str], model: str, alignment: float | None, log_odds: float | None) -> dict[str, Any]:
    names = {name: row[name] for name in ("row", "video", "caption", "digest")}
    return names | {"alignment": alignment, "log_odds": log_odds, "model": model}


def identity(aligner: Any, a: argparse.Namespace) -> str:
    """Whose scores these are: the model's name, and a digest of its weights, adapter and how it is asked."""
    from synvita.core.provenance import digest, folder_digest

    adapter = folder_digest(a.adapter) if a.adapter else None
    how = [aligner.model.revision, adapter, a.dtype, a.load_4bit, a.frames, a.long_captions]
    return f"{a.model}@{digest(how)}"
