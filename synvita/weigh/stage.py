"""Stage 3: score every clip with its own and the real caption, then turn the two scores into a weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synvita.core.backends import load_backend
from synvita.core.decoder import Decoder, check_timeout
from synvita.core.links import clip_links
from synvita.core.names import folder_name
from synvita.core.records import Clip, ClipWeight, ScoredClip, Triplet, require_whole
from synvita.core.run_folder import again
from synvita.core.set_aside import read_set_aside, set_aside
from synvita.core.store import Appender, read_records, write_records
from synvita.core.video import VideoError
from synvita.weigh.weights import criterion

SCORERS = {"llava": "synvita.weigh.llava:Llava", "video_llm": "synvita.weigh.video_llm:VideoLLMScorer"}
ORACLES = ("world_truth",)


@dataclass(frozen=True)
class WeighConfig:
    """`scorers`: an ensemble, scores are averaged. `models`: a checkpoint per scorer. `frames`: per clip, uniform.

    `also`: scorers, or ensembles like "llava+video_llm", that get weights of their own beside the ensemble's; arms name
    them to use them.
    `criteria`: of Table 4; the first is what arms use that name none. `oracle`: also weigh by the simulator's truth
    (its clips only).
    """

    scorers: tuple[str, ...] = ("llava",)
    also: tuple[str, ...] = ()
    models: dict[str, str] = field(default_factory=lambda: {"llava": "mini-llava", "video_llm": "mini-video-llava"})
    frames: int = 4
    criteria: tuple[str, ...] = ("difference",)
    oracle: bool = True
    decode_timeout: float = 60.0

    @property
    def every(self) -> list[str]:
        """All scorers that are needed, each once."""
        return list(dict.fromkeys((*self.scorers, *(name for some in self.also for name in some.split("+")))))

    def __post_init__(self) -> None:
        if not self.scorers:
            raise ValueError(f"--weigh.scorers: none given; known: {', '.join(SCORERS)}, or your own as module:Class")
        if not self.criteria:
            raise ValueError("--weigh.criteria: none given; give at least one of Table 4, e.g. difference")
        for name in self.criteria:
            criterion(name)
        for name in self.every:
            if name not in SCORERS and ":" not in name:
                raise ValueError(f"--weigh.scorers: unknown scorer {name!r}; known: {', '.join(SCORERS)}")
            if name in SCORERS and name not in self.models:
                raise ValueError(f"--weigh.models: no checkpoint for scorer {name!r}")
        short = [folder_name(name, "--weigh.scorers") for name in self.every]
        twice = next((name for name in short if short.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"--weigh.scorers: two scorers are called {twice!r}; rename one class")
        require_whole("--weigh.frames", self.frames)
        if not self.frames:
            raise ValueError("--weigh.frames: 0 is not a positive number")
        check_timeout(self.decode_timeout, "--weigh.decode-timeout")


def wanted(triplets: list[Triplet], links: dict[str, list[str]]) -> dict[str, list[str]]:
    """Clip id -> the captions it must be scored with: its own and those of the real videos it stands against."""
    captions: dict[str, dict[str, None]] = {}
    for triplet in triplets:
        for clip in links.get(triplet.id, []):
            captions.setdefault(clip, {}).update({triplet.negative_caption: None, triplet.caption: None})
    return {clip: list(texts) for clip, texts in captions.items()}


def read_scores(path: Path) -> list[ScoredClip]:
    """A score that is there twice would count double: refused by file:line."""
    return read_records(path, ScoredClip, ("clip_id", "caption", "scorer"))


def checked(values: Any, captions: list[str], scorer: str, clip: str) -> list[float]:
    """What a scorer gave for a clip: as many scores as captions, each in [0, 1]; ValueError names scorer and clip."""
    try:
        scores = [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise ValueError(f"--weigh.scorers: {scorer}: clip {clip}: gave no list of numbers ({error})") from None
    if len(scores) != len(captions):
        raise ValueError(f"--weigh.scorers: {scorer}: clip {clip}: {len(scores)} scores of {len(captions)} captions")
    for value, caption in zip(scores, captions, strict=True):
        if not 0 <= value <= 1:  # NaN, too
            raise ValueError(f"--weigh.scorers: {scorer}: clip {clip}: {value} of {caption!r} is no score in [0, 1]")
    return scores


def load_scorer(name: str, models: dict[str, str]) -> Any:
    """One's own may need no checkpoint. ValueError: it cannot be made, or has no `score`."""
    made = load_backend(SCORERS, name, "--weigh.scorers")
    try:
        scorer = made(models[name]) if name in models else made()
    except TypeError as error:
        raise ValueError(f"--weigh.scorers: {name} cannot be made: {error}") from error
    if not callable(getattr(scorer, "score", None)):
        raise ValueError(f"--weigh.scorers: {name} has no score(frames, captions); see the README")
    return scorer


