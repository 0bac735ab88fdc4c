"""Video-LLaVA with the authors' tower: 8 frames -> LanguageBind tower -> projector -> LLaMA.

The released model's tower has temporal attention; transformers' class leaves it out, so a checkpoint in its layout is
only loaded when somebody said that this is meant (its config, as the miniature's does, or `temporal_attention=False`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synvita.core.frame_rules import FramePolicy
from synvita.core.pixels import Preprocess
from synvita.core.provenance import digest
from synvita.core.question import Questioner
from synvita.core.video import Sampled
from synvita.videollm.checkpoints import find_checkpoint, quiet
from synvita.videollm.families.authors_prompts import SentencePiece, video_llava_questioner
from synvita.videollm.families.video_llava_layouts import Parts, read_parts
from synvita.videollm.packed import plain_logits
from synvita.videollm.protocol import Asker, Features, Loading, Media
from synvita.videollm.weights import fit

PLACEHOLDER = -200  # in the released code; -hf files have a token of their own

# What a -hf checkpoint's tokenizer gets if it has no chat template of its own.
TEMPLATE = (
    "{%- for m in messages -%}{%- if m.role == 'user' -%}USER: {%- for c in m.content -%}"
    "{%- if c.type == 'text' -%}{{ '\n' + c.text }}{%- else -%}<{{ c.type }}>{%- endif -%}{%- endfor -%}"
    "{%- else -%}{{ ' ASSISTANT: ' + m.content[0].text + '</s>' }}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ ' ASSISTANT:' }}{%- endif -%}"
)


class VideoLlava(nn.Module):
    """A `VideoLLM` (see `videollm.protocol`). Each frame's tokens, CLS included, stand in the prompt."""

    def __init__(self, parts: Parts, questioner: Asker | None, preprocess: Preprocess, how: Loading):
        super().__init__()
        self.language_model, self.tower = parts.language, parts.tower
        for name in ("0.weight", "2.weight"):
            if name not in parts.projector or parts.projector[name].ndim != 2:
                raise ValueError(f"the projector: lacks the matrix {name}; fetch the checkpoint again")
        widths = parts.projector["0.weight"].shape, parts.projector["2.weight"].shape
        with torch.device("meta"):
            self.projector = nn.Sequential(
                nn.Linear(widths[0][1], widths[0][0]), nn.GELU(), nn.Linear(widths[1][1], widths[1][0])
            )
        fit(self.projector, parts.projector, "the projector")
        self.preprocess, self.revision = preprocess, parts.revision
        if questioner is not None:
            self.questioner = questioner
        self.layer, self.frames, self.temporal_attention = parts.layer, parts.frames, parts.tower.time
        self.policy = FramePolicy(parts.frames, "both_ends")
        self.placeholder: int = questioner.placeholder if questioner is not None else PLACEHOLDER
        self.visual_key = digest([parts.revision, str(how.dtype), self.policy, "video_llava", preprocess])
        for vision in (self.tower, self.projector):
            vision.to(how.vision_device(), how.dtype).eval().requires_grad_(False)

    @classmethod
    def from_pretrained(cls, name: str | Path, how: Loading | None = None) -> VideoLlava:
        """Load a checkpoint folder (or shipped name, or hub name) in any of the three layouts.

        An official folder without `tokenizer.model` takes ids (`forward`), not captions.

        Raises:
            ValueError: another architecture; missing or unexpected weights, by name; temporal attention not ruled out.
        """
        how = how or Loading()
        quiet()
        folder = find_checkpoint(name)
        parts = read_parts(folder, how)
        if how.frames not in (0, parts.frames):
            raise ValueError(
                f"--frames: {how.frames}; this model takes exactly {parts.frames}, the number that it was trained with"
            )
        if parts.hf:
            from transformers import AutoTokenizer

            questioner: Any = Questioner(AutoTokenizer.from_pretrained(folder), template=TEMPLATE)
            preprocess = Preprocess.from_folder(folder)
            if preprocess.size != parts.tower.embeddings.image_size:
                need = parts.tower.embeddings.image_size
                raise ValueError(
                    f"{folder}: preprocessor_config.json gives {preprocess.size} pixels, the tower sees {need}"
                )
        else:  # sizes and constants of the released processor are written in its code, not in a file
            base = find_checkpoint(how.base, "--base") if how.base else folder
            tokenizer = next((f for f in (folder, base) if (f / "tokenizer.model").exists()), None)
            questioner = tokenizer and video_llava_questioner(SentencePiece(tokenizer), how.training_prompt)
            preprocess = Preprocess(parts.tower.embeddings.image_size)
        return cls(parts, questioner, preprocess, how)

    @property
    def language(self) -> Any:
        """The decoder without head; LoRA is put here."""
        return self.language_model.model

    def put_language(self, module: nn.Module) -> None:
        self.language_model.model = module

    @torch.no_grad()
    def look(self, video: Sampled) -> Features:
        """Frames -> {"features": (T, N, D)}, the tower's hidden states before the projector (what is cached)."""
        if len(video.frames) != self.frames:
            raise ValueError(f"the model takes {self.frames} frames, got {len(video.frames)}")
        pixels = self.preprocess(video.frames).transpose(0, 1)[None]  # (1, 3, T, H, W)
        return {"features": self.features(pixels)[0]}

    @torch.no_grad()
    def features(self, pixels: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, T, N, D)."""
        weight = self.tower.embeddings.class_embedding
        return self.tower(pixels.to(weight.device, weight.dtype), self.layer)

    @torch.no_grad()
    def project(self, features: Tensor) -> Tensor:
        """(..., D) -> (..., width) visual tokens."""
        weight: Any = self.projector[0].weight
        return self.projector(features.to(weight.device, weight.dtype))

    def media(self, features: list[Features]) -> list[Media]:
        """Each placeholder of the prompt stands for one frame (official) or for all frames (-hf)."""
        visual = self.project(torch.stack([f["features"] for f in features])).flatten(1, 2)
        ids = self.questioner.prefix()
        each = visual.shape[1] // ids.count(self.placeholder)
        ids = [i for token in ids for i in ([token] * each if token == self.placeholder else [token])]
        return [Media(ids, tokens) for tokens in visual]

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., width) -> (..., vocab) in fp32."""
        return self.language_model.lm_head(hidden).float()

    def forward(self, video_pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """(B, 3, T, H, W) pixels, (B, L) ids with a placeholder per frame -> (B, L', vocab) fp32 logits.

        L' is L with every placeholder replaced by its frame's tokens; `attention_mask` (B, L) hides tokens as keys.
        """
        return self.forward_features(self.features(video_pixel_values), input_ids, attention_mask)

    def forward_features(self, features: Tensor, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """As `forward`, from the tower's (B, T, N, D); the placeholder is -200, as the released code has it."""
        visual = self.project(features)
        keys = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        each = visual.shape[2]
        repeats = torch.where(input_ids == self.placeholder, each, 1)
        rows = [torch.repeat_interleave(ids, r) for ids, r in zip(input_ids, repeats, strict=True)]
        if len({len(row) for row in rows}) > 1:
            raise ValueError("input_ids: the rows have different numbers of placeholders")
        seen = torch.stack([torch.repeat_interleave(k, r) for k, r in zip(keys, repeats, strict=True)])
        return plain_logits(self, torch.stack(rows), seen, visual.flatten(0, 2))
