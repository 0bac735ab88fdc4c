"""LLaVA as a VQA scorer of single frames: f-bar = exp(-mean cross-entropy of "Yes" + end), averaged over frames.

A frame-level scorer sees no time: that is a property of the paper's ensemble too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synvita.core.alignment import vqa_score
from synvita.core.frame_rules import FramePolicy
from synvita.core.packing import Segment, pack
from synvita.core.pixels import Preprocess
from synvita.core.question import Questioner
from synvita.core.video import Sampled
from synvita.videollm.checkpoints import find_checkpoint, model_type, quiet, readable, revision_by_name
from synvita.videollm.claims import load_whole
from synvita.videollm.packed import hidden_states
from synvita.videollm.protocol import check_device, dtype_of
from synvita.videollm.scoring import shared_length

KNOB = "--scorers.llava.checkpoint"
QUESTION = 'Does this figure show "{caption}"? Please answer yes or no.'


class Llava:
    """Scores a clip with one vision pass per frame and one shared prefix per frame for all captions.

    frames: of a clip, spread evenly. dtype: of the weights; scores are fp32.
    """

    def __init__(self, checkpoint: str, device: str = "cpu", dtype: str = "float32", frames: int = 4):
        check_device(device, "--scorers.llava.device")
        self.checkpoint, self.device, self.dtype = checkpoint, device, dtype_of(dtype, "--scorers.llava.dtype")
        self.looks_at = FramePolicy(frames)
        self.model: Any = None

    def describe(self) -> dict[str, Any]:
        return {
            "revision": revision_by_name(self.checkpoint, KNOB),
            "question": QUESTION,
            "frames": asdict(self.looks_at),
            "dtype": str(self.dtype),
        }

    def load(self) -> None:
        """ValueError: another architecture; a damaged checkpoint, as `readable`."""
        from transformers import AutoTokenizer

        quiet()
        folder = find_checkpoint(self.checkpoint, KNOB)
        with readable(folder, KNOB):
            if model_type(folder) != "llava":
                raise ValueError(f"{folder}: is a {model_type(folder)!r} checkpoint, not 'llava'")
            self.model = load_whole(folder, dtype=self.dtype).to(self.device)
            self.questioner = Questioner(AutoTokenizer.from_pretrained(folder), "image", QUESTION)
            self.preprocess = Preprocess.from_folder(folder)
            need = self.model.config.vision_config.image_size
            if self.preprocess.size != need:
                size = self.preprocess.size
                raise ValueError(f"{folder}: preprocessor_config.json gives {size} pixels, the tower sees {need}")

    def visual(self, frames: np.ndarray) -> Tensor:
        """(T, H, W, 3) uint8 -> (T, N, width)."""
        inner, config = self.model.model, self.model.config
        pixels = self.preprocess(frames).to(inner.device, self.dtype)
        seen = inner.vision_tower(pixels, output_hidden_states=True)
        tokens = seen.hidden_states[config.vision_feature_layer]
        if config.vision_feature_select_strategy == "default":
            tokens = tokens[:, 1:]
        return inner.multi_modal_projector(tokens)

    @torch.no_grad()
    def score(self, video: Sampled, captions: Sequence[str]) -> np.ndarray:
        """N captions of one clip -> (N,) fp32 scores in [0, 1], averaged over the frames."""
        if self.model is None:
            self.load()
        visual = self.visual(video.frames)
        asked = [self.questioner.ask(caption) for caption in captions]
        stop, answers = shared_length(asked), self.questioner.answers
        before = self.questioner.prefix()  # it ends with the placeholder
        root = Segment([*before, *before[-1:] * (visual.shape[1] - 1), *asked[0].ids[:stop]])
        row = [root, *(Segment([*a.ids[stop:], answers.yes], 0) for a in asked)]
        packed = pack([row] * len(video.frames))
        hidden = hidden_states(self.model.model.language_model, packed, before[-1], visual.flatten(0, 1))
        ends = torch.tensor([start + len(s.ids) for start, s in zip(packed.starts[0][1:], row[1:], strict=True)])
        at = torch.stack([ends - 2, ends - 1], 1)  # the tokens that predict the answer and its end
        logits = self.model.lm_head(hidden[:, at])  # (T, N, 2, vocab)
        wanted = torch.tensor([answers.yes, answers.end], device=logits.device)
        return vqa_score(logits, wanted).mean(0).cpu().numpy()
