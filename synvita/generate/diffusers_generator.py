"""Any text-to-video pipeline of diffusers as a generator: a repo or folder, and a profile of how it is asked."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from synvita.core.identity import Digests
from synvita.core.records import Triplet
from synvita.generate.diffusers_folder import PipelineFolder, look_at
from synvita.generate.first_frame import first_frames, start_of
from synvita.generate.pipeline_place import check_device, memory, one_line, place
from synvita.generate.profiles import HOW_TO_WRITE, NEEDED, PROFILES, Profile, check_size, name_of

DTYPES = ("float32", "float16", "bfloat16")
OFFLOADS = ("none", "model", "sequential")


class DiffusersGenerator:
    """A `generate.generator.Generator` around diffusers' own pipeline.

    Every clip draws its noise from a generator of its own, on the CPU, seeded by its seed: the same bits however clips
    are batched and whatever the device is.

    Args:
        checkpoint: a repo or a folder in diffusers' format. device: cpu, cuda, cuda:1, mps.
        dtype, height, width, frames, fps, steps, guidance, guidance_2, scheduler, tokens: as `Profile`; None: the
            checkpoint's profile says.
        from_first_frame: of an image-to-video pipeline: each clip starts with the first frame of its triplet's real
            video, cut to the clip's proportions.
        offload: what lies in the machine's memory instead of the card's. none: nothing. model: all but the part at
            work; every batch pays for moving each part once. sequential: all but the layer at work; the least memory,
            several times slower.
        tiling: decode frames in overlapping tiles: much less memory, a little slower, slightly other pixels.
        slicing: decode a batch's clips one by one: less memory, the same pixels.
    """

    default: str | None = None
    pipeline: str | None = None
    digests: Digests | None = None

    def __init__(
        self,
        checkpoint: str | None = None,
        device: str = "cpu",
        dtype: str | None = None,
        height: int | None = None,
        width: int | None = None,
        frames: int | None = None,
        fps: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        guidance_2: float | None = None,
        scheduler: str | None = None,
        tokens: int | None = None,
        offload: str = "none",
        tiling: bool | None = None,
        slicing: bool = True,
        from_first_frame: bool = False,
    ):
        given: dict[str, Any] = {
            "dtype": dtype, "height": height, "width": width, "frames": frames, "fps": fps, "steps": steps,
            "guidance": guidance, "guidance_2": guidance_2, "scheduler": scheduler, "tokens": tokens, "tiling": tiling,
        }  # fmt: skip
        self.given: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        self.checkpoint = checkpoint or self.default
        if self.checkpoint is None:
            raise ValueError("checkpoint: none given; give a repo or a folder in diffusers' format")
        self.device, self.offload, self.slicing = device, offload, slicing
        check_values(self.given, offload, device)
        if not isinstance(from_first_frame, bool):
            raise ValueError(f"from_first_frame: {from_first_frame!r}; give true or false")
        self.from_first_frame, self.run, self.pipe = from_first_frame, Path(), cast(Any, None)
        if from_first_frame:  # then a clip depends on its triplet, too
            self.settings = self.start

    @cached_property
    def folder(self) -> PipelineFolder:
        """ValueError: as `look_at`; a checkpoint of another pipeline than this name stands for."""
        found = look_at(str(self.checkpoint), self.from_first_frame)
        if self.pipeline not in (None, found.kind) and not self.from_first_frame:
            raise ValueError(
                f"checkpoint: {self.checkpoint} is a {found.kind}, not a {self.pipeline}; "
                f"use the generator diffusers:{self.checkpoint}"
            )
        return found

    @cached_property
    def profile(self) -> Profile:
        """ValueError: there is none for such a pipeline; a size that the model cannot do."""
        configs = [self.folder.config(name) for name in ("transformer", "vae")]
        name = name_of(self.folder.kind, self.folder.index, *configs)
        if name is not None:
            found = replace(PROFILES[name], **self.given)
        elif missing := [name for name in NEEDED if name not in self.given]:
            text = f"no profile for a {self.folder.kind} (lacks {', '.join(missing)}); {HOW_TO_WRITE}"
            raise ValueError(f"checkpoint: {text}")
        else:
            found = Profile(**self.given)
        check_size(found)
        if found.guidance_2 and self.folder.index.get("boundary_ratio") is None:
            raise ValueError(f"guidance_2: {self.checkpoint} has no second network; leave it out")
        return found

    def describe(self) -> dict[str, Any]:
        made_by = ("side", "step", "fps")  # what only checks, and what has a place of its own
        settings = {name: value for name, value in asdict(self.profile).items() if name not in made_by}
        if not self.profile.guidance_2:
            del settings["guidance_2"]  # clips of pipelines with one network keep the ids they had
        settings |= {"pipeline": self.folder.kind, "fps": self.profile.fps}
        return {
            "revision": self.folder.revision,
            "fps": self.profile.fps,
            "settings": settings,
        }

    def load(self) -> None:
        """ValueError: the device is not there; the pipeline cannot be loaded."""
        if self.pipe is not None:
            return
        check_device(self.device)
        import diffusers
        import torch

        profile = self.profile
        dtype = {"default": getattr(torch, profile.dtype), "vae": getattr(torch, profile.vae_dtype or profile.dtype)}
        with one_line("checkpoint", self.folder.source), memory(self.device):
            pipe = getattr(diffusers, self.folder.kind).from_pretrained(
                self.folder.source, revision=self.folder.commit, dtype=dtype
            )
        if profile.scheduler:
            kind = getattr(diffusers, profile.scheduler, None)
            if kind is None:
                raise ValueError(
                    f"scheduler: diffusers has no {profile.scheduler!r}; give the name of one of its classes"
                )
            with one_line("scheduler", profile.scheduler):
                pipe.scheduler = kind.from_config(pipe.scheduler.config)
        pipe.set_progress_bar_config(disable=True)
        for wanted, method in ((profile.tiling, "enable_tiling"), (self.slicing, "enable_slicing")):
            if wanted and hasattr(pipe.vae, method):
                getattr(pipe.vae, method)()
        with memory(self.device):
            self.pipe = place(pipe, self.device, self.offload)

    @cached_property
    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        with one_line("checkpoint", f"{self.folder.source}: its tokenizer"):
            return AutoTokenizer.from_pretrained(self.folder.path / "tokenizer")

    def too_long(self, captions: Sequence[str]) -> dict[str, str]:
        """Captions that the text encoder does not read to their end -> what happens to them; no weights are loaded."""
        limit, counts = self.profile.tokens, [len(self.tokenizer(caption)["input_ids"]) for caption in captions]
        return {
            caption: f"{count} tokens with its end; the model reads {limit}, what is behind them is not seen"
            for caption, count in zip(captions, counts, strict=True)
            if count > limit
        }

    def start(self, triplet: Triplet) -> dict[str, Any]:
        """ValueError: the triplet's video is not there."""
        if self.digests is None or self.digests.run != self.run:
            self.digests = Digests(self.run)
        return start_of(triplet, self.run, self.digests)

    def generate(
        self, captions: Sequence[str], seeds: Sequence[int], settings: Sequence[Mapping[str, Any]] = ()
    ) -> list[np.ndarray]:
        """(T, H, W, 3) uint8 each; all black where the model's numbers were no numbers (NaN).

        Args:
            settings: of each clip, where they start from first frames (`first_frame.start_of`).
        Raises:
            ValueError: an empty caption; a video that gives no first frame; what the pipeline itself refuses.
            MemoryError: with the knobs that need less.
        """
        if not all(caption.strip() for caption in captions):
            raise ValueError("the caption is empty; give it words")
        if not self.from_first_frame:
            return self.asked(captions, seeds)
        pictures = first_frames(self.run, settings, self.profile.height, self.profile.width)
        each = zip(captions, seeds, pictures, strict=True)  # one by one: some pipelines mix up pictures of a batch
        return [self.asked([caption], [seed], image=picture)[0] for caption, seed, picture in each]

    def asked(self, captions: Sequence[str], seeds: Sequence[int], **more: Any) -> list[np.ndarray]:
        """The pipeline's answer to a batch."""
        import torch

        self.load()
        profile, takes = self.profile, inspect.signature(self.pipe.__call__).parameters
        more |= {"max_sequence_length": profile.tokens, "frame_rate": profile.fps}
        more |= {"guidance_scale_2": profile.guidance_2} if profile.guidance_2 else {}
        with memory(self.device):
            found = self.pipe(
                prompt=list(captions),
                height=profile.height,
                width=profile.width,
                num_frames=profile.frames,
                num_inference_steps=profile.steps,
                guidance_scale=profile.guidance,
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
                output_type="np",
                **{name: value for name, value in more.items() if name in takes},
            )
        return [as_bytes(np.asarray(video)) for video in found.frames]


