"""mPLUG-Owl-video: the video LLM that the paper fine-tunes first, with the numbers of the authors' code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synvita.core.frame_rules import FramePolicy
from synvita.core.pixels import Preprocess
from synvita.core.provenance import digest
from synvita.core.reading import read_json
from synvita.core.video import Sampled
from synvita.videollm.checkpoints import find_checkpoint, quiet, revision_of
from synvita.videollm.claims import check_claims
from synvita.videollm.families.authors_prompts import SentencePiece, mplug_owl_questioner
from synvita.videollm.families.mplug_vision import Abstractor, VisionModel
from synvita.videollm.packed import plain_logits
from synvita.videollm.protocol import Asker, Features, Loading, Media
from synvita.videollm.weights import fit, load_llama, part, read_weights

# What the official configuration classes take where config.json says nothing.
VISION = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
          "image_size": 224, "patch_size": 14, "layer_norm_eps": 1e-6}  # fmt: skip
ABSTRACTOR = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 6, "num_attention_heads": 16,
              "layer_norm_eps": 1e-6, "encoder_hidden_size": 1024}  # fmt: skip
FRAMES = 32


class Eyes(nn.Module):
    """Vision encoder and abstractor, by their official names: frames -> the tokens that stand in the prompt."""

    def __init__(self, config: dict[str, Any], width: int):
        super().__init__()
        self.vision = VISION | config.get("vision_config", {})
        abstractor = ABSTRACTOR | config.get("visual_abstractor_config", {})
        queries = config.get("num_query_tokens", 64)
        self.vision_model = VisionModel(self.vision)
        self.abstractor = Abstractor(abstractor, width)
        self.query_tokens = nn.Parameter(torch.zeros(1, queries, abstractor["hidden_size"]))
        self.temporal_query_tokens = nn.Parameter(torch.zeros(1, queries, abstractor["hidden_size"]))

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, queries + 1, width)."""
        return self.abstractor(self.vision_model(pixels), self.query_tokens, self.temporal_query_tokens)


class MplugOwlVideo(nn.Module):
    """A `VideoLLM` (see `videollm.protocol`): `Eyes` in front of transformers' LLaMA."""

    temporal_attention = True  # its layers mix frames by convolution

    def __init__(self, eyes: Eyes, language: Any, questioner: Asker | None, preprocess: Preprocess, how: Loading):
        super().__init__()
        self.eyes = eyes.to(how.vision_device(), how.dtype).eval().requires_grad_(False)
        self.language_model = language
        self.preprocess = preprocess
        if questioner is not None:
            self.questioner = questioner
        self.placeholder = -2
        # Decoded straight to the tower's square, as the authors do: the shape of the picture is not kept.
        self.policy = FramePolicy(how.frames or FRAMES, "segment_middles_rounded", (preprocess.size, preprocess.size))
        self.revision, self.visual_key = "", ""

    @classmethod
    def from_pretrained(cls, name: str | Path, how: Loading | None = None) -> MplugOwlVideo:
        """Load an official checkpoint folder (or hub name), whole or sharded, safetensors or pickled.

        Without `tokenizer.model` in the folder it takes ids (`forward`), not captions.

        Raises:
            ValueError: weights that are missing, that nothing takes, or of another shape: by name.
        """
        how = how or Loading()
        quiet()
        folder = find_checkpoint(name)
        how.refuse(f"{folder} is an mPLUG-Owl, which holds all its parts", "tower", "base", "training_prompt")
        if how.frames == 1:
            raise ValueError("--frames: 1; mPLUG-Owl looks along time, give at least 2")
        config = read_json(folder / "config.json")
        tensors = {k: v for k, v in read_weights(folder).items() if not k.endswith("rotary_emb.inv_freq")}
        check_claims(config, tensors, str(folder))
        language = load_llama(config.get("text_config", {}), part(tensors, "language_model."), str(folder), how)
        with torch.device("meta"):
            eyes = Eyes(config, language.config.hidden_size)
        fit(eyes, {k: v for k, v in tensors.items() if not k.startswith("language_model.")}, str(folder))
        preprocess = Preprocess(eyes.vision["image_size"])
        if (folder / "preprocessor_config.json").exists():
            stored = Preprocess.from_folder(folder)
            preprocess = Preprocess(preprocess.size, stored.mean, stored.std)
        questioner = None
        if (folder / "tokenizer.model").exists():
            questioner = mplug_owl_questioner(SentencePiece(folder), eyes.query_tokens.shape[1] + 1)
        model = cls(eyes, language, questioner, preprocess, how)
        model.revision = revision_of(folder)
        model.visual_key = digest([model.revision, str(how.dtype), model.policy, "mplug_owl", preprocess])
        return model

    @property
    def language(self) -> Any:
        """The decoder without head; LoRA is put here."""
        return self.language_model.model

    def put_language(self, module: nn.Module) -> None:
        self.language_model.model = module

    @torch.no_grad()
    def features(self, pixels: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, queries + 1, width): what stands in the prompt for the video."""
        weight = self.eyes.query_tokens
        return self.eyes(pixels.to(weight.device, weight.dtype))

    @torch.no_grad()
    def look(self, video: Sampled) -> Features:
        """Frames -> {"visual": (V, width)}, what the abstractor gives (cached: 0.5 MB a video in bf16 at 7B)."""
        return {"visual": self.features(self.preprocess(video.frames).transpose(0, 1)[None])[0]}

    def media(self, features: list[Features]) -> list[Media]:
        """The prompt has as many placeholders as a video has tokens."""
        ids = self.questioner.prefix()
        return [Media(ids, f["visual"]) for f in features]

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., width) -> (..., vocab) in fp32."""
        return self.language_model.lm_head(hidden).float()

    def forward(self, video_pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """(B, 3, T, H, W) pixels and (B, L) ids with -2 where the video stands -> (B, L, vocab) fp32 logits.

        `attention_mask` (B, L) hides tokens as keys (the masked twin of Eq. 6); positions are 0..L-1, gaps stay.
        """
        keys = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return plain_logits(self, input_ids, keys, self.features(video_pixel_values).flatten(0, 1))
