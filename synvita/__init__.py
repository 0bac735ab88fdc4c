"""Synthetic videos for video-language alignment: triplets -> generate -> weigh -> train -> evaluate -> report.

From Python: `score`, `rank`, `Aligner` for clips and captions, `Run` for the stages on one run folder, `known` for what
there is by name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synvita.api import known
    from synvita.api.run import Run
    from synvita.api.score import score
    from synvita.ranking.api import rank
    from synvita.videollm.aligner import Aligner, AlignmentScores

__version__ = "0.1.0"

# Looked up when somebody asks, so that importing the package imports no torch.
PUBLIC = {
    "Aligner": "synvita.videollm.aligner:Aligner",
    "AlignmentScores": "synvita.videollm.aligner:AlignmentScores",
    "Run": "synvita.api.run:Run",
    "known": "synvita.api.known",
    "rank": "synvita.ranking.api:rank",
    "score": "synvita.api.score:score",
}
__all__ = ["Aligner", "AlignmentScores", "Run", "known", "rank", "score"]


def __getattr__(name: str) -> object:
    if name not in PUBLIC:
        raise AttributeError(f"module 'synvita' has no attribute {name!r}; it has {', '.join(PUBLIC)}")
    module, _, attribute = PUBLIC[name].partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return sorted([*globals(), *PUBLIC])
