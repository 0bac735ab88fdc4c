"""Stage 2: a synthetic video for each negative caption. Nothing is made twice, nothing half-made is kept."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from synvita.core.backends import Part, check_known
from synvita.core.identity import Digests
from synvita.core.links import write_links
from synvita.core.provenance import file_digest, seed_of
from synvita.core.records import Clip, Triplet, clip_id, require_whole
from synvita.core.stage import Resources, SetAside, resources_of
from synvita.core.store import read_records
from synvita.core.timings import note_seconds
from synvita.core.video import decode_in_order
from synvita.core.write_video import write_video
from synvita.generate.generator import GENERATORS, ask, load_generator, named
from synvita.generate.look import is_black, is_static

STALE_SECONDS = 600  # writing one clip takes less
MOST = 1000  # clips of one caption

Entries = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class GenerateConfig:
    """How clips are made.

    generator: a name of the section generators, a known one, or module:Class.
    seed: every clip's own seed is derived from it.
    best_of: clips of each caption, each with a seed of its own; synvita weigh --select best chooses one.
    """

    generator: str = "world_simulator"
    seed: int = 0
    best_of: int = 1

    def __post_init__(self) -> None:
        require_whole("--generate.seed", self.seed)
        check_best_of("--generate.best-of", self.best_of)


def check_best_of(knob: str, value: Any) -> int:
    """ValueError: no number of clips."""
    require_whole(knob, value)
    if not 1 <= value <= MOST:
        raise ValueError(f"{knob}: {value} clips of each caption; give 1 to {MOST}")
    return int(value)


def generator_part(name: str, entries: Entries, knob: str = "--generate.generator") -> Part:
    """A name that is known or configured, module:Class, or diffusers:REPO_OR_FOLDER. ValueError: nobody knows it."""
    kind, _, checkpoint = name.partition(":")
    if kind == "diffusers" and checkpoint:
        part = Part.of("generators", name, entries, knob)
        return replace(part, use=kind, options={"checkpoint": checkpoint} | part.options)
    if name not in entries:
        check_known({**GENERATORS, **dict.fromkeys(entries, "")}, name, knob)
    return Part.of("generators", name, entries, knob)


class MakeClips:
    """The stage (`core.stage.Stage`) of one generator: `best_of` clips for each training triplet's negative caption.

    How many is no part of its stamp: more may be made later beside those that are there, which stay what they are.
    """

    command, what, file = "generate", "generate: synthetic clips", "clips.jsonl"
    whole = False
    key_field = "clip_id"
    unique: tuple[str, ...] = ("clip_id",)

    def __init__(self, part: Part, seed: int, best_of: int = 1):
        self.part, self.seed, self.best_of = part, seed, best_of
        self.generator = load_generator(part)
        self.told: dict[str, Any] = self.generator.describe()
        self.folder = f"clips/{part.folder}"
        self.stamp = {"generator": part.stamp, "describe": self.told, "seed": seed}
        self.batch = part.batch if part.batch > 1 else getattr(self.generator, "usual_batch", 1)
        self.digests: Digests | None = None
        self.tidied = False
        self.index: dict[str, int] = {}  # clip id -> which of its caption's clips it is, from 0
        self.resources: Resources = resources_of(part.options)

    @classmethod
    def of_stamp(cls, stamp: dict[str, Any], entries: Entries, best_of: int = 1) -> MakeClips:
        """The stage that made a folder. ValueError: its generator cannot be loaded."""
        return cls(Part.of_stamp("generators", stamp["generator"], entries), stamp["seed"], best_of)

    def __getstate__(self) -> dict[str, Any]:
        """What travels to a worker: the settings."""
        return vars(self) | {"generator": None, "digests": None, "index": {}}

    def needed(self, run: Path) -> dict[str, list[Clip]]:
        """Training triplet -> the clips it needs, by their index. Equal requests of several triplets are one clip."""
        self.see(run)
        triplets = [t for t in read_records(run / "triplets.jsonl", Triplet, ("id",)) if t.split == "train"]
        return {triplet.id: [self.request(triplet, i) for i in range(self.best_of)] for triplet in triplets}

    def see(self, run: Path) -> None:
        """Tell a generator that looks at real videos where they are."""
        if hasattr(self.generator, "run"):
            self.generator.run = run

    def request(self, triplet: Triplet, index: int = 0) -> Clip:
        """A clip as it will be recorded. ValueError: the generator needs what the triplet does not say."""
        more = self.generator.settings(triplet) if hasattr(self.generator, "settings") else {}
        settings = self.told.get("settings", {}) | more
        name, caption, revision = self.part.folder, triplet.negative_caption, self.told["revision"]
        seed = seed_of("clip", caption, name, settings, self.seed, *([index] if index else []))
        key = clip_id(caption, name, revision, settings, seed)
        return Clip(key, caption, name, revision, settings, seed, f"{self.folder}/{key}.mp4")

    def items(self, run: Path) -> list[Clip]:
        self.digests = Digests(run)
        every = [(index, clip) for clips in self.needed(run).values() for index, clip in enumerate(clips)]
        self.index = {clip.clip_id: index for index, clip in every}
        return list({clip.clip_id: clip for _, clip in every}.values())

    def key(self, item: Clip) -> str:
        return item.clip_id

    def part_of(self, item: Clip) -> int:
        """Clips share a batch with those of their own index, so that a later call for more of them changes no batch."""
        return self.index.get(item.clip_id, 0)

    def is_done(self, run: Path, item: Clip, records: Sequence[dict[str, Any]]) -> bool:
        """A clip whose file is gone, empty or another one than was recorded is made again."""
        path = run / item.file
        if not records or not path.is_file() or not path.stat().st_size:
            return False
        digest = records[0].get("digest")
        return not digest or self.digests is None or self.digests.of(item.file) == digest

    def setup(self) -> None:
        self.generator = self.generator or load_generator(self.part)
        if callable(getattr(self.generator, "load", None)):
            with named(self.part):
                self.generator.load()

    def work(self, run: Path, batch: Sequence[Clip]) -> list[list[Clip] | SetAside]:
        """A caption that the generator refuses, or that gives a black clip twice, is set aside with its reason."""
        if not self.tidied:
            remove_half_written(run / self.folder)
            self.tidied = True
            self.see(run)
        start = time.monotonic()
        videos = self.videos(batch)
        steps, seconds = self.told.get("settings", {}).get("steps"), (time.monotonic() - start) / len(batch)
        found: list[list[Clip] | SetAside] = []
        for clip, video in zip(batch, videos, strict=True):
            note_seconds(run / self.folder, clip.clip_id, seconds, steps=steps, batch=len(batch))
            if not isinstance(video, SetAside) and is_black(video):
                other = seed_of(clip.clip_id, 1)
                clip, (video,) = replace(clip, retry_seed=other), self.videos([replace(clip, seed=other)])
                if not isinstance(video, SetAside) and is_black(video):
                    video = SetAside(f"black or no numbers (NaN), with seed {clip.seed} and with {other}")
            found.append(video if isinstance(video, SetAside) else [self.kept(run, clip, video)])
        return found

    def kept(self, run: Path, clip: Clip, video: np.ndarray) -> Clip:
        """The record of a clip, whose file is there and has been decoded once.

        Raises:
            ValueError: the file does not give its frames back: the disk, or the encoder.
        """
        path = run / clip.file
        if is_static(video):
            warnings.warn(f"{clip.file}: nothing moves in it ({clip.caption!r})", stacklevel=2)
        write_video(path, video, self.told["fps"], self.told.get("upscale", 1))
        number = decode_in_order(path, [], to_end=True)[1]
        if number != len(video):
            path.unlink()
            raise ValueError(
                f"{path}: {len(video)} frames were written, {number} decode; check the disk, then run again"
            )
        return replace(clip, digest=file_digest(path))

    def videos(self, batch: Sequence[Clip]) -> list[np.ndarray | SetAside]:
        try:
            captions, seeds, settings = zip(*((c.caption, c.seed, c.settings) for c in batch), strict=True)
            return list(ask(self.generator, captions, seeds, settings))
        except ValueError as error:
            if len(batch) == 1:
                return [SetAside(str(error))]
            return [video for clip in batch for video in self.videos([clip])]
        except TypeError as error:
            raise ValueError(f"{self.part.knob}: {error}") from error

    def close(self) -> None: ...


def remove_half_written(folder: Path) -> None:
    """What killed runs have left; a file that was written to a moment ago may be another shard's."""
    for part in folder.glob(".*.mp4.*.part"):
        with contextlib.suppress(FileNotFoundError):  # another worker was faster
            if time.time() - part.stat().st_mtime > STALE_SECONDS:
                part.unlink()


def link(run: Path, stage: MakeClips) -> int:
    """Write which clips of this generator belong to which triplets, beside those of the others; how many clips."""
    clips = read_records(run / stage.folder / stage.file, Clip, ("clip_id",))
    there, digests = {clip.clip_id for clip in clips}, Digests(run)
    for clip in clips:
        if clip.digest and (run / clip.file).is_file():
            digests.note(clip.file, clip.digest)
    digests.save()
    links = {t: [c.clip_id for c in clips if c.clip_id in there] for t, clips in stage.needed(run).items()}
    write_links(run, {stage.part.folder: {triplet: clips for triplet, clips in links.items() if clips}})
    return len(there)
