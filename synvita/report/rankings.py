"""What the compared arms find for a retrieval query, side by side, for the queries on which they really differ.

Of a run with a single arm: the queries that it ranks worst and best.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from sklearn.metrics import average_precision_score

from synvita.core.decoder import Decoder
from synvita.core.run_tasks import tasks_of
from synvita.core.vocabulary import Task, arm_title
from synvita.report.embedded import SMALL_BYTES, Album, Video
from synvita.report.pairs import Answers, Rows, read_task

Item = TypeVar("Item")
TOP = 8
PER_SIDE = 3  # queries of a benchmark that an arm ranks better
REAL_GAP = 0.05  # of average precision: with less, the two lists look alike


@dataclass(frozen=True)
class Place:
    """One of the best videos of an arm; `hit`: it shows what the query says."""

    video: Video
    hit: bool
    log_odds: float


@dataclass(frozen=True)
class Side:
    """An arm's answer to a query; `precision` = average precision over all videos, a fraction. `cut_ties`: the last
    place shown ties with the first one that is not, so that which of them are shown is a matter of their names."""

    arm: str
    precision: float
    places: list[Place]
    cut_ties: bool = False

    @property
    def title(self) -> str:
        return arm_title(self.arm)

    @property
    def hits(self) -> int:
        return sum(place.hit for place in self.places)


@dataclass(frozen=True)
class Ranking:
    """A query with both arms' answers; `videos` of `asked` were ranked, `hits` of them show what the query says."""

    task: str
    query: str
    caption: str
    better: str
    videos: int
    asked: int
    hits: int
    sides: list[Side]


def ranked(rows: Rows) -> Rows:
    """Highest log-odds first, ties by video."""
    return sorted(rows, key=lambda row: (-row["log_odds"], row["video"]))


def average_precision(rows: Rows) -> float:
    """Tied rows enter together, so their order does not matter; as in the results."""
    return float(average_precision_score([row["label"] for row in rows], [row["log_odds"] for row in rows]))


def by_query(first: Rows, second: Rows) -> dict[str, tuple[Rows, Rows]]:
    """Query -> both arms' rows of the videos that both have scored; queries without a hit are left out."""
    found: dict[str, tuple[dict, dict]] = {}
    for position, rows in enumerate((first, second)):
        for row in rows:
            if row["log_odds"] is not None:
                found.setdefault(str(row["query"]), ({}, {}))[position][row["video"]] = row
    both = {query: sorted(set(one) & set(other)) for query, (one, other) in found.items()}
    return {
        query: ([one[v] for v in both[query]], [other[v] for v in both[query]])
        for query, (one, other) in found.items()
        if any(one[v]["label"] == 1 for v in both[query])
    }


def choose_queries(precisions: dict[str, tuple[float, float]], number: int) -> list[str]:
    """Up to `number` queries that the second arm ranks better by REAL_GAP or more, and as many that the first does.

    The largest gap first, the two sides in turn; ties in order.
    """
    gains = {query: second - first for query, (first, second) in precisions.items()}
    ups = sorted((q for q in gains if gains[q] >= REAL_GAP), key=lambda q: -gains[q])
    downs = sorted((q for q in gains if gains[q] <= -REAL_GAP), key=lambda q: gains[q])
    return in_turn([ups[:number], downs[:number]])


def choose_alone(precisions: dict[str, tuple[float, float]], number: int) -> list[str]:
    """Of a single arm: the queries with the lowest and the highest average precision, in turn."""
    order = sorted(precisions, key=lambda q: precisions[q][0])
    worst = order[:number]
    return in_turn([worst, [q for q in reversed(order) if q not in worst][:number]])


def in_turn(lists: Sequence[Sequence[Item]]) -> list[Item]:
    return [item for row in zip_longest(*lists) for item in row if item is not None]


def find_rankings(run: Path, answers: Answers, decoder: Decoder, number: int = PER_SIDE) -> list[Ranking]:
    """The benchmarks in turn. Empty where the compared arms have no retrieval task, or rank alike."""
    album = Album(run, decoder, most=SMALL_BYTES)
    return in_turn([of_task(task, answers, album, number) for task in tasks_of(run, "retrieval")])


def of_task(task: Task, answers: Answers, album: Album, number: int) -> list[Ranking]:
    rows, name = read_task(answers, task.name), task.title.removeprefix("Retrieval, ")
    queries = by_query(rows[answers.first], rows[answers.second]) if rows else {}
    precisions = {q: (average_precision(one), average_precision(two)) for q, (one, two) in queries.items()}
    chosen = (choose_alone if answers.alone else choose_queries)(precisions, number)
    arms = (answers.first,) if answers.alone else (answers.first, answers.second)
    asked = Counter(str(row["query"]) for row in rows[answers.first]) if rows else Counter()
    rankings = []
    for query in chosen:
        sides = []
        for arm, value, videos in zip(arms, precisions[query], queries[query], strict=False):
            order = ranked(videos)
            cut = len(order) > TOP and order[TOP - 1]["log_odds"] == order[TOP]["log_odds"]
            places = [Place(album.embed(row["video"]), row["label"] == 1, row["log_odds"]) for row in order[:TOP]]
            sides.append(Side(arm, value, places, cut))
        one = queries[query][0]
        better = "second" if sides[-1].precision > sides[0].precision else "first"
        hits = sum(row["label"] == 1 for row in one)
        rankings.append(Ranking(name, query, one[0]["caption"], better, len(one), asked[query], hits, sides))
    return rankings
