"""Synthetic videos for video-language alignment: triplets -> generate -> weigh -> train -> evaluate -> report."""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`synvita.Aligner` without importing torch until somebody asks for it."""
    if name in ("Aligner", "AlignmentScores"):
        from synvita.videollm import aligner

        return getattr(aligner, name)
    if name == "rank":
        from synvita.ranking import api

        return api.rank
    raise AttributeError(f"module 'synvita' has no attribute {name!r}")
