"""By which executor, with how many workers and in which part the items of a stage are worked on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synvita.core.stage import Stage
from synvita.executors import local
from synvita.executors.job import Outcome
from synvita.executors.part import Look, Shard

if TYPE_CHECKING:
    from synvita.weigh.stage import ScoreClips

EXECUTORS = ("local", "ray")
ROOM = 0.7  # share of a device's free memory that the weights of several scorers may take; the rest is for their work


@dataclass(frozen=True)
class How:
    """How a stage's items are worked on: by which executor, with how many workers, which part (`look`: of evaluate)."""

    executor: str = "local"
    workers: int = 1
    shard: Shard | None = None
    address: str | None = None
    look: Look | None = None

    @classmethod
    def of(cls, executor: str, workers: int, shard: str | None, address: str | None) -> How:
        """As somebody types it; `shard`: "I/N". ValueError: an unknown executor; settings that exclude each other."""
        if executor not in EXECUTORS:
            raise ValueError(f"--executor: unknown {executor!r}; known: {', '.join(EXECUTORS)}")
        if address is not None and executor != "ray":
            raise ValueError("--address: is of a Ray cluster; give --executor ray, too")
        if shard is not None and executor == "ray":
            raise ValueError("--shard: is for batch systems without an engine; leave it or --executor ray out")
        return cls(executor, workers, None if shard is None else Shard.parse(shard), address)

    def run_all(self, stages: Sequence[Any], run: Path) -> list[Outcome]:
        """Side by side, if they are several and on this machine."""
        if self.executor == "local":
            return local.side_by_side(stages, run, self.workers, self.shard or self.look)
        return [self.run(stage, run) for stage in stages]

    def run(self, stage: Stage, run: Path) -> Outcome:
        if self.executor == "ray":
            from synvita.executors import ray

            return ray.run(stage, run, self.workers, self.address, self.look)
        return local.run(stage, run, self.workers, self.shard or self.look)


HERE, TWO_WORKERS = How(), How(workers=2)


def in_memory_at_once(stages: Sequence[ScoreClips], how: How) -> list[list[ScoreClips]]:
    """Scorers that work side by side, because each worker has room for all their weights; others alone.

    On the CPU the memory must hold them once per worker. On GPUs several workers take one scorer after the other: which
    card is whose, and what is free there, only a worker sees, and the paper's three (88 GB) fit on no card of 80 GB.
    """
    from synvita.videollm.memory import free

    groups: list[list[ScoreClips]] = []
    taken: dict[str, int] = {}
    for stage in stages:
        alone = len(stages) == 1 or how.executor != "local" or (how.workers > 1 and stage.resources.gpus > 0)
        needs = None if alone else stage.needs()
        if needs is None:
            groups.append([stage])
            taken = {}
            continue
        device, size = needs[0], needs[1] * how.workers
        if not taken or device not in taken or taken[device] + size > ROOM * free(device):
            groups.append([])
            taken = {device: 0}
        taken[device] += size
        groups[-1].append(stage)
    return groups
