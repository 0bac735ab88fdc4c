"""Stage 3: score every clip with its own and the real caption, then turn the two scores into a weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from synvita.core.backends import load_backend
from synvita.core.decoder import Decoder
from synvita.core.records import Clip, ClipWeight, ScoredClip, Triplet
from synvita.core.set_aside import read_set_aside, set_aside
from synvita.core.store import Appender, parse_lines, read_records, write_records
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
        if not self.criteria:
            raise ValueError("--weigh.criteria: none given; give at least one of Table 4, e.g. difference")
        for name in self.criteria:
            criterion(name)
        for name in self.every:
            if name not in SCORERS and ":" not in name:
                raise ValueError(f"--weigh.scorers: unknown scorer {name!r}; known: {', '.join(SCORERS)}")
            if name in SCORERS and name not in self.models:
                raise ValueError(f"--weigh.models: no checkpoint for scorer {name!r}")
        if self.frames < 1:
            raise ValueError(f"--weigh.frames: {self.frames} is not a positive number")


def clip_links(run: Path) -> dict[str, list[str]]:
    """Triplet id -> its clips, one per generator."""
    links: dict[str, list[str]] = {}
    for _, fields in parse_lines(run / "clip_of_triplet.jsonl"):
        links.setdefault(str(fields["triplet_id"]), []).append(str(fields["clip_id"]))
    return links


def wanted(triplets: list[Triplet], links: dict[str, list[str]]) -> dict[str, list[str]]:
    """Clip id -> the captions it must be scored with: its own and those of the real videos it stands against."""
    captions: dict[str, dict[str, None]] = {}
    for triplet in triplets:
        for clip in links.get(triplet.id, []):
            captions.setdefault(clip, {}).update({triplet.negative_caption: None, triplet.caption: None})
    return {clip: list(texts) for clip, texts in captions.items()}


def score(run: Path, config: WeighConfig, tick: Callable[[], None] = lambda: None) -> int:
    """Fill `scores.jsonl`, skipping what is there; returns how many clips could not be read (set aside by name)."""
    triplets = read_records(run / "triplets.jsonl", Triplet)
    clips = {clip.clip_id: clip for clip in read_records(run / "clips.jsonl", Clip)}
    path = run / "scores.jsonl"
    aside: dict[str, str] = {}
    known = {(s.clip_id, s.caption, s.scorer) for s in read_records(path, ScoredClip)} if path.exists() else set()
    todo = wanted(triplets, clip_links(run))
    with Appender(path) as out, Decoder(config.decode_timeout) as decoder:
        for name in config.every:
            made = load_backend(SCORERS, name, "--weigh.scorers")
            scorer = made(config.models[name]) if name in config.models else made()  # one's own may need no checkpoint
            for clip_id, texts in todo.items():
                tick()
                missing = [text for text in texts if (clip_id, text, name) not in known]
                if not missing:
                    continue
                try:
                    path, policy = run / clips[clip_id].file, getattr(scorer, "policy", None)
                    frames = decoder.video(path, policy) if policy else decoder.sample(path, config.frames)
                except VideoError as error:
                    aside[clip_id] = str(error)
                    continue
                # All texts together even if a kill left some: the last digit depends on what shares a batch.
                for text, value in zip(texts, scorer.score(frames, texts), strict=True):
                    if text in missing:
                        out.append(ScoredClip(clip_id, text, name, config.frames, round(float(value), 7)))
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
    triplets = [t for t in read_records(run / "triplets.jsonl", Triplet) if t.split == "train"]
    links = clip_links(run)
    scores = {(s.clip_id, s.caption, s.scorer): s.score for s in read_records(run / "scores.jsonl", ScoredClip)}
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
                        f"run synvita weigh --run {run} again"
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
