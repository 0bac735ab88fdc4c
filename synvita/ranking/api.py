"""`synvita.rank`: the command and the function are this."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synvita.core import arguments
from synvita.core.data_frames import as_asked, check_frame
from synvita.core.decoder import Decoder
from synvita.core.progress import progress
from synvita.how import HERE, How
from synvita.ranking.rank import DEFAULT_SCORER, Keep, Ranked, fill_kept, rank_clips, stages_of, write_table
from synvita.ranking.table import Row, read_clips, resolved
from synvita.report.sheet import MOST, Card, strip_of, write_sheet
from synvita.weigh.stage import Entries


def rank_to_folder(
    rows: list[Row],
    source: Path,
    out: Path,
    scorers: Sequence[str],
    entries: Entries,
    keep: Keep,
    copies: bool = False,
    how: How = HERE,
    notes: Sequence[str] = (),
) -> list[Ranked]:
    """Score, order and keep; write `ranked.csv`, `index.html` and, if something is asked of the clips, `kept/`."""
    keep.check(rows)
    found = rank_clips(rows, out, source, stages_of(scorers, entries), how)
    if keep.any:
        keep.mark(found)
    fill_kept(found, out, source, copies)
    write_table(found, scorers, out / "ranked.csv", keep.any)
    write_sheet(out / "index.html", f"Which clips fit? {source.name}", *sheet_of(found, scorers), notes)
    return found


def sheet_of(rows: Sequence[Ranked], scorers: Sequence[str]) -> tuple[list[str], list[Card]]:
    weighed = any(one.weight is not None for one in rows)
    several = len(scorers) > 1
    columns = ["rank", "score", *(["weight"] if weighed else []), *(scorers if several else [])]
    cards = []
    with Decoder() as decoder, progress("contact sheet", min(MOST, len(rows))) as tick:
        for at, one in enumerate(rows):
            strip = strip_of(Path(one.row.file), decoder) if at < MOST and Path(one.row.file).is_file() else ""
            values = [one.rank, one.score, *([one.weight] if weighed else [])]
            values += [one.scores.get(name) for name in scorers] if several else []
            cards.append(Card(one.row.file, one.row.caption, values, one.kept, one.row.reason, strip))
            if at < MOST:
                tick()
    return columns, cards


def rank(
    clips: str | Path | Sequence[str | Path],
    captions: Sequence[str] | None = None,
    scorer: str | Sequence[str] = DEFAULT_SCORER,
    negative_captions: Sequence[str] | None = None,
    out: str | Path | None = None,
    as_frame: bool = False,
    **settings: Any,
) -> Any:
    """Which of these clips fit their captions?

    Args:
        clips: files, one per caption. Without `captions`: a table (CSV, JSONL, Parquet) with file, caption and perhaps
            negative_caption, or a folder of videos with captions.csv or captions.txt.
        captions: a text per clip.
        scorer: a known one (`synvita.known.scorers()`) or module:Class; a list is averaged (default "qwen3_vl").
        negative_captions: a text per clip, for a weight (Eq. 4; default: none).
        out: a folder that keeps the scores, so that the next call goes on where this one was (default: none is kept).
        as_frame: a pandas.DataFrame instead of records (default False).
        settings: of the scorer: `checkpoint`, `device` ("cpu"), `dtype` ("float32"), ...
    Returns:
        A record per clip, best first: clip, caption, rank (from 1; None without a score), score in [0, 1], weight,
        reason.
    Raises:
        ValueError: an argument of a wrong type, by its name; lists of different lengths; as the command.
    """
    check_frame(as_frame)
    rows = given_rows(clips, captions, negative_captions)
    scorers = arguments.names("scorer", scorer) or [DEFAULT_SCORER]
    if settings and len(scorers) > 1:
        raise ValueError(f"{min(settings)}: of which scorer? give one scorer, or call the command synvita rank")
    kept = None if out is None else arguments.path("out", out, "a folder")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "rank" if kept is None else kept
        found = rank_clips(rows, folder, folder, stages_of(scorers, {scorers[0]: settings} if settings else {}))
    keys = ("clip", "caption", "rank", "score", "weight", "reason")
    records = [
        dict(zip(keys, (o.row.file, o.row.caption, o.rank, o.score, o.weight, o.row.reason), strict=True))
        for o in found
    ]
    return as_asked(records, as_frame)


def given_rows(clips: Any, captions: Any, negative_captions: Any) -> list[Row]:
    """Of a table, or of lists. ValueError: neither; lists of different lengths; a caption that is no text."""
    one = isinstance(clips, (str, Path))
    if captions is None:
        if not one:
            raise ValueError("captions: none given; give one for each clip, or a table or folder alone")
        if not Path(clips).exists():
            raise ValueError(f"clips: {clips}: no such table or folder")
        if negative_captions is not None:
            raise ValueError("negative_captions: stand in the table's column negative_caption; leave them out")
        return read_clips(Path(clips))
    if one or isinstance(captions, str):
        raise ValueError("clips, captions: give a list of files and a list of captions, one for each")
    for name, value in (("clips", clips), ("captions", captions), ("negative_captions", negative_captions)):
        if value is not None and not isinstance(value, Sequence):
            raise arguments.refuse(name, value, "a list, one for each clip")
    others = [""] * len(clips) if negative_captions is None else list(negative_captions)
    for name, texts in (("captions", captions), ("negative_captions", others)):
        if len(texts) != len(clips):
            raise ValueError(f"{name}: {len(texts)} given for {len(clips)} clips; give one for each clip")
    wrong = [text for text in (*captions, *others) if not isinstance(text, str)]
    if wrong:
        raise ValueError(f"captions: {wrong[0]!r} is no text; give one for each clip")
    files = [str(arguments.path(f"clips[{number}]", clip)) for number, clip in enumerate(clips)]
    return [
        resolved(Row(f"clips[{i}]", file, caption, other), Path())
        for i, (file, caption, other) in enumerate(zip(files, captions, others, strict=True))
    ]
