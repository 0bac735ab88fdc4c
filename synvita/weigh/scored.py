"""What the score files of a run say: scores, what they are, and the clips that a scorer could not score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synvita.core.artefacts import read_scores, scores_file
from synvita.core.names import folder_name
from synvita.core.records import Triplet
from synvita.core.run_folder import again
from synvita.core.set_aside import read_set_aside

Links = list[tuple[Triplet, str]]  # with a clip id


@dataclass(frozen=True)
class Scored:
    """`scores`: (clip id, caption, scorer) -> score. `quantities`: of each scorer. `gone`: folder name of a scorer ->
    the clips that it set aside."""

    run: Path
    scores: dict[tuple[str, str, str], float]
    quantities: dict[str, str]
    gone: dict[str, set[str]]

    @classmethod
    def read(cls, run: Path) -> Scored:
        rows = read_scores(run)
        scores = {(s.clip_id, s.caption, s.scorer): s.score for s in rows}
        return cls(run, scores, {s.scorer: s.quantity for s in rows}, set_aside_by_scorer(run))

    def usable(self, links: Links, scorers: Sequence[str], knob: str = "--weigh.scorers") -> Links:
        """The links whose clips none of these scorers has set aside. ValueError: their scores are of two quantities."""
        check_one_quantity(scorers, self.quantities, knob)
        unscored = set().union(*(self.gone.get(folder_name(name, knob), ()) for name in scorers))
        return [(t, clip) for t, clip in links if clip not in unscored]

    def means(self, links: Links, scorers: Sequence[str]) -> tuple[list[float], list[float]]:
        """f-bar of each clip, over the scorers: with its own caption, and with the real one.

        Raises:
            ValueError: one is missing: named, with the command that makes it.
        """
        target: list[float] = []
        source: list[float] = []
        for triplet, clip in links:
            for caption, into in ((triplet.negative_caption, target), (triplet.caption, source)):
                lacking = next((s for s in scorers if (clip, caption, s) not in self.scores), None)
                if lacking is not None:
                    path = scores_file(self.run, folder_name(lacking, "--weigh.scorers"))
                    text = f"{path}: no score for clip {clip} with caption {caption!r}"
                    raise ValueError(f"{text}; once more: {again('weigh', self.run)}")
                into.append(float(np.mean([self.scores[clip, caption, s] for s in scorers])))
        return target, source


def check_one_quantity(scorers: Sequence[str], quantities: dict[str, str], knob: str = "--weigh.scorers") -> None:
    """ValueError: the mean of two quantities, say exp(-CE) of an answer with its end and P("Yes"), is no quantity."""
    given = {name: quantities[name] for name in scorers if name in quantities}
    if len(set(given.values())) > 1:
        each = ", ".join(f"{name} gives {what}" for name, what in given.items())
        raise ValueError(f"{knob}: {each}; two quantities are never averaged: give --scorers.NAME.quantity")


def files_of(run: Path, scorers: Sequence[str]) -> list[str]:
    """The score files of these scorers that are there, relative to the run folder."""
    files = [scores_file(run, folder_name(name, "--weigh.scorers")) for name in scorers]
    return [file.relative_to(run).as_posix() for file in files if file.exists()]


def set_aside_by_scorer(run: Path) -> dict[str, set[str]]:
    """Folder name of a scorer -> the clips that it could not score."""
    found: dict[str, set[str]] = {}
    for row in read_set_aside(run):
        command, _, folder = row["stage"].partition(" scores/")
        if command == "weigh" and folder:
            found.setdefault(folder, set()).add(row["id"])
    return found
