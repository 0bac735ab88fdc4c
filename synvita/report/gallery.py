"""Synthetic clips of a run, chosen by a fixed rule, so that nobody can pick the pretty ones."""

from __future__ import annotations

import difflib
import statistics
from dataclasses import dataclass
from pathlib import Path

from synvita.core import artefacts
from synvita.core import chosen as chosen_clips
from synvita.core.decoder import Decoder
from synvita.core.records import Misalignment, Triplet
from synvita.report.embedded import Album, Video

UNKNOWN = "unknown"
SHARED = 1 / 3  # of the longer caption's words: with less in common, nearly every word would be marked
Pair = tuple[str, str]  # (triplet, clip): one triplet may have several clips, and one clip serve several triplets
Words = list[tuple[str, bool]]  # (a run of words, whether the other caption lacks them)


@dataclass(frozen=True)
class ShownClip:
    """`scores`: (scorer and its quantity, of the clip's own caption, of the real's). `level`: zero, low or high.

    `weight`, `level`: None and empty of one that a judge passed over. `choice`: what the judge said of it, in words;
    empty where nobody chose. `truth`: the clip shows its own caption, None if nobody knows.
    """

    generator: str
    video: Video
    scores: list[tuple[str, float | None, float | None]]
    weight: float | None
    level: str
    truth: bool | None
    choice: str = ""

    @property
    def fits(self) -> tuple[int, int]:
        """How many scorers give its own caption the higher score, of how many that have scored both."""
        both = [(own, real) for _, own, real in self.scores if own is not None and real is not None]
        return sum(own > real for own, real in both), len(both)


@dataclass(frozen=True)
class Shown:
    """One entry of the gallery: a triplet with all its weighed clips, and those that a judge passed over."""

    triplet_id: str
    misalignment: str
    real: Video
    caption: Words
    negative_caption: Words
    clips: list[ShownClip]


@dataclass(frozen=True)
class Gallery:
    """`clips`: how many were weighed; `middle`: the median of the weights over zero, where high begins."""

    clips: int
    middle: float
    cards: list[Shown]

    @property
    def shown(self) -> int:
        return sum(clip.weight is not None for card in self.cards for clip in card.clips)


def kind_name(kind: object) -> str:
    """A misalignment type as the page names it; pair files are text, so anything may stand there."""
    return str(kind) if str(kind) in set(Misalignment) else UNKNOWN


def level(weight: float, middle: float) -> str:
    if weight <= 0:
        return "zero"
    return "high" if weight >= middle else "low"


def marked_words(text: str, other: str) -> Words:
    """`text` cut into runs of words that `other` has at the same place in the order, and runs that it has not.

    Where the two have less than SHARED in common nothing is marked: marks on nearly every word show nothing.
    """
    words, theirs = text.split(), other.split()
    matcher = difflib.SequenceMatcher(a=words, b=theirs, autojunk=False)
    shared = sum(block.size for block in matcher.get_matching_blocks())
    if shared < SHARED * max(len(words), len(theirs)):
        return [(" ".join(words), False)]
    marked: Words = []
    for kind, start, end, _, _ in matcher.get_opcodes():
        if end > start:
            marked.append((" ".join(words[start:end]), kind != "equal"))
    return marked


def choose(weights: dict[Pair, float], kinds: dict[str, Misalignment | None], number: int) -> list[Pair]:
    """(triplet, clip): the types in turn, alternating the highest and the lowest weight left; ties by id.

    Each next round takes the other end of a type. A clip or a triplet that is already chosen is passed over: a card
    shows all clips of its triplet.

    Args:
        kinds: of the triplets.
    """
    left = {
        kind: sorted((pair for pair in weights if kinds.get(pair[0]) == kind), key=lambda pair: (weights[pair], pair))
        for kind in kinds_in(kinds)
    }
    left = {kind: pairs for kind, pairs in left.items() if pairs}
    chosen: list[Pair] = []
    seen: set[str] = set()
    for turn in range(len(weights)):
        for position, pairs in enumerate(left.values()):
            while pairs and len(chosen) < number:
                pair = pairs.pop(-1 if (turn + position) % 2 == 0 else 0)
                if not seen & {f"triplet {pair[0]}", f"clip {pair[1]}"}:
                    seen |= {f"triplet {pair[0]}", f"clip {pair[1]}"}
                    chosen.append(pair)
                    break
        if len(chosen) == number or not any(left.values()):
            break
    return chosen


