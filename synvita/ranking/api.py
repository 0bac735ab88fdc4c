"""`synvita.rank`: the command and the function are this."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synvita.core.decoder import Decoder
from synvita.core.progress import progress
from synvita.how import HERE, How
from synvita.ranking.rank import DEFAULT_SCORER, Keep, Ranked, fill_kept, rank_clips, stages_of, write_table
from synvita.ranking.table import Row, resolved
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
    clips: Sequence[str | Path],
    captions: Sequence[str],
    scorer: str = DEFAULT_SCORER,
    negative_captions: Sequence[str] | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Which of these clips fit their captions?

    Args:
        clips: files, one per caption. scorer: a known one, or module:Class. settings: of the scorer: `checkpoint`,
            `device`, `dtype`, ... negative_captions: for a weight (Eq. 4). out: a folder that keeps the scores, so that
            the next call goes on where this one was; default: none is kept.
    Returns:
        A record per clip, best first: clip, caption, rank (from 1; None without a score), score in [0, 1], weight,
        reason.
    Raises:
        ValueError: lists of different lengths; as the command.
    """
    others = [""] * len(clips) if negative_captions is None else list(negative_captions)
    if isinstance(clips, (str, Path)) or isinstance(captions, str):
        raise ValueError("clips, captions: give a list of files and a list of captions, one for each")
    if not len(clips) == len(captions) == len(others):
        raise ValueError(f"captions: {len(captions)} of them and {len(others)} negative ones for {len(clips)} clips")
    wrong = [text for text in (*captions, *others) if not isinstance(text, str)]
    if wrong:
        raise ValueError(f"captions: {wrong[0]!r} is no text; give one for each clip")
    rows = [
        resolved(Row(f"clips[{i}]", str(clip), caption, other), Path())
        for i, (clip, caption, other) in enumerate(zip(clips, captions, others, strict=True))
    ]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "rank" if out is None else Path(out)
        found = rank_clips(rows, folder, folder, stages_of([scorer], {scorer: settings} if settings else {}))
    keys = ("clip", "caption", "rank", "score", "weight", "reason")
    return [
        dict(zip(keys, (o.row.file, o.row.caption, o.rank, o.score, o.weight, o.row.reason), strict=True))
        for o in found
    ]
