"""Stage 3: score every clip with its own and the real caption, then turn the two scores into a weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synvita.core.artefacts import read_clips, read_scores, scores_file
from synvita.core.backends import load_backend
from synvita.core.decoder import Decoder, check_timeout
from synvita.core.links import clip_links
from synvita.core.names import folder_name
from synvita.core.records import Clip, ClipWeight, ScoredClip, Triplet, require_whole
from synvita.core.run_folder import again
from synvita.core.set_aside import read_set_aside
from synvita.core.stage import Resources, SetAside
from synvita.core.store import read_records, write_records
from synvita.core.video_file import VideoError
from synvita.weigh.weights import criterion

SCORERS = {
    "llava": "synvita.weigh.llava:Llava",
    "video_llm": "synvita.weigh.video_llm:VideoLLMScorer",
    "world_truth": "synvita.weigh.world_truth:WorldTruth",
}
ORACLES = ("world_truth",)  # they need no checkpoint


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
        oracles = ORACLES if self.oracle else ()
        return list(dict.fromkeys((*self.scorers, *(n for some in self.also for n in some.split("+")), *oracles)))

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
            if name in SCORERS and name not in self.models and name not in ORACLES:
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
    if not callable(getattr(scorer, "score", None)) and not callable(getattr(scorer, "score_clip", None)):
        raise ValueError(f"--weigh.scorers: {name} has no score(frames, captions); see the README")
    return scorer


@dataclass(frozen=True)
class Asked:
    """An item of scoring: a clip with all the captions it must be scored with. They stay together, because the last
    digit of a score may depend on what shares a batch."""

    clip: Clip
    captions: list[str]


class ScoreClips:
    """The stage (`core.stage.Stage`) of one scorer: every clip with its own caption and those it stands against."""

    command, file, key_field = "weigh", "scores.jsonl", "clip_id"
    unique: tuple[str, ...] = ("clip_id", "caption")

    def __init__(self, config: WeighConfig, scorer: str):
        self.config, self.scorer = config, scorer
        self.what = f"weigh: scores of {folder_name(scorer, '--weigh.scorers')}"
        self.folder = f"scores/{folder_name(scorer, '--weigh.scorers')}"
        self.stamp: dict[str, Any] = {"scorer": scorer}
        if scorer not in ORACLES:
            self.stamp |= {"checkpoint": config.models.get(scorer), "frames": config.frames}
        self.batch = 8
        self.resources = Resources()
        self.loaded: Any = None
        self.decoder: Decoder | None = None

    def items(self, run: Path) -> list[Asked]:
        triplets = read_records(run / "triplets.jsonl", Triplet, ("id",))
        clips = read_clips(run)
        return [Asked(clips[name], texts) for name, texts in wanted(triplets, clip_links(run, clips)).items()]

    def key(self, item: Asked) -> str:
        return item.clip.clip_id

    def is_done(self, run: Path, item: Asked, records: Sequence[dict[str, Any]]) -> bool:
        return {fields.get("caption") for fields in records}.issuperset(item.captions)

    def setup(self) -> None:
        self.loaded = load_scorer(self.scorer, self.config.models)
        self.decoder = Decoder(self.config.decode_timeout)

    def work(self, run: Path, batch: Sequence[Asked]) -> list[list[ScoredClip] | SetAside]:
        return [self.scored(run, item) for item in batch]

    def scored(self, run: Path, item: Asked) -> list[ScoredClip] | SetAside:
        """A clip that cannot be read is set aside with its reason."""
        assert self.decoder is not None
        clip, texts = item.clip, item.captions
        if callable(getattr(self.loaded, "score_clip", None)):  # judges by what the clip was made from
            seen, values = 0, self.loaded.score_clip(clip, texts)
        else:
            policy = getattr(self.loaded, "policy", None)
            try:
                video = run / clip.file
                frames: Any = (
                    self.decoder.video(video, policy) if policy else self.decoder.sample(video, self.config.frames)
                )
            except VideoError as error:
                return SetAside(str(error))
            seen, values = len(getattr(frames, "frames", frames)), self.loaded.score(frames, texts)
        scores = checked(values, texts, self.scorer, clip.clip_id)
        found = zip(texts, scores, strict=True)
        return [ScoredClip(clip.clip_id, text, self.scorer, seen, round(value, 7)) for text, value in found]

    def close(self) -> None:
        if self.decoder is not None:
            self.decoder.close()
        self.loaded = self.decoder = None


def weigh(run: Path, config: WeighConfig) -> dict[str, int]:
    """The scorers' scores -> `weights.jsonl`: a row per triplet, clip, criterion and set of scorers (oracle too).

    Raises:
        ValueError: a clip that is not set aside lacks a score: named, with the command that makes it.
    """
    triplets = [t for t in read_records(run / "triplets.jsonl", Triplet, ("id",)) if t.split == "train"]
    links = clip_links(run)
    scores = {(s.clip_id, s.caption, s.scorer): s.score for s in read_scores(run)}
    gone = {row["id"] for row in read_set_aside(run) if row["stage"].split()[0] == "weigh"}
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
                        f"{scores_file(run, folder_name(missing[0], '--weigh.scorers'))}: no score for clip {clip} "
                        f"with caption {caption!r}; "
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
