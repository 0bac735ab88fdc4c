"""The miniature's generator as a backend of the generate stage; its failures are known (`world.simulator`)."""

from __future__ import annotations

from typing import Any

from synvita.core.records import Triplet
from synvita.world.dataset import UPSCALE
from synvita.world.render import FPS
from synvita.world.simulator import FAILURE, REVISION, simulate


class WorldSimulator:
    """name, revision, fps, upscale: provenance and how the file is written."""

    name = "world_simulator"
    revision = REVISION
    fps = FPS
    upscale = UPSCALE

    def settings(self, triplet: Triplet) -> dict[str, Any]:
        """What a clip depends on besides caption and seed; here also which failure threatens."""
        if triplet.misalignment is None:
            raise ValueError(f"triplet {triplet.id}: the world simulator needs its misalignment type")
        return {"failure_rate": FAILURE[triplet.misalignment], "instead": triplet.caption}

    def generate(self, caption: str, settings: dict[str, Any], seed: int) -> Any:
        """(T, H, W, 3) uint8 frames."""
        return simulate(caption, settings, seed)
