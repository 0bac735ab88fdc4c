"""Two lists of scores of the same pairs: both figures, their difference, and what chance makes of it.

Whole videos are drawn, the same ones for both: two models find the same videos hard, and pairing removes what they
share. Retrieval is looked at by query, too: 18 classes are few, and a gain on three of them may be no gain on others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synvita.core.vocabulary import Task
from synvita.evaluate import intervals, metrics
from synvita.evaluate.group_figures import MINIMAL_PAIRS
from synvita.evaluate.group_figures import credit as credit_of
from synvita.evaluate.pairs import Rows
from synvita.evaluate.significance import two_sided_p

Both = list[tuple[dict[str, Any], dict[str, Any]]]  # rows of one pair, each with its own score
NOTHING: dict[str, Any] = {name: None for name in ("of", "minus", "difference", "low", "high", "p")}
SEED = 0


def columns(both: Both) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Labels, the two scores, and the videos."""
    mine, theirs = [row for row, _ in both], [row for _, row in both]
    labels = np.array([row["label"] for row in mine])
    first, second = (np.array([row["log_odds"] for row in rows], np.float64) for rows in (mine, theirs))
    return labels, first, second, [row["video"] for row in mine]


def chance(drawn: NDArray[np.float64], draws: int, level: float) -> dict[str, Any]:
    """Interval and p of drawn differences; null where over half of the draws gave none."""
    drawn = drawn[~np.isnan(drawn)]
    interval = intervals.bounds(intervals.percentiles(drawn, draws, level))
    return {**interval, "p": None if interval["low"] is None else two_sided_p(drawn)}


def entailment(both: Both, draws: int, level: float) -> dict[str, Any]:
    """ROC-AUC; null where the pairs are of one class only."""
    labels, mine, theirs, videos = columns(both)
    if not 0 < labels.sum() < labels.size:
        return {**NOTHING, "why": "pairs of one class only"}
    rankings = [metrics.ranked(*metrics.checked(labels, scores)) for scores in (mine, theirs)]
    drawn = intervals.drawn_aucs(rankings, videos, draws, SEED)
    of, minus = metrics.roc_auc(labels, mine), metrics.roc_auc(labels, theirs)
    return figures(of, minus) | chance(drawn[:, 0] - drawn[:, 1], draws, level)


def retrieval(both: Both, draws: int, level: float) -> dict[str, Any]:
    """mAP over the queries that have a right video. `p` is the larger of that by video and that by query."""
    whole = [some for some in by_query(both).values() if any(row["label"] for row, _ in some)]
    if not whole:
        return {**NOTHING, "why": "no query with a right video"}
    queries = [columns(some) for some in whole]
    first = [(labels, scores, videos) for labels, scores, _, videos in queries]
    second = [(labels, scores, videos) for labels, _, scores, videos in queries]
    precisions = [np.array([metrics.average_precision(y, s) for y, s, _ in some]) for some in (first, second)]
    found = figures(*(float(values.mean()) for values in precisions))
    drawn = intervals.drawn_maps(first, draws, SEED) - intervals.drawn_maps(second, draws, SEED)
    drawn = drawn[~np.isnan(drawn)]
    # A resample repeats videos, which raises mAP: the draws are moved by their mean's distance from the figure.
    by_video = chance(drawn - (drawn.mean() if drawn.size else 0) + found["difference"], draws, level)
    apart = precisions[0] - precisions[1]
    each = chance(intervals.drawn_means(apart, range(len(apart)), draws, SEED), draws, level)
    rows = [
        {"caption": some[0][0]["caption"], "of": float(a), "minus": float(b), "difference": float(a - b)}
        for some, a, b in zip(whole, *precisions, strict=True)
    ]
    queries_told = {"better": int((apart > 1e-12).sum()), "worse": int((apart < -1e-12).sum()), **each, "each": rows}
    known = [p for p in (by_video["p"], each["p"]) if p is not None]
    p = max(known) if len(known) == 2 else None
    return found | by_video | {"p": p, "p_by_video": by_video["p"], "queries": len(queries), "by_query": queries_told}


