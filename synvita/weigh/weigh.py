"""Stage 3, second half: the scores of a group of scorers -> a weight per triplet, clip and criterion.

Weights are a function of the score files: computed anew each time, never resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from synvita.core.artefacts import AUDIT, stamp_weights, weights_file
from synvita.core.chosen import CHOSEN, read_chosen
from synvita.core.links import clip_links
from synvita.core.records import ClipWeight, Triplet
from synvita.core.run_folder import remove
from synvita.core.store import read_records, write_records
from synvita.weigh import choose
from synvita.weigh.config import WeighConfig
from synvita.weigh.scored import Links, Scored, files_of, set_aside_by_scorer
from synvita.weigh.weights import criterion


def weigh(run: Path, config: WeighConfig, only: Sequence[tuple[str, ...]] | None = None) -> dict[str, int]:
    """Write `weights/<scorers>-<criterion>.jsonl` for each group of scorers (`only` these) and criterion; of all clips,
    or of those that a judge chooses.

    Raises:
        ValueError: a clip that is not set aside lacks a score: named, with the command that makes it.
    """
    triplets = [t for t in read_records(run / "triplets.jsonl", Triplet, ("id",)) if t.split == "train"]
    links, scored = clip_links(run), Scored.read(run)
    every = [(t, clip) for t in triplets for clip in links.get(t.id, [])]
    linked = choose.chosen_links(every, config.judges, scored)
    candidates = scored.usable(every, config.judges, choose.KNOB)
    aside = keys(every) - keys(candidates)
    number = 0
    made: dict[str, list[str]] = {}
    for scorers in config.ensembles if only is None else only:
        usable = scored.usable(linked, scorers)
        aside |= keys(linked) - keys(usable)
        target, source = scored.means(usable, scorers)
        for name in config.criteria:
            weights = zip(usable, criterion(name)(target, source), strict=True)
            rows = [ClipWeight(t.id, clip, name, list(scorers), round(float(w), 7)) for (t, clip), w in weights]
            path = weights_file(run, scorers, name)
            write_records(path, rows)
            made[path.name] = [*files_of(run, [*scorers, *config.judges]), *([CHOSEN] if config.judges else [])]
            number += len(rows)
    stamp_weights(run, config.scorers, config.criteria, made)
    remove(run / AUDIT, run)  # of the scores before
    without = sum(t.id not in links for t in triplets)
    counts = {"weights": number, "without_clip": without, "set_aside": len(aside)}
    return counts | ({"not_chosen": len(candidates) - len(linked)} if config.judges else {})


def keys(links: Links) -> set[tuple[str, str]]:
    return {(triplet.id, clip) for triplet, clip in links}


def unweighed(run: Path, weights: Sequence[ClipWeight]) -> int:
    """How many clips serve a training triplet and have no weight, though no scorer has set them aside and no judge has
    chosen another: they were made after the weights, and no arm uses them."""
    weighed = {(row.triplet_id, row.clip_id) for row in weights}
    weighed |= {(one.triplet_id, clip) for one in read_chosen(run) for clip in one.others}
    gone = set().union(*set_aside_by_scorer(run).values())
    pairs = {(triplet, clip) for triplet, clips in clip_links(run).items() for clip in clips if clip not in gone}
    return len({clip for _, clip in pairs - weighed})
