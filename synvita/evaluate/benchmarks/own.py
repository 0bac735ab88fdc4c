"""One's own benchmark: a table of video, caption, label and, where pairs belong together, group (or query)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synvita.core.run_tasks import OWN_KINDS
from synvita.core.tables import Row, need_columns, read_table
from synvita.core.vocabulary import check_names
from synvita.evaluate.benchmarks.table import Entry, Loaded, caption, check_answerable, label, pair_of, text

UNITS = {"entailment": "pairs", "retrieval": "pairs", "questions": "questions"}
KINDS = {metric: (kind, UNITS.get(kind, "groups")) for metric, kind in OWN_KINDS.items()}  # metric -> (kind, its unit)
GROUP = ("group", "query")
KNOB = "--benchmark"


@dataclass(frozen=True)
class Checked:
    """A table as it was read. bad: "file:line: reason", every row that no figure can be made of. holed: the groups
    that have such a row."""

    loaded: Loaded
    bad: list[str]
    grouped: bool
    holed: frozenset[str] = frozenset()


def check(path: Path, metric: str | None = None, knob: str = KNOB) -> Checked:
    """Read every row, and name every bad one.

    Args:
        metric: also what this figure asks of labels and groups; None: of rows only.
    Raises:
        FileNotFoundError; ValueError: the table itself: unknown suffix, columns that are missing.
    """
    if metric is not None:
        check_names([metric], KINDS, "--metric")
    columns, rows = read_table(path, knob)
    need_columns(path, columns, ("video", "caption", "label"), knob)
    group = next((name for name in GROUP if name in columns), None)
    if metric not in (None, "auc", "map") and group is None:
        raise ValueError(f"{knob}: {path}: {metric} needs the column group (or query), it has {', '.join(columns)}")
    entries: list[Entry] = []
    bad: list[str] = []
    holed: set[str] = set()
    first: dict[tuple[str, ...], Entry] = {}
    for row in rows:
        try:
            entry = _entry(row, group, path.stem, metric)
        except ValueError as error:
            bad.append(str(error))
            holed.add(str(row.fields.get(group or "", "")).strip())
            continue
        key = (*entry.pair, entry.row["query"] if group or metric == "map" else "")
        there = first.setdefault(key, entry)
        if there is not entry:
            same = "the same label" if there.row["label"] == entry.row["label"] else "another label"
            bad.append(f"{entry.where}: video and caption as in {there.where}, with {same}; keep one")
            holed.add(entry.row["query"])
            continue
        entries.append(entry)
    loaded = Loaded(entries, [path], rows=len(rows))
    if metric is not None and entries:
        bad += _of_groups(loaded, KINDS[metric][0])
    return Checked(loaded, bad, group is not None, frozenset(holed))


def _entry(row: Row, group: str | None, stem: str, metric: str | None) -> Entry:
    if row.problem:
        raise ValueError(f"{row.where}: {row.problem}")
    try:
        asked = caption(row)
        query = text(row, group) if group else asked if metric == "map" else f"{stem}:{row.number}"
        return Entry(pair_of(text(row, "video"), asked, label(row, "label"), query), row.where)
    except ValueError as error:
        raise ValueError(str(error).partition(": ")[2]) from None  # without the knob


def _of_groups(loaded: Loaded, kind: str) -> list[str]:
    """What is wrong with each group, by its first row."""
    groups = [loaded.entries] if kind == "entailment" else list(loaded.by_query().values())
    found = []
    for some in groups:
        try:
            check_answerable(Loaded(some, loaded.files), kind)
        except ValueError as error:
            found.append(str(error).partition(": ")[2])
    return found


def load_own(path: Path, metric: str | None, allow_missing: bool = False, knob: str = KNOB) -> Loaded:
    """The pairs of a table without a bad row.

    With `allow_missing` bad rows are left out and noted, and with them the questions and minimal pairs that they belong
    to: without one of its wrong options a question would be easier.

    Raises:
        ValueError: no metric; a bad row, the first by file:line with how many there are.
    """
    if metric is None:
        raise ValueError(f"--metric: give the figure of {path}; known: {', '.join(KINDS)}")
    checked = check(path, metric, knob)
    if checked.bad and not allow_missing:
        more = f" ({len(checked.bad)} such; all: synvita benchmarks check {path} --metric {metric})"
        raise ValueError(f"{knob}: {checked.bad[0]}{more if len(checked.bad) > 1 else ''}")
    loaded = checked.loaded
    kind = KINDS[metric][0]
    if checked.bad:
        loaded = _sound(loaded, kind, checked.holed)
        loaded.notes.append(f"{len(checked.bad)} rows or groups are left out; the first: {checked.bad[0]}")
    check_answerable(loaded, kind, knob)
    return loaded


def _sound(loaded: Loaded, kind: str, holed: frozenset[str]) -> Loaded:
    if kind == "entailment":
        return loaded
    whole = {query: some for query, some in loaded.by_query().items() if kind == "retrieval" or str(query) not in holed}
    kept = [some for some in whole.values() if not _of_groups(Loaded(some, loaded.files), kind)]
    return Loaded([entry for some in kept for entry in some], loaded.files, rows=loaded.rows)
