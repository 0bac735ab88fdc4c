"""What the compared arms answer differently on the tests, or both wrongly, chosen by a fixed rule (Figures 6 to 8).

Of a run with a single arm: what it answers wrongly and rightly.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.decoder import Decoder
from synvita.core.records import Misalignment
from synvita.core.vocabulary import Task, arm_title
from synvita.report.asked import (
    QUESTIONS,
    Item,
    chosen,
    in_order,
    items_of,
    kind_of,
    log_odds_of,
    question_text,
    tests_of,
)
from synvita.report.embedded import SMALL_BYTES, Album, Video
from synvita.report.gallery import UNKNOWN, Words, marked_words
from synvita.report.pairs import Answers, Rows
from synvita.report.rankings import in_turn

SECOND, FIRST, NEITHER, BOTH = "second", "first", "neither", "both"  # which of the compared arms is right
PER_GROUP = 2  # of each test, type and outcome
SHOWN, SHOWN_ALONE = (SECOND, FIRST, NEITHER), (NEITHER, BOTH)
NEAR_TIE = 0.1  # log-odds: two probabilities that differ by at most 0.025
KINDS = [*map(str, Misalignment), UNKNOWN]


@dataclass(frozen=True)
class Verdict:
    """Log-odds that one arm gives to "the video entails the caption"; None where it was not scored. Of a question:
    `negative` is the best of its wrong options, `choice` the option that scores highest."""

    arm: str
    true: float | None
    negative: float | None
    choice: str = ""

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
    """One pair of captions, or one question, on the page; `outcome` says which of the compared arms is right.

    kind: misalignment or question type, may be empty. question: its text, may be empty. wrong: one caption of a pair,
    all wrong options of a question.
    """

    test: str
    query: str
    kind: str
    outcome: str
    video: Video
    question: str
    caption: Words
    wrong: list[Words]
    verdicts: list[Verdict]

    def near_tie(self, *arms: str) -> bool:
        """Whether one of these arms hardly prefers a caption, so that the outcome might as well be another."""
        return any(v.near_tie for v in self.verdicts if v.arm in arms)

    @property
    def widest(self) -> float:
        """What a full bar stands for: the largest margin of the card, and never less than ten near-ties."""
        return max([10 * NEAR_TIE, *(abs(v.margin) for v in self.verdicts if v.margin is not None)])


@dataclass(frozen=True)
class Section:
    """A test's chosen cases, how many items there are of each outcome, chosen or not, and how many have no margin in
    one of the compared arms."""

    test: Task
    totals: dict[str, int]
    unscored: int
    cards: list[Case]

    @property
    def counted(self) -> str:
        number = sum(self.totals.values())
        nouns = ("question", "questions") if self.test.kind == QUESTIONS else ("pair of captions", "pairs of captions")
        return f"{number:,} {nouns[number != 1]}"


@dataclass(frozen=True)
class Cases:
    sections: list[Section]

    @property
    def cards(self) -> list[Case]:
        """The tests in turn."""
        return in_turn([section.cards for section in self.sections])

    @property
    def kinds(self) -> list[str]:
        return [kind for kind in in_order((card.kind for card in self.cards), KINDS) if kind]


def tag(text: str) -> str:
    """A name as a word of `data-tags`."""
    return re.sub(r"[^\w-]+", "-", text)


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
    types = list(dict.fromkeys([*KINDS, *in_order(kinds.values(), KINDS)]))
    order = [
        (groups.get((shown[(place + turn) % len(shown)], kind), []), round_)
        for round_ in range(number)
        for turn in range(len(shown))
        for place, kind in enumerate(types)
    ]
    return [group[place] for group, place in order if place < len(group)]


def find_cases(run: Path, answers: Answers, decoder: Decoder, number: int = PER_GROUP) -> Cases | None:
    """None where the compared arms have no test of pairs or questions."""
    album = Album(run, decoder, most=SMALL_BYTES)
    tests = [of_test(task, rows, answers, album, number) for task, rows in tests_of(answers)]
    tests = [test for test in tests if test.totals or test.unscored]
    return Cases(tests) if tests else None


def of_test(task: Task, rows: dict[str, Rows], answers: Answers, album: Album, number: int) -> Section:
    items = {arm: items_of(task, of_arm) for arm, of_arm in rows.items()}
    asked = items[answers.first]
    margins = {}
    for query in asked:
        two = [items[arm].get(query, []) for arm in (answers.first, answers.second)]
        first, second = (verdict(task, "", item).margin for item in two)
        if first is not None and second is not None:
            margins[query] = (first, second)
    kinds = {query: kind_of(asked[query][1]) or kind_of(asked[query][0]) for query in margins}
    totals = Counter(outcome(*both) for both in margins.values())
    cards = []
    for query in choose_cases(margins, kinds, number, SHOWN_ALONE if answers.alone else SHOWN):
        is_question, (row, *others) = task.kind == QUESTIONS, asked[query]
        cards.append(
            Case(
                test=task.title,
                query=query,
                kind=kinds[query],
                outcome=outcome(*margins[query]),
                video=album.embed(row["video"]),
                question=question_text(asked[query]) if is_question else "",
                caption=words(row, others[0], is_question),
                wrong=[words(other, row, is_question) for other in others],
                verdicts=[verdict(task, arm, of_arm.get(query, [])) for arm, of_arm in items.items()],
            )
        )
    every = {name: totals[name] for name in (BOTH, *SHOWN)} if asked else {}
    return Section(task, every, len(asked) - len(margins), cards)


def words(row: dict[str, Any], other: dict[str, Any], plain: bool) -> Words:
    """The row's caption with what the other's lacks marked, or `plain`."""
    return [(row["caption"], False)] if plain else marked_words(row["caption"], other["caption"])


def verdict(task: Task, arm: str, item: Item) -> Verdict:
    return Verdict(arm, *log_odds_of(item), chosen(item) if task.kind == QUESTIONS and item else "")