def kinds_in(kinds: dict[str, Misalignment | None]) -> list[Misalignment | None]:
    return [kind for kind in (*Misalignment, None) if kind in set(kinds.values())]


def gallery(run: Path, triplets: list[Triplet], decoder: Decoder, number: int = 28) -> Gallery | None:
    """The chosen triplets with all that the run knows about their clips; None where clips were not weighed."""
    default = artefacts.default_weights(run)
    if default is None or not artefacts.has_clips(run):
        return None
    by_id = {t.id: t for t in triplets}
    rows = artefacts.read_weights(run, default.scorers, default.shown)
    learned = {(r.triplet_id, r.clip_id): r.weight for r in rows if r.triplet_id in by_id}
    known = artefacts.weights_file(run, artefacts.TRUTH, default.shown).exists()
    rows = artefacts.read_weights(run, artefacts.TRUTH, default.shown) if known else []
    truth = {(r.triplet_id, r.clip_id): r.weight > 0.5 for r in rows}
    clips = artefacts.read_clips(run)
    chosen = [by_id[triplet] for triplet, _ in choose(learned, {t.id: t.misalignment for t in triplets}, number)]
    choices = choice_words(chosen_clips.read_chosen(run))
    passed_over = [pair for pair in choices if pair not in learned]
    of_triplet = {t.id: [pair for pair in (*learned, *passed_over) if pair[0] == t.id] for t in chosen}
    scores = read_scores(run, {clip for pairs in of_triplet.values() for _, clip in pairs})
    kinds = artefacts.quantities(run)
    over_zero = [weight for weight in learned.values() if weight > 0]
    middle = statistics.median(over_zero) if over_zero else 0.0
    album = Album(run, decoder)
    cards = []
    for triplet in chosen:
        own, real = triplet.negative_caption, triplet.caption
        shown, picture = [], album.embed(triplet.video)
        for pair in of_triplet[triplet.id]:
            clip = clips.get(pair[1])
            scorers = sorted({scorer for name, scorer, _ in scores if name == pair[1]})
            score_of = [(name, scores.get((pair[1], name, own)), scores.get((pair[1], name, real))) for name in scorers]
            shown.append(
                ShownClip(
                    generator=clip.generator if clip else UNKNOWN,
                    video=album.embed(clip.file) if clip else Video(pair[1], "", "no such clip"),
                    scores=[(f"{name}, {kinds[name]}", ours, theirs) for name, ours, theirs in score_of],
                    weight=learned.get(pair),
                    level=level(learned[pair], middle) if pair in learned else "",
                    truth=truth.get(pair),
                    choice=choices.get(pair, ""),
                )
            )
        words = marked_words(real, own), marked_words(own, real)
        cards.append(Shown(triplet.id, kind_name(triplet.misalignment), picture, *words, shown))
    return Gallery(len({clip for _, clip in learned}), middle, cards) if cards else None


def choice_words(chosen: list[chosen_clips.ChosenClip]) -> dict[Pair, str]:
    """What the judge said of each clip that it chose from."""
    words: dict[Pair, str] = {}
    for one in chosen:
        who = " and ".join(one.judge)
        for clip, score in one.scores.items():
            verdict = f"chosen by {who}" if clip == one.clip_id else "not chosen"
            words[one.triplet_id, clip] = f"{verdict}, score {score:.2f}"
    return words


def read_scores(run: Path, clips: set[str]) -> dict[tuple[str, str, str], float]:
    """{(clip, scorer, caption): score} of these clips, without the oracle's."""
    rows = artefacts.read_scores(run)
    return {
        (r.clip_id, r.scorer, r.caption): r.score
        for r in rows
        if r.clip_id in clips and r.scorer not in artefacts.TRUTH
    }
