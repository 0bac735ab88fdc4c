"""Video-LLaVA in transformers' layout: the tiny checkpoint of the miniature and `-hf` checkpoints, by the same code.

transformers' class has no temporal attention in its video tower, which the authors' model has. A checkpoint of this
layout is therefore only loaded when somebody said so: in its config (the miniature's does) or by
`temporal_attention=False`; results state it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from synvita.core.packing import Pack
from synvita.core.pixels import Preprocess
from synvita.core.provenance import digest, folder_digest
from synvita.core.question import Questioner
from synvita.videollm.checkpoints import find_checkpoint, model_type, quiet
from synvita.videollm.packed import hidden_states


class VideoLlava(nn.Module):
    """One video LLM: pixels -> features -> visual tokens -> hidden states of packed questions -> logits.

    `visual_tokens` per video is `frames` x tokens per frame. Towers and projector are frozen, so a video's tokens are a
    pure function of its file and are computed once (`videollm.visual`).
    """

    def __init__(self, model: Any, questioner: Questioner, preprocess: Preprocess, frames: int, revision: str):
        super().__init__()
        self.model = model
        self.questioner = questioner
        self.preprocess = preprocess
        self.frames = frames
        self.revision = revision
        self.placeholder = model.config.video_token_id
        self.temporal_attention = False

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        temporal_attention: bool | None = None,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> VideoLlava:
        """Load a checkpoint folder (or shipped name, or hub name).

        Raises:
            ValueError: another architecture; missing or unexpected weights, by name; temporal attention not ruled out.
        """
        from transformers import AutoTokenizer, VideoLlavaForConditionalGeneration

        quiet()
        folder = find_checkpoint(name)
        if model_type(folder) != "video_llava":
            raise ValueError(f"--model: {folder}: is a {model_type(folder)!r} checkpoint, not 'video_llava'")
        model, report = VideoLlavaForConditionalGeneration.from_pretrained(
            folder, dtype=dtype, output_loading_info=True, attn_implementation="sdpa"
        )
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if report[what]:
                raise ValueError(f"--model: {folder}: {what.replace('_', ' ')}: {sorted(report[what])[0]} and others")
        said = (
            temporal_attention if temporal_attention is not None else getattr(model.config, "temporal_attention", None)
        )
        if said is not False:
            raise ValueError(
                f"--temporal-attention: {folder} is in transformers' layout, whose video tower has no temporal "
                "attention (the authors' has); say --temporal-attention false to use it all the same"
            )
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokens = model.config.video_seq_length
        vision = model.config.vision_config
        per_frame = (vision.image_size // vision.patch_size) ** 2 + 1
        return cls(
            model.to(device).eval().requires_grad_(False),
            Questioner(tokenizer),
            Preprocess.from_folder(folder),
            tokens // per_frame,
            folder_digest(folder),
        )

    @property
    def visual_key(self) -> str:
        """What a cached feature depends on besides the file: model, dtype, frame policy, preprocessing."""
        policy = [self.revision, str(self.model.dtype), self.frames, "video_llava", str(self.preprocess)]
        return digest(policy)

    @property
    def width(self) -> int:
        return self.model.config.text_config.hidden_size

    def pixels(self, frames: np.ndarray) -> Tensor:
        """(T, H, W, 3) uint8 -> (T, 3, size, size)."""
        if len(frames) != self.frames:
            raise ValueError(f"the model takes {self.frames} frames, got {len(frames)}")
        return self.preprocess(frames)

    @torch.no_grad()
    def features(self, pixels: Tensor) -> Tensor:
        """(B, T, 3, size, size) -> (B, T, N, D) hidden states of the tower, before the projector (what is cached)."""
        inner = self.model.model
        batch = pixels.shape[0]
        flat = pixels.flatten(0, 1).to(self.model.device, self.model.dtype)
        seen = inner.video_tower(flat, output_hidden_states=True).hidden_states[self.model.config.vision_feature_layer]
        return seen.unflatten(0, (batch, -1))

    def visual(self, features: Tensor) -> Tensor:
        """(B, T, N, D) -> (B, T * N, width) visual tokens."""
        return self.model.model.multi_modal_projector(features.to(self.model.dtype)).flatten(1, 2)

    def hidden(self, pack: Pack, visual: Tensor) -> Tensor:
        return hidden_states(self.model, pack, visual, self.placeholder)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., width) -> (..., vocab) in fp32."""
        return self.model.lm_head(hidden).float()
