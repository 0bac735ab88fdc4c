"""Stage 2: a synthetic video for each negative caption. Nothing is made twice, nothing half-made is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.backends import load_backend
from synvita.core.links import write_links
from synvita.core.names import check_name
from synvita.core.provenance import seed_of
from synvita.core.records import Clip, Triplet, clip_id, require_whole
from synvita.core.stage import Resources, SetAside
from synvita.core.store import read_records
from synvita.core.write_video import write_video

GENERATORS = {"world_simulator": "synvita.generate.world_simulator:WorldSimulator"}


MEMBERS = ("name", "revision", "fps", "upscale", "settings", "generate")


@dataclass(frozen=True)
class GenerateConfig:
    """`generator`: a name of the table or 'module:Class'. `seed`: every clip's own seed is derived from it."""

    generator: str = "world_simulator"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.generator not in GENERATORS and ":" not in self.generator:
            known = ", ".join(GENERATORS)
            raise ValueError(
                f"--generate.generator: unknown {self.generator!r}; known: {known}; or your own as 'module:Class'"
            )
        require_whole("--generate.seed", self.seed)


def load_generator(name: str) -> Any:
    """A generator by name, with all that this stage needs of it.

    Raises:
        ValueError: it cannot be loaded; a member that is missing; a `name` that cannot be a folder's.
    """
    made = load_backend(GENERATORS, name, "--generate.generator")
    try:
        generator = made()
    except TypeError as error:
        raise ValueError(f"--generate.generator: {name} cannot be made: {error}") from error
    missing = next((member for member in MEMBERS if not hasattr(generator, member)), None)
    if missing is not None:
        raise ValueError(f"--generate.generator: {name} has no {missing!r}; it needs {', '.join(MEMBERS)}")
    check_name(f"--generate.generator: name of {name}", generator.name)
    return generator


def plan(triplets: list[Triplet], generator: Any, seed: int) -> dict[str, Clip]:
    """Triplet id -> the clip it needs. Equal requests of several triplets are one clip."""
    needed = {}
    for triplet in triplets:
        settings = generator.settings(triplet)
        caption = triplet.negative_caption
        own_seed = seed_of("clip", caption, generator.name, settings, seed)
        name = clip_id(caption, generator.name, generator.revision, settings, own_seed)
        file = f"clips/{generator.name}/{name}.mp4"
        needed[triplet.id] = Clip(name, caption, generator.name, generator.revision, settings, own_seed, file)
    return needed


class MakeClips:
    """The stage (`core.stage.Stage`) of one generator: a clip for each training triplet's negative caption."""

    command, what, file = "generate", "generate: synthetic clips", "clips.jsonl"
    key_field = "clip_id"
    unique: tuple[str, ...] = ("clip_id",)

    def __init__(self, config: GenerateConfig):
        self.config = config
        self.generator = load_generator(config.generator)
        name, revision = self.generator.name, self.generator.revision
        self.folder = f"clips/{name}"
        self.stamp = {"generator": name, "revision": revision, "seed": config.seed, "fps": self.generator.fps}
        self.stamp["upscale"] = self.generator.upscale
        self.batch = getattr(self.generator, "batch", 1)
        self.resources = Resources()

    def __getstate__(self) -> dict[str, Any]:
        """What travels to a worker: the settings."""
        return vars(self) | {"generator": None}

    def needed(self, run: Path) -> dict[str, Clip]:
        """Training triplet -> its clip."""
        triplets = [t for t in read_records(run / "triplets.jsonl", Triplet, ("id",)) if t.split == "train"]
        return plan(triplets, self.generator, self.config.seed)

    def items(self, run: Path) -> list[Clip]:
        return list({clip.clip_id: clip for clip in self.needed(run).values()}.values())

    def key(self, item: Clip) -> str:
        return item.clip_id

    def is_done(self, run: Path, item: Clip, records: Sequence[dict[str, Any]]) -> bool:
        """A clip whose file is gone or empty is made again."""
        path = run / item.file
        return bool(records) and path.is_file() and path.stat().st_size > 0

    def setup(self) -> None:
        self.generator = self.generator or load_generator(self.config.generator)

    def work(self, run: Path, batch: Sequence[Clip]) -> list[list[Clip] | SetAside]:
        return [self.made(run, clip) for clip in batch]

    def made(self, run: Path, clip: Clip) -> list[Clip] | SetAside:
        """A caption that the generator refuses is set aside with its reason."""
        try:
            frames = self.generator.generate(clip.caption, clip.settings, clip.seed)
        except ValueError as error:
            return SetAside(str(error))
        write_video(run / clip.file, frames, self.generator.fps, self.generator.upscale)
        return [clip]

    def close(self) -> None: ...


def link(run: Path, stage: MakeClips) -> int:
    """Write which clips of this generator belong to which triplets, beside those of the others; how many clips."""
    there = {c.clip_id for c in read_records(run / stage.folder / stage.file, Clip, ("clip_id",))}
    links = {triplet: [c.clip_id] for triplet, c in stage.needed(run).items() if c.clip_id in there}
    write_links(run, {stage.generator.name: links})
    return len(there)
