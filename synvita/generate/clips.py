"""Stage 2: a synthetic video for each negative caption. Nothing is made twice, nothing half-made is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.backends import load_backend
from synvita.core.names import check_name
from synvita.core.provenance import seed_of
from synvita.core.records import Clip, Triplet, clip_id, require_whole
from synvita.core.set_aside import set_aside
from synvita.core.store import Appender, read_records, write_records
from synvita.core.video import write_video

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


def generate(run: Path, config: GenerateConfig, tick: Callable[[], None] = lambda: None) -> dict[str, int]:
    """Make the clips of all training triplets; `clips.jsonl` gets a clip's record after its file is complete.

    Also writes `clip_of_triplet.jsonl` {triplet_id, clip_id}: which clip belongs to which triplet.
    Returns counts {"clips", "made", "kept", "set_aside"}; captions the generator refuses are set aside by name, and
    tried again by the next call.
    """
    triplets = [t for t in read_records(run / "triplets.jsonl", Triplet, ("id",)) if t.split == "train"]
    generator = load_generator(config.generator)
    needed = plan(triplets, generator, config.seed)
    path = run / "clips.jsonl"
    done = {clip.clip_id for clip in read_records(path, Clip, ("clip_id",))} if path.exists() else set()
    counts = {"clips": len({c.clip_id for c in needed.values()}), "made": 0, "kept": 0}
    aside: dict[str, str] = {}
    with Appender(path) as records:
        for clip in needed.values():
            tick()
            if clip.clip_id in done and (run / clip.file).exists():
                counts["kept"] += 1
                continue
            try:
                frames = generator.generate(clip.caption, clip.settings, clip.seed)
            except ValueError as error:
                aside[clip.clip_id] = str(error)
                continue
            write_video(run / clip.file, frames, generator.fps, generator.upscale)
            if clip.clip_id not in done:
                records.append(clip)
            done.add(clip.clip_id)
            counts["made"] += 1
    set_aside(run, "generate", aside)
    made = {c.clip_id for c in read_records(path, Clip)}
    links = [{"triplet_id": t, "clip_id": c.clip_id} for t, c in needed.items() if c.clip_id in made]
    write_records(run / "clip_of_triplet.jsonl", links)
    return counts | {"set_aside": len(aside)}
