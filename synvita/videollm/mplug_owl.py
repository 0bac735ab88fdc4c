"""mPLUG-Owl-video: the video LLM that the paper fine-tunes first, with the numbers of the authors' code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synvita.videollm.checkpoints import find_checkpoint, quiet
from synvita.videollm.mplug_vision import Abstractor, VisionModel
from synvita.videollm.weights import fit, read_weights

# What the official configuration classes take where config.json says nothing.
VISION = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
          "image_size": 224, "patch_size": 14, "layer_norm_eps": 1e-6}  # fmt: skip
ABSTRACTOR = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 6, "num_attention_heads": 16,
              "layer_norm_eps": 1e-6, "encoder_hidden_size": 1024}  # fmt: skip
PLACEHOLDER = -2


class MplugOwlVideo(nn.Module):
    """Vision encoder and abstractor (`mplug_vision`) in front of transformers' LLaMA; official key names."""

    def __init__(self, config: dict[str, Any]):
        from transformers import LlamaConfig, LlamaForCausalLM

        super().__init__()
        vision = VISION | config.get("vision_config", {})
        abstractor = ABSTRACTOR | config.get("visual_abstractor_config", {})
        text = LlamaConfig(**{k: v for k, v in config.get("text_config", {}).items() if k != "model_type"})
        queries = config.get("num_query_tokens", 64)
        self.vision_model = VisionModel(vision)
        self.abstractor = Abstractor(abstractor, text.hidden_size)
        self.query_tokens = nn.Parameter(torch.zeros(1, queries, abstractor["hidden_size"]))
        self.temporal_query_tokens = nn.Parameter(torch.zeros(1, queries, abstractor["hidden_size"]))
        self.language_model = LlamaForCausalLM(text)

    @classmethod
    def from_pretrained(cls, name: str | Path, dtype: torch.dtype = torch.float32) -> MplugOwlVideo:
        """Load an official checkpoint folder (or hub name), whole or sharded, safetensors or pickled.

        Raises:
            ValueError: weights that are missing, that nothing takes, or of another shape: by name.
        """
        from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

        quiet()
        folder = find_checkpoint(name)
        config = json.loads((folder / "config.json").read_text())
        with torch.device("meta"):
            model = cls(config)
        tensors = {k: v.to(dtype) for k, v in read_weights(folder).items() if not k.endswith("rotary_emb.inv_freq")}
        fit(model, tensors, str(folder))
        language = model.language_model.model
        language.rotary_emb = LlamaRotaryEmbedding(model.language_model.config)  # computed, not stored: off meta
        return model.eval().requires_grad_(False)

    @torch.no_grad()
    def features(self, pixels: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, queries + 1, width): what stands in the prompt for the video."""
        return self.abstractor(self.vision_model(pixels), self.query_tokens, self.temporal_query_tokens)

    def forward(self, video_pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """(B, 3, T, H, W) pixels and (B, L) ids with -2 where the video stands -> (B, L, vocab) fp32 logits.

        `attention_mask` (B, L) hides tokens as keys (the masked twin of Eq. 6); positions are 0..L-1, gaps stay.
        """
        media = input_ids == PLACEHOLDER
        embedded = self.language_model.get_input_embeddings()(input_ids.masked_fill(media, 0))
        embedded = embedded.masked_scatter(media.unsqueeze(-1), self.features(video_pixel_values).to(embedded.dtype))
        batch, length = input_ids.shape
        allowed = torch.ones(length, length, dtype=torch.bool, device=input_ids.device).tril()[None, None]
        if attention_mask is not None:
            allowed = allowed & (attention_mask.bool() | media)[:, None, None]
        positions = torch.arange(length, device=input_ids.device)[None].expand(batch, -1)
        out = self.language_model(
            inputs_embeds=embedded,
            attention_mask=allowed.expand(batch, -1, -1, -1),
            position_ids=positions,
            use_cache=False,
        )
        return out.logits.float()
