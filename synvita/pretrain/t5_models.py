"""The tiny scorers on T5, CLIP-FlanT5 and InstructBLIP: the classes, layouts and prompts that their scorers load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from synvita.pretrain.models import WIDTH, eva, tower_model
from synvita.weigh.clip_flant5 import ClipFlanT5
from synvita.weigh.instructblip import FINAL_EPS, InstructBlip, as_in_lavis
from synvita.weigh.vqa_prompts import framed
from synvita.world.tokenizer import core_tokenizer, pieces_of

CAPTIONING = "What happens in this figure?"
QUERIES = 8  # that InstructBLIP's Q-Former tells T5 of a frame


def t5_settings(vocabulary: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "d_model": WIDTH,
        "d_kv": WIDTH // 4,
        "d_ff": 2 * WIDTH,
        "num_layers": 3,
        "num_decoder_layers": 3,
        "num_heads": 4,
        "dropout_rate": 0.0,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }


def t5_tokenizer(*texts: str) -> Any:
    """Ends a text with </s>, as FLAN-T5's does; the pieces of `texts` are tokens beside the miniature's words."""
    from transformers import PreTrainedTokenizerFast

    more = tuple(piece for text in (*texts, "Yes No yes no") for piece in pieces_of(text))
    core = core_tokenizer(("<pad>", "</s>", "<unk>"), "$A </s>", ("yes", "no", *more))
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )


def bert_tokenizer(*texts: str) -> Any:
    """Frames a text by [CLS] and [SEP], as the Q-Former's does."""
    from transformers import PreTrainedTokenizerFast

    more = tuple(piece for text in texts for piece in pieces_of(text))
    return PreTrainedTokenizerFast(
        tokenizer_object=core_tokenizer(("[PAD]", "[CLS]", "[SEP]", "[UNK]"), "[CLS] $A [SEP]", more),
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_max_length=512,
    )


def as_flan(t5: Any) -> Any:
    """One table of embeddings, as FLAN-T5 has (transformers makes three if the head has its own), and a head that does
    not start with weights of 1: a loss of 30 instead of 6."""
    t5.set_input_embeddings(t5.shared)
    with torch.no_grad():
        t5.lm_head.weight.mul_(WIDTH**-0.5)
    return t5


def tiny_clip_flant5() -> tuple[ClipFlanT5, Any]:
    """(model, tokenizer): 9 patches of the tower's last layer."""
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = t5_tokenizer(*framed(""), *framed("", CAPTIONING))
    config = T5Config(**t5_settings(len(tokenizer)))
    config.tie_word_embeddings = config.scale_decoder_outputs = False  # as `weigh.clip_flant5.load_t5` has it
    projector = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
    t5 = as_flan(T5ForConditionalGeneration(config))
    return ClipFlanT5(tower_model("clip"), projector, t5, layer=-1), tokenizer


def save_clip_flant5(model: ClipFlanT5, tokenizer: Any, folder: Path) -> None:
    """The official layout in fp16: T5's names, `mm_projector.*`, the tower inside."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    parts = {"vision_tower.vision_tower.": model.tower, "mm_projector.": model.projector, "": model.t5}
    tensors = {prefix + name: value for prefix, part in parts.items() for name, value in part.state_dict().items()}
    kept = {name: value for name, value in tensors.items() if not name.endswith("embed_tokens.weight")}
    save_file({k: v.half().contiguous() for k, v in kept.items()}, folder / "model.safetensors", {"format": "pt"})
    config = {
        **t5_settings(model.t5.config.vocab_size),
        "model_type": "clip_t5",
        "mm_vision_tower": "inside",
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": -1,
        "clip_vision": plain_config(model.tower.config),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer.save_pretrained(folder)


def plain_config(config: Any) -> dict[str, Any]:
    names = ("hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers", "num_attention_heads")
    return {name: getattr(config, name) for name in (*names, "image_size", "patch_size", "hidden_act")}


def tiny_instructblip() -> tuple[Any, Any, Any]:
    """(model, T5's tokenizer, the Q-Former's): 8 queries look at CLS and 9 patches, reading the question."""
    from transformers import (
        InstructBlipConfig,
        InstructBlipForConditionalGeneration,
        InstructBlipQFormerConfig,
        T5Config,
    )

    texts = InstructBlip.question.replace("{caption}", ""), CAPTIONING
    tokenizer, reader = t5_tokenizer(*texts), bert_tokenizer(*texts)
    qformer = InstructBlipQFormerConfig(
        vocab_size=len(reader),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * WIDTH,
        encoder_hidden_size=WIDTH,
        cross_attention_frequency=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    config: Any = InstructBlipConfig(
        vision_config=eva().to_dict(),
        qformer_config=qformer.to_dict(),
        text_config=T5Config(**t5_settings(len(tokenizer))).to_dict(),
        num_query_tokens=QUERIES,
    )
    config.text_config.tie_word_embeddings = config.tie_word_embeddings = False
    as_in_lavis(config)
    model = InstructBlipForConditionalGeneration(config)
    as_flan(model.language_model)
    model.vision_model.post_layernorm.eps = FINAL_EPS
    return model, tokenizer, reader


def save_instructblip(model: Any, tokenizer: Any, reader: Any, folder: Path) -> None:
    """transformers' layout in fp16."""
    model.to(torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    reader.save_pretrained(folder / "qformer_tokenizer")
