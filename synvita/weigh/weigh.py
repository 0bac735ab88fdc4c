"""Stage 3, second half: the scores of a group of scorers -> a weight per triplet, clip and criterion.

Weights are a function of the score files: computed anew each time, never resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synvita.core.artefacts import AUDIT, read_scores, scores_file, stamp_weights, weights_file
from synvita.core.links import clip_links
from synvita.core.names import folder_name
from synvita.core.records import ClipWeight, Triplet
from synvita.core.run_folder import again, remove
from synvita.core.set_aside import read_set_aside
from synvita.core.store import read_records, write_records
from synvita.weigh.config import WeighConfig
from synvita.weigh.weights import criterion

Links = list[tuple[Triplet, str]]
Scores = dict[tuple[str, str, str], float]  # (clip id, caption, scorer) -> score


def weigh(run: Path, config: WeighConfig, only: Sequence[tuple[str, ...]] | None = None) -> dict[str, int]:
    """Write `weights/<scorers>-<criterion>.jsonl` for each group of scorers (`only` these) and criterion.

    Raises:
        ValueError: a clip that is not set aside lacks a score: named, with the command that makes it.
    """
    triplets = [t for t in read_records(run / "triplets.jsonl", Triplet, ("id",)) if t.split == "train"]
    links = clip_links(run)
    scored = list(read_scores(run))
    scores: Scores = {(s.clip_id, s.caption, s.scorer): s.score for s in scored}
    quantities = {s.scorer: s.quantity for s in scored}
    gone = set_aside_by_scorer(run)
    linked = [(t, clip) for t in triplets for clip in links.get(t.id, [])]
    number = 0
    aside: set[tuple[str, str]] = set()
    made: dict[str, list[str]] = {}
    for scorers in config.ensembles if only is None else only:
        check_one_quantity(scorers, quantities)
        unscored = set().union(*(gone.get(folder_name(name, "--weigh.scorers"), ()) for name in scorers))
        usable = [(t, clip) for t, clip in linked if clip not in unscored]
        aside |= {(t.id, clip) for t, clip in linked if clip in unscored}
        target, source = mean_scores(run, usable, scorers, scores)
        for name in config.criteria:
            weights = zip(usable, criterion(name)(target, source), strict=True)
            rows = [ClipWeight(t.id, clip, name, list(scorers), round(float(w), 7)) for (t, clip), w in weights]
            path = weights_file(run, scorers, name)
            write_records(path, rows)
            files = [scores_file(run, folder_name(scorer, "--weigh.scorers")) for scorer in scorers]
            made[path.name] = [file.relative_to(run).as_posix() for file in files if file.exists()]
            number += len(rows)
    stamp_weights(run, config.scorers, config.criteria, made)
    remove(run / AUDIT, run)  # of the scores before
    without = sum(t.id not in links for t in triplets)
    return {"weights": number, "without_clip": without, "set_aside": len(aside)}


def check_one_quantity(scorers: Sequence[str], quantities: dict[str, str], knob: str = "--weigh.scorers") -> None:
    """ValueError: the mean of two quantities, say exp(-CE) of an answer with its end and P("Yes"), is no quantity."""
    given = {name: quantities[name] for name in scorers if name in quantities}
    if len(set(given.values())) > 1:
        each = ", ".join(f"{name} gives {what}" for name, what in given.items())
        raise ValueError(f"{knob}: {each}; two quantities are never averaged: give --scorers.NAME.quantity")


def mean_scores(run: Path, links: Links, scorers: Sequence[str], scores: Scores) -> tuple[list[float], list[float]]:
    """f-bar of each clip, over the scorers: with its own caption, and with the real one. ValueError: one is missing."""
    target: list[float] = []
    source: list[float] = []
    for triplet, clip in links:
        for caption, into in ((triplet.negative_caption, target), (triplet.caption, source)):
            lacking = next((s for s in scorers if (clip, caption, s) not in scores), None)
            if lacking is not None:
                path = scores_file(run, folder_name(lacking, "--weigh.scorers"))
                text = f"{path}: no score for clip {clip} with caption {caption!r}"
                raise ValueError(f"{text}; once more: {again('weigh', run)}")
            into.append(float(np.mean([scores[clip, caption, s] for s in scorers])))
    return target, source


def unweighed(run: Path, weights: Sequence[ClipWeight]) -> int:
    """How many clips serve a training triplet and have no weight, though no scorer has set them aside: they were made
    after the weights, and no arm uses them."""
    weighed = {(row.triplet_id, row.clip_id) for row in weights}
    gone = set().union(*set_aside_by_scorer(run).values())
    pairs = {(triplet, clip) for triplet, clips in clip_links(run).items() for clip in clips if clip not in gone}
    return len({clip for _, clip in pairs - weighed})


def set_aside_by_scorer(run: Path) -> dict[str, set[str]]:
    """Folder name of a scorer -> the clips that it could not score."""
    found: dict[str, set[str]] = {}
    for row in read_set_aside(run):
        command, _, folder = row["stage"].partition(" scores/")
        if command == "weigh" and folder:
            found.setdefault(folder, set()).add(row["id"])
    return found
