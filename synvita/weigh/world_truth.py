"""The miniature's oracle as a scorer: the simulator knows what it drew, so the truth needs no pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synvita.core.records import Clip
from synvita.world.simulator import REVISION, world_truth


class WorldTruth:
    """1 where a caption is true of what the simulator drew, else 0; for the miniature's own clips only."""

    looks_at = None
    quantity = "truth"

    def describe(self) -> dict[str, Any]:
        return {"revision": REVISION}

    def score(self, clip: Clip, captions: Sequence[str]) -> list[float]:
        return [world_truth(clip, caption) for caption in captions]
