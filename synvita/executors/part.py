"""A part of a stage's batches: a shard of all the work, or a look at a little of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synvita.core.provenance import digest
from synvita.core.stage import Stage

Batches = list[list[str]]  # of items' keys


@dataclass(frozen=True)
class Shard:
    """Every n-th batch, for batch systems without an engine: `number` counts from 1 to `of`."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """ "3/8" -> Shard(3, 8). ValueError: no such shard."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"--shard: {text!r} is no shard; give i/n with i from 1 to n, as in 3/8")
        return cls(int(match[1]), int(match[2]))

    def file(self, stage: Stage) -> str:
        return f"{Path(stage.file).stem}.shard-{self.number}-of-{self.of}"

    def choose(self, batches: Batches) -> Batches:
        return batches[self.number - 1 :: self.of]


@dataclass(frozen=True)
class Look:
    """The first batches, in an order that depends on their keys alone, until they hold `items` items.

    What is made stays in the stage's journal, like that of a run that was interrupted: the whole run goes on with it,
    and the record file holds whole results only. Batches stay whole, so that the records are the bytes of the whole
    run; a longer look holds a shorter one.
    """

    items: int

    def choose(self, batches: Sequence[list[str]]) -> Batches:
        some: Batches = []
        for batch in sorted(batches, key=lambda keys: digest(keys[0])):
            if sum(map(len, some)) >= self.items:
                break
            some.append(batch)
        return sorted(some)
