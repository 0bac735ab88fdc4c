"""What the scoring engine, the trainer and the evaluation need of a video LLM; every backend gives exactly this."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from synvita.core.devices import DEVICES, DTYPES, check_device, dtype_of, usual_dtype  # noqa: F401 - known from here, too
from synvita.core.frame_rules import FramePolicy
from synvita.core.question import Answers, Asked
from synvita.core.video import Sampled

# Parts of any family's model that 4 bits leave as they are: heads, and what stands before the language model.
WHOLE = (
    "lm_head", "visual", "vision_model", "vision_tower", "video_tower", "image_tower", "multi_modal_projector",
    "connector", "qformer", "language_projection",
)  # fmt: skip
Features = dict[str, Tensor]  # what the frozen part makes of one video; it is cached on disk, so tensors only


@dataclass(frozen=True)
class Loading:
    """How to load a model, whatever its family.

    `temporal_attention`: False = a checkpoint without it is all right. `tower`, `base`: folders or hub names of parts
    that a checkpoint does not hold (Video-LLaVA's tower; the language model under a pre-training projector).
    `device_map`: "auto" spreads the model over all devices (accelerate). `load_4bit`: language model in 4 bits
    (bitsandbytes). `frames`: how many frames per video, where a model leaves the choice; 0 = its own rule.
    `training_prompt`: the one that the authors train Video-LLaVA with, which is not the one they ask it with.
    """

    temporal_attention: bool | None = None
    dtype: torch.dtype = torch.float32
    device: str = "cpu"
    device_map: str | None = None
    load_4bit: bool = False
    tower: str | None = None
    base: str | None = None
    frames: int = 0
    training_prompt: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.dtype, torch.dtype):
            raise ValueError(f"--dtype: {self.dtype!r} is not a torch.dtype; known: {', '.join(DTYPES)}")
        check_device(self.device, "--device")
        if self.device_map not in (None, "auto"):
            raise ValueError(f"--device-map: unknown {self.device_map!r}; known: auto")
        if self.device_map and self.device != "cpu":
            raise ValueError(f"--device-map: auto chooses the devices itself; leave --device {self.device} out")
        if isinstance(self.frames, bool) or not isinstance(self.frames, int) or self.frames < 0:
            raise ValueError(f"--frames: {self.frames!r} is not a whole number from 0 (the model's own rule) on")

    def refuse(self, why: str, *names: str) -> None:
        """ValueError: one of these fields is set, and the checkpoint has no use for it; `why` says which that is."""
        for name in names:
            if getattr(self, name):
                raise ValueError(f"--{name.replace('_', '-')}: {getattr(self, name)} given, but {why}; leave it out")

    def vision_device(self) -> str:
        """Where the small vision parts go; with a device map, the first accelerator."""
        return ("cuda" if torch.cuda.is_available() else "cpu") if self.device_map else self.device

    def placement(self) -> dict[str, Any]:
        """As arguments of transformers' `from_pretrained`."""
        found: dict[str, Any] = {"dtype": self.dtype, "device_map": self.device_map or self.device}
        if self.load_4bit:
            if importlib.util.find_spec("bitsandbytes") is None:
                raise ValueError("--load-4bit: needs bitsandbytes; pip install 'synvita[4bit]'")
            from transformers import BitsAndBytesConfig

            found["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=self.dtype,
                llm_int8_skip_modules=list(WHOLE),
            )  # fmt: skip
        return found


@dataclass(frozen=True)
class Media:
    """The prompt up to and including the video: the same for every caption asked about it.

    ids: token ids; the model's `placeholder` stands where visual tokens go.
    visual: (V, width), as many as there are placeholders.
    positions: (3, len(ids)) for models that place visual tokens in time, height and width; None = 0, 1, 2 ...
    deep: (K, V, width), what is added to the visual tokens after the first K layers, for models that do so.
    """

    ids: list[int]
    visual: Tensor
    positions: Tensor | None = None
    deep: Tensor | None = None


class Asker(Protocol):
    """Captions -> the token ids that follow the video in the prompt; `prefix`: those up to and including it.

    `ask_question`: a yes-or-no question as it stands, in place of the one about a caption.
    """

    answers: Answers
    placeholder: int

    def prefix(self) -> list[int]: ...

    def ask(self, caption: str) -> Asked: ...

    def ask_question(self, question: str) -> Asked: ...

    def explain(self, caption: str) -> list[int]: ...

    def answer_ids(self, text: str) -> list[int]: ...

    def decode(self, ids: list[int]) -> str: ...


class VideoLLM(Protocol):
    """frames -> `look` (frozen, cached) -> `media` -> packed hidden states (`videollm.packed`) -> `logits`.

    `language` is the decoder without its head, where LoRA goes: it takes `inputs_embeds`, a 4-d bool mask,
    `position_ids` and a cache. `revision` names the weights, `visual_key` what features depend on besides the file.
    `put_language` replaces it by a wrapped one.
    `temporal_attention`: whether the vision part looks along time before the language model does; None = not asked.
    """

    questioner: Asker
    policy: FramePolicy
    placeholder: int
    revision: str
    visual_key: str
    temporal_attention: bool | None

    @property
    def language(self) -> Any: ...

    def put_language(self, module: nn.Module) -> None: ...

    def look(self, video: Sampled) -> Features: ...

    def media(self, features: list[Features]) -> list[Media]: ...

    def logits(self, hidden: Tensor) -> Tensor: ...

    @classmethod
    def from_pretrained(cls, name: str | Path, how: Loading) -> Any: ...
