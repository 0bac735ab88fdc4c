"""The miniature's generator as a backend of the generate stage; its failures are known (`world.simulator`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synvita.core.records import Triplet
from synvita.world.dataset import UPSCALE
from synvita.world.render import FPS
from synvita.world.simulator import FAILURE, REVISION, simulate


class WorldSimulator:
    """A `generate.generator.Generator`."""

    def describe(self) -> dict[str, Any]:
        return {"revision": REVISION, "fps": FPS, "upscale": UPSCALE, "settings": {}}

    def settings(self, triplet: Triplet) -> dict[str, Any]:
        """Which failure threatens a clip: it may show the original scene instead."""
        if triplet.misalignment is None:
            raise ValueError(f"triplet {triplet.id}: the world simulator needs its misalignment type")
        return {"failure_rate": FAILURE[triplet.misalignment], "instead": triplet.caption}

    def generate(
        self, captions: Sequence[str], seeds: Sequence[int], settings: Sequence[dict[str, Any]]
    ) -> list[np.ndarray]:
        """(8, 32, 32, 3) uint8 frames each."""
        return [simulate(*one) for one in zip(captions, settings, seeds, strict=True)]
