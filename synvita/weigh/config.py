"""What can be set about weighing."""

from __future__ import annotations

from dataclasses import dataclass

from synvita.core.artefacts import TRUTH
from synvita.core.decoder import check_timeout
from synvita.core.names import folder_name
from synvita.weigh.scorer import SCORERS
from synvita.weigh.weights import criterion


@dataclass(frozen=True)
class WeighConfig:
    """How clips are weighed.

    scorers: an ensemble whose scores are averaged: names of the section scorers, known ones, or module:Class.
    also: scorers, or ensembles like llava+video_llm, with weights of their own beside it, for arms that name them.
    criteria: of Table 4; the first is what arms use that name none.
    oracle: also weigh by the truth: what clips of the miniature show (its clips only).
    judge: of a triplet's clips by a generator only the one that this scorer (or ensemble) scores highest is weighed.
    decode_timeout: seconds for one clip.
    """

    scorers: tuple[str, ...] = ("llava",)
    also: tuple[str, ...] = ()
    criteria: tuple[str, ...] = ("difference",)
    oracle: bool = True
    judge: str = ""
    decode_timeout: float = 60.0

    @property
    def ensembles(self) -> list[tuple[str, ...]]:
        """All groups of scorers that get weights, each once; the oracle is a group of its own."""
        groups = [self.scorers, *(tuple(name.split("+")) for name in self.also)]
        return list(dict.fromkeys(groups + [TRUTH] * self.oracle))

    @property
    def judges(self) -> tuple[str, ...]:
        """Who chooses among the clips of a triplet; none: all are weighed."""
        return tuple(self.judge.split("+")) if self.judge else ()

    @property
    def every(self) -> list[str]:
        """All scorers that are needed, each once."""
        return list(dict.fromkeys([*(name for group in self.ensembles for name in group), *self.judges]))

    def __post_init__(self) -> None:
        if not self.scorers:
            raise ValueError(f"--weigh.scorers: none given; known: {', '.join(SCORERS)}, or your own as module:Class")
        if not self.criteria:
            raise ValueError("--weigh.criteria: none given; give at least one of Table 4, e.g. difference")
        for name in self.criteria:
            criterion(name)
        for name in self.judges:
            folder_name(name, "--weigh.judge")
        short = [folder_name(name, "--weigh.scorers") for name in self.every]
        twice = next((name for name in short if short.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"--weigh.scorers: two scorers are called {twice!r}; rename one class")
        check_timeout(self.decode_timeout, "--weigh.decode-timeout")