def as_bytes(video: np.ndarray) -> np.ndarray:
    """Frames in [0, 1] -> uint8, rounded; all black where a number is none."""
    if not np.isfinite(video).all():
        return np.zeros(video.shape, np.uint8)
    return (video.clip(0, 1) * 255).round().astype(np.uint8)


def check_values(given: dict[str, Any], offload: str, device: str) -> None:
    """ValueError: a setting that cannot be, by its name."""
    whole = [f.name for f in fields(Profile) if f.type == "int"]
    for name in (name for name in whole if name in given):
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: {value!r} is not a positive whole number")
    for name in ("guidance", "guidance_2"):
        scale = given.get(name, 1.0)
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 <= scale < 1000:
            raise ValueError(f"{name}: {scale!r} is no number from 0 on")
    if given.get("dtype", DTYPES[0]) not in DTYPES:
        raise ValueError(f"dtype: {given['dtype']!r} is none of {', '.join(DTYPES)}")
    if offload not in OFFLOADS:
        raise ValueError(f"offload: {offload!r} is none of {', '.join(OFFLOADS)}")
    if offload != "none" and device == "cpu":
        raise ValueError(f"offload: {offload} moves weights between a card and memory; give a device, or offload none")


class CogVideoX(DiffusersGenerator):
    """The paper's settings (Table 10). That it used the 2b checkpoint is inferred: 75 s a clip on an A100 fit it."""

    default, pipeline = "THUDM/CogVideoX-2b", "CogVideoXPipeline"


class CogVideoX15(DiffusersGenerator):
    """CogVideoX 1.5, 5b."""

    default, pipeline = "THUDM/CogVideoX1.5-5B", "CogVideoXPipeline"


class Wan(DiffusersGenerator):
    """Wan 2.1 and 2.2; the small one of 2.1 unless a checkpoint is given."""

    default, pipeline = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "WanPipeline"


class LTX(DiffusersGenerator):
    """LTX-Video."""

    default, pipeline = "Lightricks/LTX-Video", "LTXPipeline"
