"""Studies whose arms need other clips than the recipe's: which generator (Tables 1 and 5), and the best of N.

Each set of clips has a run folder of its own below the seed's, because a run folder's clips, weights and arms belong
together. Arms that need no clips are the other studies': their figures are shared by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from synvita.core.vocabulary import BASELINE, METHOD, UNTRAINED
from synvita.recipes import RunConfig
from synvita.train.arms import ARMS, Arm

SIMULATOR, TRAINED = "world_simulator", "mini-videocrafter2"
NUMBERS = (1, 2, 4)
JUDGE = "video_llm"  # chooses among N clips; it sees the whole video, and weighs none of these arms
EVERY = "all_generators"
METHODS = {"uniform": ARMS["uniform"], METHOD: ARMS[METHOD]}  # naive use (Table 1), SynViTA (Table 5)


@dataclass(frozen=True)
class Clips:
    """Which clips a run folder has, and the arms that are trained on them.

    folder: below the seed's. arms: name -> arm; the name is also that of its figures.
    """

    folder: str
    generators: tuple[str, ...]
    best_of: int
    arms: dict[str, Arm]

    def config(self, base: RunConfig) -> RunConfig:
        """Of a seed's configuration (`study.config_of`): the same world, scorers and training."""
        judge = JUDGE if self.best_of > 1 else ""
        weigh = replace(base.weigh, criteria=base.weigh.criteria[:1], also=(), judge=judge)
        generate = replace(base.generate, best_of=self.best_of)
        return replace(base, generate=generate, weigh=weigh, train=replace(base.train, arms=self.trained))

    @property
    def trained(self) -> dict[str, Arm]:
        return {name: arm for name, arm in self.arms.items() if name != UNTRAINED}


def sets_of_clips() -> list[Clips]:
    """Every run folder that the studies need."""
    arms: dict[str, Arm] = {UNTRAINED: Arm(), BASELINE: ARMS[BASELINE]}
    for name, arm in METHODS.items():
        for generator in (SIMULATOR, TRAINED):
            arms[f"{name}_{generator}"] = replace(arm, generators=(generator,))
        arms[f"{name}_{EVERY}"] = arm
    both = Clips("generators", (SIMULATOR, TRAINED), 1, arms)
    best = [
        Clips(f"best_of_{n}", (TRAINED,), n, {f"{name}_best_of_{n}": arm for name, arm in METHODS.items()})
        for n in NUMBERS[1:]
    ]
    return [both, *best]


def clip_studies() -> dict[str, dict[str, str]]:
    """Study -> {row of its table: arm}, as `study.studies`. The best of one clip is that clip: the generator's arm."""
    by_generator = {SIMULATOR: f"{{}}_{SIMULATOR}", TRAINED: f"{{}}_{TRAINED}", "all": f"{{}}_{EVERY}"}
    by_number = {n: f"{{}}_{TRAINED}" if n == 1 else f"{{}}_best_of_{n}" for n in NUMBERS}
    start = {UNTRAINED: UNTRAINED, BASELINE: BASELINE}
    return {
        "generators": start | {f"{m}, {of}": arm.format(m) for m in METHODS for of, arm in by_generator.items()},
        "best_of": start | {f"{m}, N = {n}": arm.format(m) for m in METHODS for n, arm in by_number.items()},
    }


def by_clips(arms: Iterable[str]) -> list[tuple[Clips, list[str]]]:
    """Where each of these arms is trained; run folders without one are left out."""
    wanted = set(arms)
    found = [(clips, [name for name in clips.arms if name in wanted]) for clips in sets_of_clips()]
    return [(clips, some) for clips, some in found if some]