def questions(both: Both, draws: int, level: float) -> dict[str, Any]:
    """Accuracy over questions with one right option; `both` has whole questions only."""
    whole = [some for some in by_query(both).values() if sum(row["label"] for row, _ in some) == 1]
    if not whole:
        return {**NOTHING, "why": "no question with one right option", "questions": 0}
    credits = [np.array([credit(some, side) for some in whole]) for side in (0, 1)]
    videos = [some[0][0]["video"] for some in whole]
    drawn = intervals.drawn_means(credits[0] - credits[1], videos, draws, SEED)
    told = figures(*(float(values.mean()) for values in credits)) | chance(drawn, draws, level)
    return told | {"questions": len(whole)}


def groups(both: Both, task: Task, draws: int, level: float) -> dict[str, Any]:
    """The main figure of a set of minimal pairs, over its groups; `both` has whole groups only."""
    queries = by_query(both).values()
    whole = [[credit_of([pair[side] for pair in some], task.kind) for side in (0, 1)] for some in queries]
    if not whole:
        return {**NOTHING, "why": "no group of which both have every pair", "groups": 0}
    means = np.array([[group.credits[task.metric].spread.mean for group in two] for two in whole])
    drawn = intervals.drawn_means(means[:, 0] - means[:, 1], [mine.cluster for mine, _ in whole], draws, SEED)
    told = figures(*means.mean(axis=0).tolist()) | chance(drawn, draws, level)
    return told | {"groups": len(whole)}


def credit(question: Both, side: int) -> float:
    """1 for a right answer; between 0 and 1 where options tie."""
    right = [row["label"] for row, _ in question].index(1)
    return metrics.accuracy([right], [[pair[side]["log_odds"] for pair in question]])


def figures(of: float, minus: float) -> dict[str, Any]:
    return {"of": of, "minus": minus, "difference": of - minus}


def by_query(both: Both) -> dict[str, Both]:
    found: dict[str, Both] = {}
    for pair in both:
        found.setdefault(pair[0]["query"], []).append(pair)
    return found


MEASURES: dict[str, Callable[[Both, int, float], dict[str, Any]]] = {
    "entailment": entailment,
    "retrieval": retrieval,
    "questions": questions,
}


def measure_of(kind: str, task: Task | None) -> Callable[[Both, int, float], dict[str, Any]] | None:
    """None where figures of this kind cannot be compared."""
    if task is not None and kind in MINIMAL_PAIRS:
        return lambda both, draws, level: groups(both, task, draws, level)
    return MEASURES.get(kind)


# ---- which pairs are the same


def join(mine: Rows, theirs: Rows, kind: str) -> tuple[Both, dict[str, int]]:
    """The pairs that both have scored, and how many are left out and why.

    Args:
        mine, theirs: rows whose `video` means the same file where it is the same text. A pair of entailment is a video
            and a caption; of retrieval and questions the query belongs to it.
    Raises:
        ValueError: the two disagree about what is right.
    """
    first, second = keyed(mine, kind), keyed(theirs, kind)
    shared = [(row, second[key]) for key, row in first.items() if key in second]
    for row, twin in shared:
        if row["label"] != twin["label"]:
            where = f"caption {row['caption']!r} of video {row['video']}"
            raise ValueError(f"{where}: labels {row['label']} and {twin['label']}")
    both = [pair for pair in shared if None not in (pair[0]["log_odds"], pair[1]["log_odds"])]
    told = {"only_of": len(mine) - len(shared), "only_minus": len(theirs) - len(shared)}
    told["without_score"] = len(shared) - len(both)
    if kind not in ("entailment", "retrieval"):  # an option that is missing makes a question easier
        whole = whole_questions(both, mine, theirs)
        told["of_cut_questions"] = len(both) - len(whole)
        both = whole
    return both, {"pairs": len(both), **told}


def whole_questions(both: Both, mine: Rows, theirs: Rows) -> Both:
    """The pairs of questions of which `both` has every option that either side has."""
    options = [Counter(row["query"] for row in rows) for rows in (mine, theirs)]
    whole = {query for query, some in by_query(both).items() if all(o[query] == len(some) for o in options)}
    return [pair for pair in both if pair[0]["query"] in whole]


def keyed(rows: Rows, kind: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows by what makes a pair; the number at the end tells pairs apart that a task has twice."""
    names = ("video", "caption") if kind == "entailment" else ("video", "caption", "query")
    seen: Counter[tuple[Any, ...]] = Counter()
    found = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        seen[key] += 1
        found[*key, seen[key]] = row
    return found
