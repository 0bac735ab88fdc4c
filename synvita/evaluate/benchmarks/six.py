"""The paper's six benchmarks, as VideoCon publishes them (and in the form that SynViTA's scripts read)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from synvita.core.tables import read_table
from synvita.evaluate.benchmarks.names import video_id
from synvita.evaluate.benchmarks.table import (
    KNOB,
    Entry,
    Loaded,
    caption,
    find_file,
    label,
    once,
    pair_of,
    rows_of,
    text,
)

OPTIONS = 5
CAUSAL, TEMPORAL = "causal", "temporal"
TYPES = {"C": CAUSAL, "T": TEMPORAL}


# ---- VideoCon's entailment sets


def videocon_llm(data: Path) -> Loaded:
    """The pairs of the test split of `videocon_llm_entailment.csv`."""
    return _entailment(find_file(data, ("videocon_llm_entailment.csv",)), "videopath", "split", lambda v: v == "test")


def videocon_human(data: Path) -> Loaded:
    return _entailment(find_file(data, ("videocon_human.csv",)), "video_url")


def videocon_human_hard(data: Path) -> Loaded:
    """The rows marked as hard."""
    path = find_file(data, ("videocon_human.csv",))
    return _entailment(path, "video_url", "hard", lambda value: value.lower() in ("true", "1", "1.0"))


def _entailment(path: Path, video: str, column: str = "", keep: Callable[[str], bool] = bool) -> Loaded:
    """A row per caption and negative caption, or a row per pair with `label`; `keep` chooses by a column's value."""
    columns = read_table(path, KNOB)[0]
    pairs = "label" in columns and "neg_caption" not in columns
    video = "videopath" if video not in columns and "videopath" in columns else video
    wanted = [video, "caption", "label" if pairs else "neg_caption", *([column] if column else [])]
    entries: list[Entry] = []
    beside: list[Entry] = []
    chosen = 0
    for row in rows_of(path, wanted):
        counts = not column or keep(str(row.fields.get(column) or "").strip())
        chosen += counts
        told = [("caption", label(row, "label"))] if pairs else [("caption", 1), ("neg_caption", 0)]
        part = str(row.fields.get("misalignment") or "").strip()
        for name, right in told:
            pair = pair_of(text(row, video), caption(row, name), right, f"{path.stem}:{row.number}")
            (entries if counts else beside).append(Entry(pair | ({"part": part} if part else {}), row.where))
    if not chosen:
        raise ValueError(f"{KNOB}: {path}: no row is chosen by its column {column!r}; is it another benchmark's file?")
    form = f"{chosen} rows of {'one pair' if pairs else 'two pairs'}"
    return Loaded(entries, [path], form, beside=beside)


def distinct(loaded: Loaded) -> Loaded:
    """A caption that several rows have for a video is one pair: the authors' scripts drop such repeats, too.

    ValueError: one of these pairs has two labels.
    """
    first = {entry.pair: entry.row["query"] for entry in reversed(loaded.entries)}
    same = [Entry(entry.row | {"query": first[entry.pair]}, entry.where) for entry in loaded.entries]
    entries, repeats = once(same)
    notes = [f"{repeats} pairs are there several times and count once"] if repeats else []
    return replace(loaded, entries=entries, notes=loaded.notes + notes)


# ---- Something-Something retrieval


def ssv2_temporal(data: Path) -> Loaded:
    return _retrieval(find_file(data, ("eval_ssv2_temporal.csv",)))


def ssv2_events(data: Path) -> Loaded:
    return _retrieval(find_file(data, ("eval_ssv2_events.csv",)))


def _retrieval(path: Path) -> Loaded:
    entries = []
    for row in rows_of(path, ("videopath", "caption", "match")):
        asked = caption(row)
        entries.append(Entry(pair_of(text(row, "videopath"), asked, label(row, "match"), asked), row.where))
    entries, repeats = once(entries)
    loaded = Loaded(entries, [path], notes=[f"{repeats} rows are there twice and count once"] if repeats else [])
    sizes = {len(some) for some in loaded.by_query().values()}
    loaded.form = f"{len(loaded.by_query())} captions x {'/'.join(map(str, sorted(sizes)[:3]))} videos"
    return loaded


# ---- ATP-Hard


def atp_hard(data: Path) -> Loaded:
    """Five statements per question; the question's type from NExT-QA's table.

    Two questions of one video have the same words, and the authors' script leaves their ten rows out: here they are
    `excluded`, too. Options with equal statements stay apart by `option`, the number that the authors' rule for ties
    goes by.
    """
    types_file = find_file(data, ("nextqa-atphard.csv",))
    types = {(text(r, "video"), text(r, "question")): text(r, "type")
             for r in rows_of(types_file, ("video", "question", "type"))}  # fmt: skip
    try:
        path = find_file(data, ("eval-nextqa-atphard.csv",))
        entries = _prepared(path)
    except ValueError as error:
        if "holds no" not in str(error):
            raise
        path = find_file(data, ("nextqa-atphard-statements.csv", "eval-nextqa-atphard.csv"))
        entries = _statements(path)
    loaded = Loaded(entries, [path, types_file])
    kept: list[Entry] = []
    for query, some in loaded.by_query().items():
        if len(some) > OPTIONS:
            where = f"{some[0].where}: {query!r}"
            loaded.excluded += [f"{where}: {len(some)} rows of equally worded questions"] * (len(some) // OPTIONS)
            loaded.beside += some
            continue
        kind = types.get((video_id(some[0].row["video"]), some[0].row["query"].partition(": ")[2]), "")
        if kind[:1] not in TYPES:
            raise ValueError(f"{KNOB}: {some[0].where}: {types_file.name} gives {query!r} no type C.. or T..")
        kept += [Entry(entry.row | {"part": TYPES[kind[:1]]}, entry.where) for entry in some]
    loaded.entries, loaded.form = kept, f"{len(entries)} rows of {path.name}"
    return loaded


def _prepared(path: Path) -> list[Entry]:
    entries = []
    for row in rows_of(path, ("videopath", "question", "answer", "option", "caption")):
        video, option = text(row, "videopath"), text(row, "option")
        right = int(option == text(row, "answer"))
        query = f"{video_id(video)}: {text(row, 'question')}"
        entries.append(Entry(pair_of(video, caption(row), right, query, option=int(option)), row.where))
    return entries


def _statements(path: Path) -> list[Entry]:
    names = [f"s{number}" for number in range(OPTIONS)]
    entries = []
    for row in rows_of(path, ("vid_id", "question", "answer", *names)):
        video, right = text(row, "vid_id"), int(text(row, "answer"))
        query = f"{video_id(video)}: {text(row, 'question')}"
        for number, name in enumerate(names):
            pair = pair_of(video, caption(row, name), int(number == right), query, option=number)
            entries.append(Entry(pair, row.where))
    return entries
