"""Test triplets that the compared arms answer differently or both wrongly, chosen by a fixed rule.

Of a run with a single arm: those that it answers wrongly and rightly.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.decoder import Decoder
from synvita.core.records import Misalignment
from synvita.core.vocabulary import OPEN, arm_title, tasks
from synvita.report.embedded import Album, Video
from synvita.report.gallery import UNKNOWN, Words, kind_name, marked_words
from synvita.report.pairs import Answers, Rows, read_task

SECOND, FIRST, NEITHER, BOTH = "second", "first", "neither", "both"  # which of the compared arms is right
PER_GROUP = 2  # of each type and outcome
SHOWN, SHOWN_ALONE = (SECOND, FIRST, NEITHER), (NEITHER, BOTH)
NEAR_TIE = 0.1  # log-odds: two probabilities that differ by at most 0.025
Pair = tuple[dict[str, Any], dict[str, Any]]  # rows of (the true caption, the negative one)


@dataclass(frozen=True)
class Verdict:
    """Log-odds that one arm gives to "the video entails the caption"; None where it was not scored."""

    arm: str
    true: float | None
    negative: float | None

    @property
    def margin(self) -> float | None:
        return None if self.true is None or self.negative is None else self.true - self.negative

    @property
    def title(self) -> str:
        return arm_title(self.arm)

    @property
    def near_tie(self) -> bool:
        return self.margin is not None and abs(self.margin) < NEAR_TIE

    @property
    def right(self) -> bool | None:
        """A tie tells nothing apart, so it is wrong."""
        return None if self.margin is None else self.margin > 0


@dataclass(frozen=True)
class Case:
    """One test triplet on the page; `outcome` says which of the compared arms is right."""

    query: str
    misalignment: str
    outcome: str
    video: Video
    caption: Words
    negative_caption: Words
    verdicts: list[Verdict]

    def near_tie(self, *arms: str) -> bool:
        """Whether one of these arms hardly prefers a caption, so that the outcome might as well be another."""
        return any(v.near_tie for v in self.verdicts if v.arm in arms)

    @property
    def widest(self) -> float:
        """What a full bar stands for: the largest margin of the card, and never less than ten near-ties."""
        return max([10 * NEAR_TIE, *(abs(v.margin) for v in self.verdicts if v.margin is not None)])


@dataclass(frozen=True)
class Cases:
    """The chosen cases, and how many triplets there are of each outcome, chosen or not."""

    task: str
    totals: dict[str, int]
    cards: list[Case]


def pairs_of(rows: Rows) -> dict[str, Pair]:
    """Query -> its two rows; queries with another number of true or negative captions are left out."""
    by_query: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_query.setdefault(str(row["query"]), []).append(row)
    ordered = {query: sorted(some, key=lambda row: -row["label"]) for query, some in by_query.items()}
    return {query: (some[0], some[1]) for query, some in ordered.items() if [r["label"] for r in some] == [1, 0]}


def outcome(first: float, second: float) -> str:
    """Which arm is right, from the arms' margins: log-odds of the true caption minus those of the negative one."""
    return {(True, True): BOTH, (False, False): NEITHER, (True, False): FIRST}.get((first > 0, second > 0), SECOND)


def choose_cases(
    margins: dict[str, tuple[float, float]], kinds: dict[str, str], number: int, shown: tuple[str, ...] = SHOWN
) -> list[str]:
    """Of each type and outcome the `number` queries with the largest |margin| + |margin|, ties by id.

    The types come in turn, each next one with the next outcome, so that the first few cards show most of both.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for query in sorted(margins, key=lambda q: (-abs(margins[q][0]) - abs(margins[q][1]), q)):
        groups.setdefault((outcome(*margins[query]), kinds[query]), []).append(query)
    types = (*Misalignment, UNKNOWN)
    order = [
        (groups.get((shown[(place + turn) % len(shown)], str(kind)), []), round_)
        for round_ in range(number)
        for turn in range(len(shown))
        for place, kind in enumerate(types)
    ]
    return [group[place] for group, place in order if place < len(group)]


def find_cases(run: Path, answers: Answers, decoder: Decoder, number: int = PER_GROUP) -> Cases | None:
    """None where the compared arms have no test of pairs; of several, the open one, else the first."""
    known = sorted(tasks("entailment"), key=lambda task: task.name != OPEN)
    title, rows = next(((t.title.lower(), rows) for t in known if (rows := read_task(answers, t.name))), ("", {}))
    pairs = {arm: pairs_of(of_arm) for arm, of_arm in rows.items()}
    if not pairs:
        return None
    asked = pairs[answers.first]
    verdicts = {query: [verdict(arm, query, pairs) for arm in pairs] for query in asked}
    margins = {}
    for query, of_query in verdicts.items():
        margin_of = {v.arm: v.margin for v in of_query}
        first, second = margin_of[answers.first], margin_of[answers.second]
        if first is not None and second is not None:
            margins[query] = (first, second)
    kinds = {query: kind_name(asked[query][0].get("misalignment")) for query in margins}
    totals = Counter(outcome(*both) for both in margins.values())
    album = Album(run, decoder)
    cards = []
    for query in choose_cases(margins, kinds, number, SHOWN_ALONE if answers.alone else SHOWN):
        row, captions = asked[query][0], [row["caption"] for row in asked[query]]
        cards.append(
            Case(
                query=query,
                misalignment=kinds[query],
                outcome=outcome(*margins[query]),
                video=album.embed(row["video"]),
                caption=marked_words(*captions),
                negative_caption=marked_words(*reversed(captions)),
                verdicts=verdicts[query],
            )
        )
    return Cases(title, {name: totals[name] for name in (BOTH, *SHOWN)}, cards)


def verdict(arm: str, query: str, pairs: dict[str, dict[str, Pair]]) -> Verdict:
    true, negative = pairs[arm].get(query, ({}, {}))
    return Verdict(arm, true.get("log_odds"), negative.get("log_odds"))
