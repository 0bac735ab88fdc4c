"""LLaVA as a VQA scorer of single frames: f-bar = exp(-mean cross-entropy of "Yes" + end), averaged over frames.

A frame-level scorer sees no time: that is a property of the paper's ensemble too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synvita.core.alignment import vqa_score
from synvita.core.packing import Segment, pack
from synvita.core.pixels import Preprocess
from synvita.core.provenance import folder_digest
from synvita.core.question import Questioner
from synvita.videollm.checkpoints import find_checkpoint, model_type, quiet, readable
from synvita.videollm.claims import load_whole
from synvita.videollm.packed import hidden_states
from synvita.videollm.protocol import check_device
from synvita.videollm.scoring import shared_length

QUESTION = 'Does this figure show "{caption}"? Please answer yes or no.'


class Llava:
    """Scores (frames, captions) with one vision pass per frame and one shared prefix per frame for all captions.

    Raises:
        ValueError: another architecture; a damaged checkpoint, as `readable`; a device that is not there.
    """

    def __init__(self, name: str | Path, device: str = "cpu"):
        from transformers import AutoTokenizer

        check_device(device, "device")
        quiet()
        folder = find_checkpoint(name, "--weigh.models.llava")
        with readable(folder, "--weigh.models.llava"):
            if model_type(folder) != "llava":
                raise ValueError(f"{folder}: is a {model_type(folder)!r} checkpoint, not 'llava'")
            self.model: Any = load_whole(folder, dtype=torch.float32).to(device)
            self.questioner = Questioner(AutoTokenizer.from_pretrained(folder), "image", QUESTION)
            self.preprocess = Preprocess.from_folder(folder)
            need = self.model.config.vision_config.image_size
            if self.preprocess.size != need:
                size = self.preprocess.size
                raise ValueError(f"{folder}: preprocessor_config.json gives {size} pixels, the tower sees {need}")
        self.revision = folder_digest(folder)

    def visual(self, frames: np.ndarray) -> Tensor:
        """(T, H, W, 3) uint8 -> (T, N, width)."""
        inner, config = self.model.model, self.model.config
        seen = inner.vision_tower(self.preprocess(frames).to(inner.device), output_hidden_states=True)
        tokens = seen.hidden_states[config.vision_feature_layer]
        if config.vision_feature_select_strategy == "default":
            tokens = tokens[:, 1:]
        return inner.multi_modal_projector(tokens)

    @torch.no_grad()
    def score(self, frames: np.ndarray, captions: list[str]) -> np.ndarray:
        """(T, H, W, 3) uint8 frames, N captions -> (N,) fp32 scores in [0, 1], averaged over the frames."""
        visual = self.visual(frames)
        asked = [self.questioner.ask(caption) for caption in captions]
        stop, answers = shared_length(asked), self.questioner.answers
        before = self.questioner.prefix()  # it ends with the placeholder
        root = Segment([*before, *before[-1:] * (visual.shape[1] - 1), *asked[0].ids[:stop]])
        row = [root, *(Segment([*a.ids[stop:], answers.yes], 0) for a in asked)]
        packed = pack([row] * len(frames))
        hidden = hidden_states(self.model.model.language_model, packed, before[-1], visual.flatten(0, 1))
        ends = torch.tensor([start + len(s.ids) for start, s in zip(packed.starts[0][1:], row[1:], strict=True)])
        at = torch.stack([ends - 2, ends - 1], 1)  # the tokens that predict the answer and its end
        logits = self.model.lm_head(hidden[:, at])  # (T, N, 2, vocab)
        wanted = torch.tensor([answers.yes, answers.end], device=logits.device)
        return vqa_score(logits, wanted).mean(0).cpu().numpy()
