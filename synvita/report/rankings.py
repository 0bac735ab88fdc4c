"""What the compared arms find for a retrieval query, side by side, for the queries on which they differ most."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sklearn.metrics import average_precision_score

from synvita.core.vocabulary import tasks
from synvita.report.embedded import Album, Video
from synvita.report.pairs import Answers, Rows, read_task

TOP = 8
PER_SIDE = 3  # queries of a benchmark that an arm ranks better


@dataclass(frozen=True)
class Place:
    """One of the best videos of an arm; `hit`: it shows what the query says."""

    video: Video
    hit: bool
    log_odds: float


@dataclass(frozen=True)
class Side:
    """An arm's answer to a query; `precision` = average precision over all videos, a fraction."""

    arm: str
    precision: float
    places: list[Place]

    @property
    def hits(self) -> int:
        return sum(place.hit for place in self.places)


@dataclass(frozen=True)
class Ranking:
    """A query with both arms' answers; `videos` were ranked, `hits` of them show what the query says."""

    task: str
    query: str
    caption: str
    better: str
    videos: int
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
    """The `number` queries that the second arm ranks better by most, then those that the first does; ties in order."""
    gains = {query: second - first for query, (first, second) in precisions.items()}
    ups = sorted((q for q in gains if gains[q] > 0), key=lambda q: -gains[q])
    downs = sorted((q for q in gains if gains[q] < 0), key=lambda q: gains[q])
    return ups[:number] + downs[:number]


def find_rankings(run: Path, answers: Answers, number: int = PER_SIDE) -> list[Ranking]:
    """Empty where the compared arms have no retrieval task, or rank alike."""
    album, arms = Album(run), (answers.first, answers.second)
    found = []
    for task in tasks("retrieval"):
        rows, name = read_task(answers, task.name), task.title.removeprefix("Retrieval, ")
        queries = by_query(rows[answers.first], rows[answers.second]) if rows else {}
        precisions = {q: (average_precision(one), average_precision(two)) for q, (one, two) in queries.items()}
        for query in choose_queries(precisions, number):
            sides = []
            for arm, value, some in zip(arms, precisions[query], queries[query], strict=True):
                best = ranked(some)[:TOP]
                places = [Place(album.embed(row["video"]), row["label"] == 1, row["log_odds"]) for row in best]
                sides.append(Side(arm, value, places))
            one = queries[query][0]
            better = "second" if sides[1].precision > sides[0].precision else "first"
            hits = sum(row["label"] == 1 for row in one)
            found.append(Ranking(name, query, one[0]["caption"], better, len(one), hits, sides))
    return found
