"""LaVie and VideoCrafter2 as generators of stage 2, with the settings of the paper's Table 10."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from synvita.core.provenance import digest, known_digest
from synvita.core.reading import read_json

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
SHIPPED = Path(__file__).parent.parent / "world" / "checkpoints"
INDEX = "model_index.json"  # of a folder in diffusers' format


class LatentGenerator(ABC):
    """Base of the two. One says its names and how an official file becomes a pipeline.

    checkpoint: the official file or a folder with it, a folder in diffusers' format, a shipped name, or owner/name on
    the hub. frames, height, width, steps, guidance: None takes the paper's Table 10 for official weights, and for a
    folder in diffusers' format what it says that it was made for. fps: of the files. dtype: of the weights; the noise
    and the steps between the network's answers are float32.
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

    def __init__(self, checkpoint: str, device: str, dtype: str, fps: int | None, settings: dict[str, Any]) -> None:
        self.checkpoint, self.device, self.dtype = checkpoint, device, dtype
        if device != "cpu" or dtype != "float32":  # torch takes seconds to import
            from synvita.core.devices import check_device, dtype_of

            check_device(device, self.knob("device"))
            dtype_of(dtype, self.knob("dtype"))
        for name, value in {**settings, "fps": fps}.items():
            least, kinds = (0, int | float) if name in ("guidance", "eta") else (1, int)
            if value is not None and (isinstance(value, bool) or not isinstance(value, kinds) or value < least):
                need = "a number from 0 on" if least == 0 else "a positive whole number"
                raise ValueError(f"{self.knob(name)}: {value!r}; {need} is needed")
        self.place = self.find()
        own = self.defaults()
        self.chosen: dict[str, Any] = {k: own[k] if v is None else v for k, v in settings.items()}
        self.fps = own["fps"] if fps is None else fps
        self.pipeline: Any = None

    @classmethod
    def knob(cls, name: str) -> str:
        return f"--generators.{cls.known_as}.{name}"

    # ---- where the weights are

    def find(self) -> Path | None:
        """The official file or the pipeline's folder; None: it is on the hub. Nothing is fetched.

        Raises:
            ValueError: no such place, or neither of the two in it; another pipeline's folder.
        """
        knob, given = self.knob("checkpoint"), Path(self.checkpoint)
        shipped = SHIPPED / self.checkpoint
        if given.is_file():
            return given
        folder = shipped if (shipped / INDEX).is_file() else given
        if not folder.is_dir():
            if HUB_NAME.fullmatch(self.checkpoint):
                return None
            way_out = f"give the official {self.file}, a folder in diffusers' format or owner/name on the hub"
            raise ValueError(f"{knob}: {self.checkpoint}: no such file or folder; {way_out}")
        if not (folder / INDEX).is_file():
            if (folder / self.file).is_file():
                return folder / self.file
            raise ValueError(f"{knob}: {self.checkpoint}: neither {self.file} nor {INDEX} in this folder")
        index = read_json(folder / INDEX)
        kind = index.get("_class_name")
        if kind != self.pipeline_class:
            raise ValueError(f"{knob}: {self.checkpoint}: holds a {kind}, not a {self.pipeline_class}")
        lacking = [k for k, v in index.items() if isinstance(v, list) and v[0] and not (folder / k).is_dir()]
        if lacking:
            raise ValueError(f"{knob}: {self.checkpoint}: lacks the component {lacking[0]}; fetch it again")
        return folder

    def fetched(self) -> Path:
        """The place of the weights, fetched where they are on the hub. ValueError: not reachable, or not in there."""
        if self.place is not None:
            return self.place
        place = fetch(self.checkpoint, [self.file, "*.json", "*.txt", "*.safetensors"], self.knob("checkpoint"))
        for name in (INDEX, self.file):
            if (place / name).is_file():
                return place if name == INDEX else place / name
        raise ValueError(f"{self.knob('checkpoint')}: {self.checkpoint}: neither {self.file} nor {INDEX} in there")

    def defaults(self) -> dict[str, Any]:
        if self.place is None or self.place.is_file():
            return self.paper
        index = read_json(self.place / INDEX)
        told = {setting: index[key] for setting, key in self.keys.items() if key in index}
        return self.paper | told | {"fps": index.get("fps", self.paper["fps"])}

    # ---- the generator

    def describe(self) -> dict[str, Any]:
        """All that decides a clip; no weights are loaded."""
        settings = {**self.chosen, "dtype": self.dtype, **self.more()}
        return {"revision": revision_of(str(self.place or self.checkpoint)), "fps": self.fps, "settings": settings}

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
        import torch
        import transformers

        from synvita.core.devices import dtype_of
        from synvita.generate.latent_video import settled

        for library in (diffusers, transformers):
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        place = self.fetched()
        try:
            folder = self.converted(place) if place.is_file() else place
            pipeline = self.class_().from_pretrained(folder, dtype=dtype_of(self.dtype))
            pipeline.set_progress_bar_config(disable=True)
            self.pipeline = pipeline.to(self.device)
        except torch.OutOfMemoryError as error:
            raise self.too_little_memory() from error
        except MemoryError:
            raise
        except Exception as error:  # of a damaged folder the libraries say anything
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
        return {self.keys[name]: value for name, value in self.chosen.items() if name in self.keys}

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> list[np.ndarray]:
        """(T, H, W, 3) uint8 each, all captions in one pass. The noise of a clip is its own seed's, drawn on the CPU:
        the same whatever shares the pass and wherever it runs.

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
        except torch.OutOfMemoryError as error:
            raise self.too_little_memory() from error

    def too_little_memory(self) -> MemoryError:
        knobs = ", ".join(self.knob(name) for name in ("batch", "dtype", "frames"))
        return MemoryError(f"{self.knob('device')}: {self.device} has too little memory; lower {knobs}")

    def too_long(self, captions: Sequence[str]) -> dict[str, str]:
        """Captions that the text encoder does not read to their end -> what happens to them. No weights are loaded.

        Raises:
            ValueError: the tokenizer is not there.
        """
        from synvita.generate.official_pipelines import clip_tokenizer

        place = self.fetched()
        tokenizer = clip_tokenizer(str(place / "tokenizer") if place.is_dir() else self.words(place))
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


class Lavie(LatentGenerator):
    """LaVie's base model: `lavie_base.pt` with Stable Diffusion 1.4.

    Table 10: 512 x 320, 32 frames at 8 fps, guidance 7.5, 50 steps, DDPM. Upstream's own default is 16 frames. Not in
    the paper: half precision, which is upstream's; give dtype float32 on a CPU.

    base: Stable Diffusion 1.4 in diffusers' format, a folder or hub name; an official file needs it. scheduler: ddpm
    or ddim, of official files. The rest as `LatentGenerator`.
    """

    known_as, file, pipeline_class = "lavie", "lavie_base.pt", "LaviePipeline"
    paper: ClassVar = {"frames": 32, "height": 320, "width": 512, "steps": 50, "guidance": 7.5, "fps": 8}

    def __init__(
        self,
        checkpoint: str = "Vchitect/LaVie",
        base: str = "CompVis/stable-diffusion-v1-4",
        scheduler: str = "ddpm",
        device: str = "cpu",
        dtype: str = "float16",
        frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        fps: int | None = None,
    ) -> None:
        if scheduler not in ("ddpm", "ddim"):
            raise ValueError(f"{self.knob('scheduler')}: unknown {scheduler!r}; known: ddpm, ddim")
        self.base, self.scheduler = base, scheduler
        sizes = {"frames": frames, "height": height, "width": width}
        super().__init__(checkpoint, device, dtype, fps, sizes | {"steps": steps, "guidance": guidance})
        if not Path(base).is_dir() and not HUB_NAME.fullmatch(base):
            raise ValueError(f"{self.knob('base')}: {base}: no such folder; give Stable Diffusion 1.4's or a hub name")

    def more(self) -> dict[str, Any]:
        if self.place is not None and self.place.is_dir():
            return {}
        return {"scheduler": self.scheduler, "base": revision_of(self.base)}

    def class_(self) -> Any:
        from synvita.generate.lavie import LaviePipeline

        return LaviePipeline

    def words(self, path: Path) -> str:
        return str(self.found_base() / "tokenizer")

    def found_base(self) -> Path:
        wanted = ["vae/*", "text_encoder/*", "tokenizer/*", "unet/config.json"]
        return Path(self.base) if Path(self.base).is_dir() else fetch(self.base, wanted, self.knob("base"))

    def converted(self, path: Path) -> Path:
        from synvita.generate.official_pipelines import converted, lavie_pipeline

        base = self.found_base()
        made_with = {"base": revision_of(self.base), "scheduler": self.scheduler}
        return converted(path, made_with, lambda: lavie_pipeline(path, base, self.scheduler))


class VideoCrafter2(LatentGenerator):
    """VideoCrafter2: one `model.ckpt` with everything but the tokenizer.

    Table 10: 512 x 320, 32 frames at 8 fps, guidance 12, 50 steps, DDIM. Upstream's own default is 16 frames. Not in
    the paper, so inferred: eta 1, which upstream's script has; float32, in which upstream runs; and `fps_condition`,
    what the network is told about its frame rate: 8, because the paper says that it set the frames per second to 8, and
    upstream's setting of that name is the condition (28 in its script; the rate of the file is another one there, 10).

    tokenizer: CLIP's, a folder or hub name; a folder `tokenizer` beside an official file comes first. The rest as
    `LatentGenerator`.
    """

    known_as, file, pipeline_class = "videocrafter2", "model.ckpt", "VideoCrafter2Pipeline"
    paper: ClassVar = {
        "frames": 32,
        "height": 320,
        "width": 512,
        "steps": 50,
        "guidance": 12.0,
        "eta": 1.0,
        "fps_condition": 8,
        "fps": 8,
    }
    keys: ClassVar = LatentGenerator.keys | {"eta": "eta", "fps_condition": "fps"}

    def __init__(
        self,
        checkpoint: str = "VideoCrafter/VideoCrafter2",
        tokenizer: str = "openai/clip-vit-large-patch14",
        device: str = "cpu",
        dtype: str = "float32",
        frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        eta: float | None = None,
        fps_condition: int | None = None,
        fps: int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        sizes = {"frames": frames, "height": height, "width": width}
        sampling = {"steps": steps, "guidance": guidance, "eta": eta, "fps_condition": fps_condition}
        super().__init__(checkpoint, device, dtype, fps, sizes | sampling)

    def words(self, path: Path) -> str:
        beside = path.with_name("tokenizer")
        return str(beside) if beside.is_dir() else self.tokenizer

    def more(self) -> dict[str, Any]:
        if self.place is not None and self.place.is_dir():
            return {}
        words = self.tokenizer if self.place is None else self.words(self.place)
        return {"tokenizer": revision_of(words)}

    def class_(self) -> Any:
        from synvita.generate.videocrafter2 import VideoCrafter2Pipeline

        return VideoCrafter2Pipeline

    def converted(self, path: Path) -> Path:
        from synvita.generate.official_pipelines import converted, videocrafter2_pipeline

        words = self.words(path)
        return converted(path, {"tokenizer": revision_of(words)}, lambda: videocrafter2_pipeline(path, words))


def fetch(name: str, patterns: list[str], knob: str) -> Path:
    """The folder of what a repository on the hub has by these names. ValueError: not reachable."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:
        raise ValueError(f"{knob}: {name}: neither here nor reachable on the hub ({type(error).__name__})") from None


def revision_of(name: str) -> str:
    """What names weights: a digest of a file, or of all files of a folder; a name on the hub stands for itself."""
    place = Path(name)
    if place.is_file():
        return known_digest(place)
    if not place.is_dir():
        return name
    kinds = (".json", ".safetensors", ".bin", ".txt")
    files = sorted(p for p in place.rglob("*") if p.suffix in kinds and p.is_file())
    return digest([(p.relative_to(place).as_posix(), known_digest(p)) for p in files])