def score(run: Path, config: WeighConfig, tick: Callable[[], None] = lambda: None) -> int:
    """Fill `scores.jsonl`, skipping what is there; returns how many clips could not be read (set aside by name).

    A clip that an earlier call set aside lacks its scores, so it is tried again.
    """
    triplets = read_records(run / "triplets.jsonl", Triplet, ("id",))
    clips = {clip.clip_id: clip for clip in read_records(run / "clips.jsonl", Clip, ("clip_id",))}
    path = run / "scores.jsonl"
    aside: dict[str, str] = {}
    known = {(s.clip_id, s.caption, s.scorer) for s in read_scores(path)} if path.exists() else set()
    todo = wanted(triplets, clip_links(run, clips))
    with Appender(path) as out, Decoder(config.decode_timeout) as decoder:
        for name in config.every:
            scorer: Any = None
            for clip_id, texts in todo.items():
                tick()
                missing = [text for text in texts if (clip_id, text, name) not in known]
                if not missing:
                    continue
                scorer = scorer or load_scorer(name, config.models)  # not where all scores are there
                try:
                    video, policy = run / clips[clip_id].file, getattr(scorer, "policy", None)
                    frames = decoder.video(video, policy) if policy else decoder.sample(video, config.frames)
                except VideoError as error:
                    aside[clip_id] = str(error)
                    continue
                # All texts together even if a kill left some: the last digit depends on what shares a batch.
                for text, value in zip(texts, checked(scorer.score(frames, texts), texts, name, clip_id), strict=True):
                    if text in missing:
                        out.append(ScoredClip(clip_id, text, name, config.frames, round(value, 7)))
        if config.oracle:
            from synvita.world.simulator import world_truth

            for clip_id, texts in todo.items():
                for text in texts:
                    if (clip_id, text, "world_truth") not in known:
                        out.append(ScoredClip(clip_id, text, "world_truth", 0, world_truth(clips[clip_id], text)))
    set_aside(run, "weigh", aside)
    return len(aside)


def weigh(run: Path, config: WeighConfig) -> dict[str, int]:
    """`scores.jsonl` -> `weights.jsonl`: a row per triplet, clip, criterion and scorer set (ensemble, and the oracle).

    Raises:
        ValueError: a clip that is not set aside lacks a score: named, with the command that makes it.
    """
    triplets = [t for t in read_records(run / "triplets.jsonl", Triplet, ("id",)) if t.split == "train"]
    links = clip_links(run)
    scores = {(s.clip_id, s.caption, s.scorer): s.score for s in read_scores(run / "scores.jsonl")}
    gone = {row["id"] for row in read_set_aside(run) if row["stage"] == "weigh"}
    ensembles = dict.fromkeys([config.scorers, *(tuple(name.split("+")) for name in config.also)])  # each once
    groups = [list(some) for some in ensembles] + ([["world_truth"]] if config.oracle else [])
    usable = [(t, clip) for t in triplets for clip in links.get(t.id, []) if clip not in gone]
    rows: list[ClipWeight] = []
    for scorers in groups:
        target: list[float] = []
        source: list[float] = []
        for triplet, clip in usable:
            for caption, into in ((triplet.negative_caption, target), (triplet.caption, source)):
                missing = [s for s in scorers if (clip, caption, s) not in scores]
                if missing:
                    raise ValueError(
                        f"{run / 'scores.jsonl'}: no score of {missing[0]!r} for clip {clip} with caption {caption!r}; "
                        f"once more: {again('weigh', run)}"
                    )
                into.append(float(np.mean([scores[clip, caption, s] for s in scorers])))
        for name in config.criteria:
            weights = criterion(name)(target, source)
            for (triplet, clip), weight in zip(usable, weights, strict=True):
                rows.append(ClipWeight(triplet.id, clip, name, scorers, round(float(weight), 7)))
    write_records(run / "weights.jsonl", rows)
    without = sum(t.id not in links for t in triplets)
    aside = sum(clip in gone for t in triplets for clip in links.get(t.id, []))
    return {"weights": len(rows), "without_clip": without, "set_aside": aside}
