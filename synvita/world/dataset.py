"""The miniature's triplets, test sets and benchmarks, with their video files, all from one seed.

Fine-tuning positives never hold a held-out concept. Test scenes are disjoint from training scenes, those of the clips
too: a scene belongs to one part by a hash of what it shows (scenes.part_of).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synvita.core.pool import in_processes
from synvita.core.provenance import seed_of
from synvita.core.records import Misalignment, Triplet
from synvita.core.store import write_records
from synvita.core.write_video import write_video
from synvita.world.captions import caption_of, leave_out
from synvita.world.negatives import KINDS_FOR, negative
from synvita.world.render import FPS, render
from synvita.world.scenes import ACTIONS, Content, Thing, can_be_trained_on, complete, describes, draw_scene, part_of

UPSCALE = 2  # 4:2:0 video keeps one colour sample per 2 x 2 pixels: so every pixel of ours keeps its own
EVENT_TEMPLATES = 20
CHUNK = 50  # videos that a process gets at a time


@dataclass(frozen=True)
class WorldConfig:
    """How large the miniature's world is.

    triplets: for fine-tuning.
    test: triplets of the in-distribution test.
    test_open: triplets of the open test.
    per_template: videos per retrieval template.
    questions: with five options each.
    tests: the part of the scenes that tests and benchmarks show: test, or validation for choices before any test.
    seed: of all scenes and captions.
    """

    triplets: int = 2000
    test: int = 700
    test_open: int = 1400
    per_template: int = 12
    questions: int = 300
    tests: str = "test"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("triplets", "test", "test_open", "per_template", "questions"):
            if getattr(self, name) < 1:
                raise ValueError(f"--world.{name}: {getattr(self, name)} is not a positive number")
        if self.tests not in ("test", "validation"):
            raise ValueError(f"--world.tests: {self.tests!r} is neither 'test' nor 'validation'")


@dataclass(frozen=True)
class Drawn:
    """One video of the world and what it shows."""

    video: str
    scene: Content


def draw_of(rng: np.random.Generator, kind: str, part: str, unseen: bool | None) -> Content:
    while True:
        scene = draw_scene(rng, kind, unseen)
        if part_of(scene) == part:
            return scene


def draw_triplet(split: str, index: int, seed: int, tests: str = "test") -> tuple[Triplet, Content]:
    """Triplet `index` of a split and the scene of its video; misalignment types take turns.

    What a training triplet's negative caption asks a generator for can be shown without a test's scene.
    """
    rng = np.random.default_rng([seed_of("triplet", split, index, seed)])
    misalignment = list(Misalignment)[index % len(Misalignment)]
    unseen = None if split == "test_open" else False
    while True:
        kinds = KINDS_FOR[misalignment]
        scene = draw_of(rng, kinds[int(rng.integers(len(kinds)))], "train" if split == "train" else tests, unseen)
        said = leave_out(scene, rng)
        changed = negative(said, misalignment, rng, towards_unseen=split != "test_open")
        if changed is None or describes(changed, scene):
            continue
        if split != "train" or can_be_trained_on(changed):
            break
    name = f"{split}-{index:05d}"
    video = f"videos/{split}/{name}.mp4"
    return Triplet(name, video, caption_of(said), caption_of(changed), misalignment, split), scene


def retrieval(kind: str, config: WorldConfig) -> tuple[list[dict], list[Drawn]]:
    """Rows {query, caption, video, label} of all templates x all videos, and the videos.

    `temporal`: the seven actions; `events`: twenty ordered pairs of actions in which every pair's swap is in, too.
    """
    rng = np.random.default_rng([seed_of("retrieval", kind, config.seed)])
    if kind == "temporal":
        templates: list[tuple[str, ...]] = [(action,) for action in ACTIONS]
    else:
        pairs = [(a, b) for i, a in enumerate(ACTIONS) for b in ACTIONS[:i]]
        chosen = [pairs[i] for i in rng.permutation(len(pairs))[: EVENT_TEMPLATES // 2]]
        templates = [pair for a, b in chosen for pair in ((a, b), (b, a))]
    anything = Thing(None, None, None)
    captions = [caption_of(Content(anything, 1, events)) for events in templates]
    drawn = []
    for t, events in enumerate(templates):
        found = 0
        while found < config.per_template:
            scene = complete(Content(anything, 1, events), rng)
            if part_of(scene) == config.tests:
                drawn.append((t, Drawn(f"videos/retrieval_{kind}/{t:02d}-{found:02d}.mp4", scene)))
                found += 1
    rows = [
        {"query": str(q), "caption": caption, "video": video.video, "label": int(q == t)}
        for q, caption in enumerate(captions)
        for t, video in drawn
    ]
    return rows, [video for _, video in drawn]


def question_answering(config: WorldConfig) -> tuple[list[dict], list[Drawn]]:
    """Rows {query, caption, video, label}: five statements per video, one true, the others hard negatives of it."""
    rows, drawn = [], []
    kinds = ("single", "events", "count", "near", "relation")
    for index in range(config.questions):
        rng = np.random.default_rng([seed_of("question", index, config.seed)])
        kind = kinds[index % len(kinds)]
        scene = draw_of(rng, kind, config.tests, None)
        said = leave_out(scene, rng)
        types = [m for m in Misalignment if kind in KINDS_FOR[m]]
        wrong: dict[str, None] = {}
        while len(wrong) < 4:
            changed = negative(said, types[int(rng.integers(len(types)))], rng, towards_unseen=False)
            if changed is not None and not describes(changed, scene):
                wrong[caption_of(changed)] = None
        options = [(caption_of(said), 1), *((caption, 0) for caption in wrong)]
        video = f"videos/qa/{index:04d}.mp4"
        drawn.append(Drawn(video, scene))
        rows += [
            {"query": str(index), "caption": options[i][0], "video": video, "label": options[i][1]}
            for i in rng.permutation(len(options))
        ]
    return rows, drawn


def video_count(config: WorldConfig) -> int:
    """How many videos `build` writes."""
    templates = len(ACTIONS) + EVENT_TEMPLATES
    return config.triplets + config.test + config.test_open + templates * config.per_template + config.questions


def write_videos(run: Path, seed: int, videos: list[Drawn]) -> int:
    """Those that are not there yet. Returns how many there were to write."""
    for drawn in videos:
        if not (run / drawn.video).exists():
            rng = np.random.default_rng([seed_of("video", drawn.video, seed)])
            write_video(run / drawn.video, render(drawn.scene, "real", rng), FPS, UPSCALE)
    return len(videos)


def build(run: Path, config: WorldConfig, tick: Callable[[], None] = lambda: None, workers: int = 1) -> None:
    """Write `triplets.jsonl`, `benchmarks/<task>.jsonl` and every video file that is not there yet.

    The records come last, so a run folder with `triplets.jsonl` has all its videos.
    """
    sizes = {"train": config.triplets, "test": config.test, "test_open": config.test_open}
    pairs = [draw_triplet(split, i, config.seed, config.tests) for split, size in sizes.items() for i in range(size)]
    videos = [Drawn(triplet.video, scene) for triplet, scene in pairs]
    benchmarks = {}
    for name, (rows, drawn) in {
        "retrieval_temporal": retrieval("temporal", config),
        "retrieval_events": retrieval("events", config),
        "qa": question_answering(config),
    }.items():
        benchmarks[name] = rows
        videos += drawn
    parts = [(run, config.seed, videos[at : at + CHUNK]) for at in range(0, len(videos), CHUNK)]
    work = [(len(part[-1]), part) for part in parts]
    here: Iterator[tuple[int, Any]] = ((number, write_videos(*part)) for number, part in work)
    for number, _ in in_processes(write_videos, work, workers) if workers > 1 and len(work) > workers else here:
        for _ in range(number):
            tick()
    for name, rows in benchmarks.items():
        write_records(run / "benchmarks" / f"{name}.jsonl", rows)
    write_records(run / "triplets.jsonl", [triplet for triplet, _ in pairs])
