"""What the arms were asked on a test, item by item: two captions of a video, or a question with its options."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from synvita.core.vocabulary import IN_DISTRIBUTION, OPEN, Task, tasks
from synvita.report.gallery import kind_name
from synvita.report.pairs import Answers, Rows, read_task

Item = Rows  # what is right first, then what is not
PAIRS, QUESTIONS = ("entailment", "strict"), "questions"


def tests_of(answers: Answers) -> list[tuple[Task, dict[str, Rows]]]:
    """Tests with such items that both compared arms have, with the arms' rows; of the house's two test sets the open
    one, else the other."""
    known = sorted(tasks(), key=lambda task: task.name != OPEN)
    known = [task for task in known if task.kind in (*PAIRS, QUESTIONS)]
    tests = [(task, rows) for task in known if (rows := read_task(answers, task.name))]
    both = {OPEN, IN_DISTRIBUTION} <= {task.name for task, _ in tests}
    return [(task, rows) for task, rows in tests if not (both and task.name == IN_DISTRIBUTION)]


def items_of(task: Task, rows: Rows) -> dict[str, Item]:
    return questions_of(rows) if task.kind == QUESTIONS else pairs_of(rows)


def pairs_of(rows: Rows) -> dict[str, Item]:
    """Query -> its right and its wrong caption.

    Published tables repeat a caption for each of its wrong ones, and some have a row per pair, so that a wrong caption
    may stand alone: it belongs to the right caption of its video that it shares most words with. Queries with two
    wrong captions, and wrong captions of a video without a right one, are left out.
    """
    right: dict[str, Rows] = {}
    of_video: dict[object, Rows] = {}
    wrong: dict[str, Rows] = {}
    for row in rows:
        if row["label"] == 1:
            right.setdefault(str(row["query"]), []).append(row)
            of_video.setdefault(row.get("video"), []).append(row)
        else:
            wrong.setdefault(str(row["query"]), []).append(row)
    pairs = {}
    for query, (row, *more) in wrong.items():
        own = right.get(query) or of_video.get(row.get("video"), [])
        if own and not more and len(right.get(query, [])) < 2:
            pairs[query] = [max(own, key=lambda other: likeness(other, row)) if len(own) > 1 else own[0], row]
    return pairs


def likeness(row: dict[str, Any], other: dict[str, Any]) -> float:
    return difflib.SequenceMatcher(None, row["caption"].split(), other["caption"].split(), autojunk=False).ratio()


def questions_of(rows: Rows) -> dict[str, Item]:
    """Query -> its options, the right one first; questions without a single right one, or without a wrong one, are
    left out."""
    found: dict[str, Rows] = {}
    for row in rows:
        found.setdefault(str(row["query"]), []).append(row)
    ordered = {query: sorted(some, key=lambda row: -row["label"]) for query, some in found.items()}
    return {query: some for query, some in ordered.items() if [row["label"] for row in some[:2]] == [1, 0]}


def log_odds_of(item: Item) -> tuple[float | None, float | None]:
    """Of what is right, and the highest of what is not; None where a score is missing."""
    first, *others = [row.get("log_odds") for row in item] or [None]
    known = [value for value in others if value is not None]
    return first, max(known) if known and len(known) == len(others) else None


def chosen(item: Item) -> str:
    """The caption that scores highest, of a question; empty where a score is missing or two share the first place."""
    values = [row["log_odds"] for row in item]
    if None in values or values.count(max(values)) > 1:
        return ""
    return str(item[values.index(max(values))]["caption"])


def question_text(item: Item) -> str:
    """ATP-Hard's queries are `video: question`; the miniature's are numbers, which say nothing."""
    return str(item[0]["query"]).partition(": ")[2]


def kind_of(row: dict[str, Any]) -> str:
    """Misalignment type, aspect or question type; empty of a test that has none."""
    return kind_name(row["misalignment"]) if "misalignment" in row else str(row.get("part") or "")


def in_order(kinds: Iterable[str], first: Iterable[str]) -> list[str]:
    """The kinds that there are, each once: those of `first` in its order, then the others by name."""
    present = set(kinds)
    known = [kind for kind in first if kind in present]
    return [*known, *sorted(present - set(known))]
