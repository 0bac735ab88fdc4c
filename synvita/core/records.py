"""The records that stages hand to each other, checked where they are born.

A record raises ValueError naming the field, the value and the way out; `core.store` adds file:line.
"""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Misalignment(StrEnum):
    """The seven ways in which VideoCon's negative captions differ from the true ones."""

    OBJECT = "object"
    ACTION = "action"
    ATTRIBUTE = "attribute"
    COUNT = "count"
    RELATION = "relation"
    HALLUCINATION = "hallucination"
    FLIP = "flip"


class Domain(StrEnum):
    """z of Eq. 6: where a video comes from."""

    REAL = "real"
    SYNTHETIC = "synthetic"

    @property
    def other_domain(self) -> Domain:
        return Domain.SYNTHETIC if self is Domain.REAL else Domain.REAL


HALF_A_PAIR = re.compile("[\ud800-\udfff]")
SPLITS = ("train", "val", "test", "test_open")  # test: like the training set; test_open: all concepts


def require_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name}: empty or not text ({reprlib.repr(value)})")
    if not value.isascii() and HALF_A_PAIR.search(value):
        raise ValueError(f"{name}: holds half a surrogate pair ({value[:60]!r}); remove it")


def require_whole(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name}: {reprlib.repr(value)} is not a whole number from 0 on")


def require_share(name: str, value: Any) -> None:
    """A number in [0, 1]; refuses NaN, None and booleans."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{name}: {reprlib.repr(value)} is not a number in [0, 1]")


def as_list(value: Any) -> list[Any]:
    """A list or tuple as a list; anything else as an empty one."""
    return list(value) if isinstance(value, (list, tuple)) else []


@dataclass(frozen=True)
class Triplet:
    """(V, t, t-): a video, a caption that is true of it and one that is not.

    `video` is a path, relative to the run folder or absolute. `misalignment`: None if nobody knows. `explanation`:
    what is wrong with the negative caption, in words (VideoCon's NLE), if somebody wrote it.
    """

    id: str
    video: str
    caption: str
    negative_caption: str
    misalignment: Misalignment | None = None
    split: str = "train"
    explanation: str = ""

    def __post_init__(self) -> None:
        for name in ("id", "video", "caption", "negative_caption"):
            require_text(name, getattr(self, name))
        if not isinstance(self.explanation, str):
            raise ValueError(f"explanation: not text ({reprlib.repr(self.explanation)})")
        if self.caption.strip() == self.negative_caption.strip():
            raise ValueError(f"negative_caption: the same as caption ({self.caption!r}); nothing to tell apart")
        if self.misalignment is not None and self.misalignment not in [str(kind) for kind in Misalignment]:
            known = ", ".join(Misalignment)
            raise ValueError(f"misalignment: unknown type {str(self.misalignment)!r}; known: {known}")
        if self.misalignment is not None:
            object.__setattr__(self, "misalignment", Misalignment(self.misalignment))
        if self.split not in SPLITS:
            raise ValueError(f"split: unknown split {self.split!r}; known: {', '.join(SPLITS)}")


@dataclass(frozen=True)
class Item:
    """One question about a real video with its answer, and the clips that show the opposite (the authors' tables).

    `triplet`: items with the same name share their videos. `answer`: "Yes", "No", or an explanation. `other`: the
    caption that this one is told apart from; "" where there is none. `clips`: (file, w) of each synthetic video.
    """

    id: str
    triplet: str
    video: str
    caption: str
    answer: str
    other: str = ""
    clips: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("id", "triplet", "video", "caption", "answer"):
            require_text(name, getattr(self, name))
        if not isinstance(self.other, str):
            raise ValueError(f"other: not text ({reprlib.repr(self.other)})")
        if not isinstance(self.clips, list) or any(len(pair) != 2 for pair in map(as_list, self.clips)):
            raise ValueError(f"clips: expected a list of [file, weight], got {reprlib.repr(self.clips)}")
        object.__setattr__(self, "clips", [(video, weight) for video, weight in self.clips])
        for video, weight in self.clips:
            require_text("clips", video)
            require_share("clips: weight", weight)
        if self.clips and (self.answer not in ("Yes", "No") or not self.other):
            raise ValueError(f"clips: an item with clips needs the answer Yes or No and another caption, got {self}")


@dataclass(frozen=True)
class Clip:
    """A synthetic video: what it was asked to show, by which generator, and its file (relative to the run folder).

    `digest`: of the file's bytes; empty = nobody has looked. `retry_seed`: what it was made with instead of `seed`,
    which gave a black clip.
    """

    clip_id: str
    caption: str
    generator: str
    revision: str
    settings: dict[str, Any]
    seed: int
    file: str
    digest: str = ""
    retry_seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("clip_id", "caption", "generator", "revision", "file"):
            require_text(name, getattr(self, name))
        if not isinstance(self.settings, dict):
            raise ValueError(f"settings: expected an object like {{...}}, got {reprlib.repr(self.settings)}")
        require_whole("seed", self.seed)
        if self.retry_seed is not None:
            require_whole("retry_seed", self.retry_seed)


def clip_id(caption: str, generator: str, revision: str, settings: dict[str, Any], seed: int) -> str:
    """The id of a clip is what it is made from, so equal requests share one clip and nothing is made twice."""
    content = json.dumps([caption, generator, revision, settings, seed], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ScoredClip:
    """One VQA score (f-bar of one scorer): how well a caption fits a clip.

    What the scorer saw: `frames` frames, chosen by `rule` (of `core.video`; "record": the clip's record alone), of
    `size` (height, width) before the scorer's own preprocessing; `clip_digest`: of the clip's file.
    `quantity`: what the number is (`core.vocabulary.QUANTITIES`). `made_with`: digest of the `stamp.json` beside it,
    which holds the checkpoint's digest, dtype, prompt, frame rule and preprocessing.
    """

    clip_id: str
    caption: str
    scorer: str
    frames: int
    rule: str
    size: list[int]
    score: float
    clip_digest: str = ""
    quantity: str = "score"
    made_with: str = ""

    def __post_init__(self) -> None:
        for name in ("clip_id", "caption", "scorer", "rule", "quantity"):
            require_text(name, getattr(self, name))
        require_whole("frames", self.frames)
        require_share("score", self.score)


@dataclass(frozen=True)
class ClipWeight:
    """w of Eq. 4 for one triplet's clip: how much the synthetic video is trusted."""

    triplet_id: str
    clip_id: str
    criterion: str
    scorers: list[str] = field(default_factory=list)
    weight: float = 0.0

    def __post_init__(self) -> None:
        for name in ("triplet_id", "clip_id", "criterion"):
            require_text(name, getattr(self, name))
        if not isinstance(self.scorers, list):
            raise ValueError(f"scorers: expected a list of names, got {reprlib.repr(self.scorers)}")
        for scorer in self.scorers:
            require_text("scorers", scorer)
        require_share("weight", self.weight)
