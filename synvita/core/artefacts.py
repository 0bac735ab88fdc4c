"""Clips and scores of a run, whoever made them: a folder per generator and per scorer, each with its stamp."""

from __future__ import annotations

from pathlib import Path

from synvita.core.records import Clip, ScoredClip
from synvita.core.store import read_records

CLIPS, SCORES = "clips/*/clips.jsonl", "scores/*/scores.jsonl"


def clips_file(run: Path, generator: str) -> Path:
    return run / "clips" / generator / "clips.jsonl"


def scores_file(run: Path, scorer: str) -> Path:
    return run / "scores" / scorer / "scores.jsonl"


def read_clips(run: Path) -> dict[str, Clip]:
    """Clip id -> clip, of all generators in the order of their names.

    Raises:
        ValueError: a bad line, or a clip that is there twice, by file:line.
    """
    return {c.clip_id: c for path in sorted(run.glob(CLIPS)) for c in read_records(path, Clip, ("clip_id",))}


def read_scores(run: Path) -> list[ScoredClip]:
    """The scores of all scorers. A score that is there twice would count double: refused by file:line."""
    paths = sorted(run.glob(SCORES))
    return [s for path in paths for s in read_records(path, ScoredClip, ("clip_id", "caption", "scorer"))]


def has_clips(run: Path) -> bool:
    return any(run.glob(CLIPS))
