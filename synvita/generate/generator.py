"""What the generate stage needs of a text-to-video model, and the ones that are known by name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from synvita.core.backends import Part

GENERATORS = {
    "world_simulator": "synvita.generate.world_simulator:WorldSimulator",
    "cogvideox": "synvita.generate.diffusers_generator:CogVideoX",
    "cogvideox15": "synvita.generate.diffusers_generator:CogVideoX15",
    "wan": "synvita.generate.diffusers_generator:Wan",
    "ltx": "synvita.generate.diffusers_generator:LTX",
    "diffusers": "synvita.generate.diffusers_generator:DiffusersGenerator",
    "lavie": "synvita.generate.lavie_generator:Lavie",
    "videocrafter2": "synvita.generate.videocrafter2_generator:VideoCrafter2",
    "mini-videocrafter2": "synvita.generate.videocrafter2_generator:MiniVideoCrafter2",
}
NEEDS = ("describe", "generate")


class Generator(Protocol):
    """A text-to-video model. Its arguments are what the configuration says under `generators`; weights are loaded by
    `load`, or with the first clip, never when it is made.

    `usual_batch`: how many clips it gets at once where the configuration does not say (default 1).

    More may be there besides. `load()`: once per worker, before the first clip. `settings(triplet) -> dict`:
    what a clip depends on besides its caption and seed; `generate` gets these as its third argument.
    `too_long(captions) -> {caption: reason}`: those that the text encoder does not read to their end, without weights;
    they are named before the work begins.
    `run`: an attribute that gets the run folder, to which the videos of triplets are relative.
    """

    def describe(self) -> dict[str, Any]:
        """{"revision": of code and weights, "fps": of its clips, "settings": {what else a clip depends on}}; no weights
        are loaded. "upscale": how often each pixel is repeated when the file is written (default 1)."""

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> Sequence[np.ndarray]:
        """A video per caption: (T, H, W, 3) uint8, decided by caption and seed; all black where its numbers
        were none (NaN). ValueError: a caption that it refuses;
        the captions of that call are then asked one by one."""


def load_generator(part: Part) -> Any:
    """ValueError: as `Part.make`; a description that lacks something."""
    with named(part):
        made = part.make(GENERATORS, NEEDS)
        told = made.describe()
    if not isinstance(told, dict) or not isinstance(told.get("revision"), str) or not told["revision"]:
        raise ValueError(f"{part.knob}: describe() of {part.use} gives no 'revision' (text that names its weights)")
    fps = told.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int) or fps < 1:
        raise ValueError(f"{part.knob}: describe() of {part.use} gives {fps!r} for 'fps'; a whole number is needed")
    return made


@contextlib.contextmanager
def named(part: Part) -> Iterator[None]:
    """A ValueError of a generator's own, which begins with its setting, begins with the knob as typed."""
    try:
        yield
    except ValueError as error:
        raise error if str(error).startswith("--") else ValueError(f"{part.knob}.{error}") from error


def ask(generator: Any, captions: Sequence[str], seeds: Sequence[int], settings: Sequence[Any]) -> list[np.ndarray]:
    """The videos, checked.

    Raises:
        ValueError: a caption that the generator refuses. TypeError: what it gave is no video, or not one per caption.
    """
    call: Callable[..., Any] = generator.generate
    videos = list(call(captions, seeds, settings) if hasattr(generator, "settings") else call(captions, seeds))
    name = type(generator).__name__
    if len(videos) != len(captions):
        raise TypeError(f"{name}.generate gave {len(videos)} videos for {len(captions)} captions")
    for video in videos:
        shape, kind = tuple(getattr(video, "shape", ())), getattr(video, "dtype", type(video))
        if kind != np.uint8 or len(shape) != 4 or shape[-1] != 3 or not all(shape):
            raise TypeError(f"{name}.generate gave {kind} of shape {shape}; a video is uint8 (T, H, W, 3)")
    return videos
