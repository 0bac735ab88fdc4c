"""Best of N: of a triplet's clips by one generator, the one that a judge scores highest with their caption.

A function of the score files, as weights are: made anew each time, never resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from synvita.core.artefacts import read_clips
from synvita.core.chosen import CHOSEN, ChosenClip, read_chosen
from synvita.core.run_folder import remove
from synvita.core.store import write_records
from synvita.weigh.scored import Links, Scored

KNOB = "--weigh.judge"


def choose(
    links: Sequence[tuple[str, str]], generator_of: Mapping[str, str], scores: Sequence[float], judge: Sequence[str]
) -> list[ChosenClip]:
    """The choice per triplet and generator, in the order of the links.

    Of equal scores the first clip wins: it was made from the first seed, so a judge that cannot tell changes nothing.

    Args:
        links: (triplet id, clip id). generator_of: clip id -> its generator. scores: the judge's, of each link.
    """
    candidates: dict[tuple[str, str], dict[str, float]] = {}
    for (triplet, clip), score in zip(links, scores, strict=True):
        candidates.setdefault((triplet, generator_of[clip]), {})[clip] = round(float(score), 7)
    return [
        ChosenClip(triplet, generator, max(of, key=lambda clip: of[clip]), list(judge), of)  # max: the first of equals
        for (triplet, generator), of in candidates.items()
    ]


def chosen_links(links: Links, judges: Sequence[str], scored: Scored) -> Links:
    """The links that are weighed: all where nobody judges, else the judge's choice, written to `chosen_clips.jsonl`.

    Clips that the judge set aside are no candidates. Weights of another choice are removed: they would stand beside
    this one's as if they were of the same clips.

    Raises:
        ValueError: a clip that the judge has not set aside lacks its score; its scorers give two quantities.
    """
    run, before = scored.run, read_chosen(scored.run)
    chosen: list[ChosenClip] = []
    if judges:
        candidates = scored.usable(links, judges, KNOB)
        generator_of = {name: clip.generator for name, clip in read_clips(run).items()}
        own = scored.means(candidates, judges)[0]
        chosen = choose([(t.id, clip) for t, clip in candidates], generator_of, own, judges)
        write_records(run / CHOSEN, chosen)
    else:
        remove(run / CHOSEN, run)
    if pairs(before) != pairs(chosen):
        for path in sorted((run / "weights").glob("*.jsonl")):
            remove(path, run)
    return [(t, clip) for t, clip in links if not judges or (t.id, clip) in pairs(chosen)]


def pairs(chosen: Sequence[ChosenClip]) -> set[tuple[str, str]]:
    return {(one.triplet_id, one.clip_id) for one in chosen}
