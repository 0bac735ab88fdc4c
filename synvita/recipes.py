"""A run is a named function: it returns the whole configuration, which prints as YAML and can be overridden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from synvita.evaluate.config import EvaluateConfig
from synvita.generate.clips import GenerateConfig
from synvita.train.config import TrainConfig
from synvita.weigh.stage import WeighConfig
from synvita.world.dataset import WorldConfig


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run's numbers depend on. `world` is None for a run on one's own triplets."""

    world: WorldConfig | None = None
    generate: GenerateConfig = field(default_factory=GenerateConfig)
    weigh: WeighConfig = field(default_factory=WeighConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

    def as_dict(self) -> dict[str, Any]:
        """Plain values only, as YAML keeps them (tuples become lists)."""
        return plain(asdict(self))


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def mini() -> RunConfig:
    """The paper's central experiment in the miniature: 2,000 triplets, 4 epochs, five trained arms."""
    return RunConfig(world=WorldConfig())


def own_triplets() -> RunConfig:
    """One's own triplets and clips with the tiny models; no oracle, because nobody knows the truth there."""
    return RunConfig(weigh=WeighConfig(oracle=False))


RECIPES: dict[str, Callable[[], RunConfig]] = {"mini": mini, "own_triplets": own_triplets}


def recipe(name: str) -> RunConfig:
    if name not in RECIPES:
        raise ValueError(f"--recipe: unknown recipe {name!r}; known: {', '.join(RECIPES)}")
    return RECIPES[name]()
