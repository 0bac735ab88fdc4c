"""Any chat video LLM of transformers: the model is theirs, frames -> pixel values -> prompt are ours, family by family.

transformers' own video processors need torchvision, which synvita does not. What a family does with frames is one small
module in `videollm/families`, written from the checkpoint's preprocessor config and compared with the official
processor in the tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from synvita.core.backends import load_backend
from synvita.core.frame_rules import FramePolicy
from synvita.core.provenance import digest
from synvita.core.question import Questioner
from synvita.core.reading import read_json
from synvita.core.video import Sampled
from synvita.videollm.checkpoints import find_checkpoint, model_type, quiet, revision_of
from synvita.videollm.claims import check_claims, load_whole, stored_shapes
from synvita.videollm.protocol import Features, Loading, Media

FAMILIES = {
    "qwen2_5_vl": "synvita.videollm.families.qwen:Qwen25VL",
    "qwen3_vl": "synvita.videollm.families.qwen:Qwen3VL",
    "llava_onevision": "synvita.videollm.families.llava_onevision:LlavaOnevision",
    "smolvlm": "synvita.videollm.families.smolvlm:SmolVLM",
    "internvl": "synvita.videollm.families.internvl:InternVL",
}


class Family(Protocol):
    """What differs between chat video LLMs: how frames become pixel values, and what stands for them in the prompt.

    Made from a checkpoint folder and the number of frames somebody asked for (0: the family's own rule).
    `token` is the placeholder in the chat template. `pixels` gives what the official processor gives, by its names.
    `look` runs the frozen vision part; `media` builds the prompt up to and including the video.

    A family may also have `visual_token`: what stands where visual tokens go, if that is not `token`; and
    `template(stored)`: the chat template to use instead of the checkpoint's, with `token` last in a video's place.
    """

    token: str
    policy: FramePolicy

    def __init__(self, folder: Path, frames: int = 0) -> None: ...

    def pixels(self, video: Sampled) -> dict[str, Tensor]: ...

    def look(self, model: Any, video: Sampled) -> Features: ...

    def media(self, model: Any, questioner: Questioner, features: Features) -> Media: ...


def chat_template(folder: Path, stored: str | None, family: Family) -> str | None:
    """The tokenizer's own; or the processor's, which older checkpoints keep apart; as the family wants it."""
    apart = folder / "chat_template.json"
    if stored is None and apart.exists():
        stored = read_json(apart, ("chat_template",))["chat_template"]
        if not isinstance(stored, str):
            raise ValueError(f"{apart}: chat_template is not text; fetch it again")
    if hasattr(family, "template") and stored is not None:
        stored = family.template(stored)
    return stored


class ChatVideoLLM(nn.Module):
    """A `VideoLLM` (see `videollm.protocol`) around transformers' image-text-to-text class of a family."""

    temporal_attention = None

    def __init__(self, model: Any, questioner: Questioner, family: Family, revision: str):
        super().__init__()
        self.model, self.questioner, self.family, self.revision = model, questioner, family, revision
        self.policy, self.placeholder = family.policy, questioner.placeholder
        if hasattr(family, "visual_token"):
            self.placeholder = questioner.tokenizer.convert_tokens_to_ids(family.visual_token)
        self.visual_key = digest([revision, str(model.dtype), family.policy])

    @classmethod
    def from_pretrained(cls, name: str | Path, how: Loading | None = None) -> ChatVideoLLM:
        """Load a checkpoint folder or hub name.

        Raises:
            ValueError: a family that is not done, by name; weights that are missing or that nothing takes.
        """
        from transformers import AutoTokenizer

        how = how or Loading()
        quiet()
        folder = find_checkpoint(name)
        kind = model_type(folder)
        how.refuse(f"{folder} is a {kind!r}, which holds all its parts", "tower", "base", "training_prompt")
        check_claims(read_json(folder / "config.json"), stored_shapes(folder), str(folder))
        family: Family = load_backend(FAMILIES, kind, f"--model: {folder}: model_type")(folder, how.frames)
        model = load_whole(folder, **how.placement())
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.chat_template = chat_template(folder, tokenizer.chat_template, family)
        questioner = Questioner(tokenizer, media=family.token)
        return cls(model, questioner, family, revision_of(folder))

    @property
    def language(self) -> Any:
        """The decoder without head; LoRA is put here."""
        inner = self.model.model
        return inner.text_model if hasattr(inner, "text_model") else inner.language_model

    def put_language(self, module: nn.Module) -> None:
        inner = self.model.model
        setattr(inner, "text_model" if hasattr(inner, "text_model") else "language_model", module)

    @torch.no_grad()
    def look(self, video: Sampled) -> Features:
        return self.family.look(self.model, video)

    def media(self, features: list[Features]) -> list[Media]:
        return [self.family.media(self.model, self.questioner, f) for f in features]

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., width) -> (..., vocab) in fp32."""
        return self.model.lm_head(hidden.to(self.model.lm_head.weight.dtype)).float()
