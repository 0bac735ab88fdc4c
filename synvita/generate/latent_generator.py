"""What LaVie and VideoCrafter2 share as generators of stage 2."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from synvita.core.reading import read_json
from synvita.generate.places import INDEX, fetched, find, revision_of


class LatentGenerator(ABC):
    """Base of the two. One says its names and how an official file becomes a pipeline.

    checkpoint: the official file or a folder with it, a folder in diffusers' format, a shipped name, or owner/name on
    the hub. frames, height, width, steps, guidance: None takes the paper's Table 10 for official weights, and for a
    folder in diffusers' format what it says that it was made for. fps: of the files. dtype: of the weights; the noise
    and the steps between the network's answers are float32. batched_guidance: the network answers with and without the
    text in one pass; false: in two, with half the memory.
    """

    known_as: ClassVar[str]
    file: ClassVar[str]  # the official one
    pipeline_class: ClassVar[str]
    paper: ClassVar[dict[str, Any]]  # settings of Table 10, and what it leaves open
    keys: ClassVar[dict[str, str]] = {  # a setting -> its name in the pipeline's call and model_index.json
        "frames": "num_frames",
        "height": "height",
        "width": "width",
        "steps": "num_inference_steps",
        "guidance": "guidance_scale",
    }

    def __init__(
        self,
        checkpoint: str,
        device: str,
        dtype: str,
        fps: int | None,
        settings: dict[str, Any],
        batched_guidance: bool = True,
    ) -> None:
        self.checkpoint, self.device, self.dtype, self.batched_guidance = checkpoint, device, dtype, batched_guidance
        if not isinstance(batched_guidance, bool):
            raise ValueError(f"{self.knob('batched_guidance')}: {batched_guidance!r}; give true or false")
        if device != "cpu" or dtype != "float32":  # torch takes seconds to import
            from synvita.core.devices import check_device, dtype_of

            check_device(device, self.knob("device"))
            dtype_of(dtype, self.knob("dtype"))
        for name, value in {**settings, "fps": fps}.items():
            least, kinds = (0, int | float) if name in ("guidance", "eta") else (1, int)
            if value is not None and (isinstance(value, bool) or not isinstance(value, kinds) or value < least):
                need = "a number from 0 on" if least == 0 else "a positive whole number"
                raise ValueError(f"{self.knob(name)}: {value!r}; {need} is needed")
        self.place = find(checkpoint, self.file, self.pipeline_class, self.knob("checkpoint"))
        own = self.defaults()
        self.chosen: dict[str, Any] = {k: own[k] if v is None else v for k, v in settings.items()}
        self.fps = own["fps"] if fps is None else fps
        self.pipeline: Any = None

    @classmethod
    def knob(cls, name: str) -> str:
        return f"--generators.{cls.known_as}.{name}"

    def fetched(self) -> Path:
        """The place of the weights, fetched where they are on the hub. ValueError: not reachable, or not in there."""
        return self.place or fetched(self.checkpoint, self.file, self.knob("checkpoint"))

    def defaults(self) -> dict[str, Any]:
        if self.place is None or self.place.is_file():
            return self.paper
        index = read_json(self.place / INDEX)
        told = {setting: index[key] for setting, key in self.keys.items() if key in index}
        return self.paper | told | {"fps": index.get("fps", self.paper["fps"])}

    def describe(self) -> dict[str, Any]:
        """All that decides a clip; no weights are loaded."""
        settings = {**self.chosen, "dtype": self.dtype, **self.more()}
        if not self.batched_guidance:  # named only where it is not: clips made before it was a setting keep their ids
            settings["batched_guidance"] = False
        return {
            "revision": revision_of(str(self.place or self.checkpoint)),
            "fps": self.fps,
            "settings": settings,
            "shape": [self.chosen[name] for name in ("frames", "height", "width")],
        }

    def more(self) -> dict[str, Any]:
        """Further settings that a clip depends on."""
        return {}

    def load(self) -> None:
        """ValueError: weights of another model, a damaged file, a size that the model cannot do."""
        if self.pipeline is not None:
            return
        try:
            import diffusers
        except ImportError:
            raise ValueError(
                f"--generators.{self.known_as}: needs diffusers; pip install 'synvita[generators]'"
            ) from None
        import transformers

        from synvita.core.devices import dtype_of
        from synvita.generate.latent_video import settled

        for library in (diffusers, transformers):
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        place = self.fetched()
        try:
            folder = self.converted(place) if place.is_file() else place
            pipeline = self.class_().from_pretrained(str(folder), dtype=dtype_of(self.dtype))
            pipeline.set_progress_bar_config(disable=True)
            self.pipeline = pipeline.to(self.device)
        except Exception as error:  # of a damaged folder the libraries say anything
            self.refuse_if_memory(error)
            reason = " ".join(str(error).split()) or type(error).__name__
            where = "" if str(place) in reason else f"{place}: "
            raise ValueError(f"{self.knob('checkpoint')}: {where}{reason}") from error
        try:
            settled(self.pipeline, self.call())
        except ValueError as error:
            setting = {key: name for name, key in self.keys.items()}
            name, _, reason = str(error).partition(": ")
            raise ValueError(f"{self.knob(setting[name])}: {reason}") from None

    def call(self) -> dict[str, Any]:
        asked = {self.keys[name]: value for name, value in self.chosen.items() if name in self.keys}
        return asked | {"batched_guidance": self.batched_guidance}

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> list[np.ndarray]:
        """(T, H, W, 3) uint8 each, all captions in one pass; black where the model's numbers were none. The noise of a
        clip is its own seed's, drawn on the CPU: the same whatever shares the pass and wherever it runs.

        Raises:
            ValueError: an empty caption. MemoryError: the device has too little.
        """
        if not all(caption.strip() for caption in captions):
            raise ValueError("the caption is empty; give it words")
        self.load()
        import torch

        own = [torch.Generator().manual_seed(seed) for seed in seeds]
        try:
            return list(self.pipeline(list(captions), generator=own, **self.call()).frames)
        except (RuntimeError, MemoryError) as error:
            self.refuse_if_memory(error)
            raise

    def refuse_if_memory(self, error: Exception) -> None:
        """MemoryError with the knobs that help, if that is what `error` is about; torch has several ways to say so."""
        if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "allocate memory" in str(error):
            knobs = ", ".join(self.knob(name) for name in ("batch", "dtype", "frames"))
            more = f", or {self.knob('batched_guidance')} false" if self.batched_guidance else ""
            text = f"{self.knob('device')}: {self.device} has too little memory; lower {knobs}{more}"
            raise MemoryError(text) from error

    def too_long(self, captions: Sequence[str]) -> dict[str, str]:
        """Captions that the text encoder does not read to their end -> what happens to them. No weights are loaded.

        Raises:
            ValueError: the tokenizer is not there.
        """
        import transformers

        from synvita.generate.official_pipelines import clip_tokenizer

        place = self.fetched()
        if place.is_dir():
            library, kind = read_json(place / INDEX)["tokenizer"]
            words = getattr(transformers, kind) if library == "transformers" else transformers.AutoTokenizer
            tokenizer = words.from_pretrained(place / "tokenizer")
        else:
            tokenizer = clip_tokenizer(self.words(place))
        limit, counts = tokenizer.model_max_length, [len(ids) for ids in tokenizer(list(captions))["input_ids"]]
        return {
            caption: f"{count} tokens with both ends; {self.known_as} reads {limit}, what is behind them is not seen"
            for caption, count in zip(captions, counts, strict=True)
            if count > limit
        }

    @abstractmethod
    def words(self, path: Path) -> str:
        """The tokenizer that goes with an official file: a folder or hub name."""

    @abstractmethod
    def class_(self) -> Any:
        """The pipeline's class."""

    @abstractmethod
    def converted(self, path: Path) -> Path:
        """The folder in diffusers' format of an official file, made when it is not there."""
