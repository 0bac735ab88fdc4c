"""A tiny InstructBLIP in transformers' layout, and its scores by hand: one pair at a time, in double precision.

`Naive` can also make each known mistake.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from synvita.core.video import Sampled

WORDS = (
    'Question Does this figure show please answer Please or : " ? . a red moving left blue cross two rings then beside'
)
SIDE, QUERIES, LIMIT = 32, 4, 128

# ---- a tiny checkpoint as Salesforce/instructblip-flan-t5-xl


def t5_tokenizer(folder: Path) -> dict[str, int]:
    """Words instead of T5's pieces; </s> ends a text, <image> was added behind by transformers' processor."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "</s>", "<unk>", *WORDS.split(), "ring", "yes", "no", "Yes", "No"]
    vocab = {name: i for i, name in enumerate(dict.fromkeys(names))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    fast.add_tokens([AddedToken("<image>", normalized=False, special=True)], special_tokens=True)
    fast.save_pretrained(folder)
    return vocab | {"<image>": len(vocab)}


def bert_tokenizer(folder: Path) -> int:
    """Lower case, in pieces: "ring" is two; without a tokenizer.json."""
    folder.mkdir()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.lower().split(), "ri", "##ng", "yes", "no", "[DEC]"]
    names = list(dict.fromkeys(names))
    (folder / "vocab.txt").write_text("".join(f"{name}\n" for name in names))
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "bos_token": "[DEC]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return len(names)


def config_of(t5_rows: int, bert_rows: int, image: int) -> dict:
    """As the official config.json; its T5 says nothing of an exact GELU."""
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    qformer = vision | {"vocab_size": bert_rows, "encoder_hidden_size": 32, "cross_attention_frequency": 2}
    t5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": t5_rows}
    t5 |= {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "decoder_start_token_id": 0}
    return {
        "model_type": "instructblip",
        "architectures": ["InstructBlipForConditionalGeneration"],
        "num_query_tokens": QUERIES,
        "image_token_index": image,
        "vision_config": vision | {"image_size": SIDE, "patch_size": 8, "model_type": "instructblip_vision_model"},
        "qformer_config": qformer | {"model_type": "instructblip_qformer"},
        "text_config": t5 | {"model_type": "t5"},
    }


def built(config: dict):
    """The model with a head of its own: transformers ties every T5's to the embedding."""
    from transformers import InstructBlipConfig, InstructBlipForConditionalGeneration

    settings = {k: v for k, v in config.items() if k != "model_type"}
    model = InstructBlipForConditionalGeneration._from_config(
        InstructBlipConfig(**settings), attn_implementation="eager"
    ).eval()
    head = model.language_model.lm_head
    head.weight = torch.nn.Parameter(torch.zeros_like(head.weight))
    return model


def random_weights(config: dict) -> dict:
    """Sizes at which each mistake shows: a tower whose numbers are near its eps, a T5 that its GELU rules."""
    generator = torch.Generator().manual_seed(8)
    found = {}
    for name, value in built(config).state_dict().items():
        if name.endswith("embed_tokens.weight"):
            continue  # copies of `shared`, which official files leave out
        noise = torch.randn(value.shape, generator=generator)
        size = 1 / math.sqrt(value[0].numel()) if value.ndim > 1 else 0.1
        if name.startswith("vision_model"):
            if any(part in name for part in ("embedding", "projection", "fc2")):
                size *= 0.01
        elif "relative_attention_bias" in name or name == "query_tokens":
            size = 1.0
        elif name.endswith(".q.weight"):
            size *= 0.5
        elif name.endswith("wi_0.weight"):
            size *= 2
        elif name.endswith("wo.weight"):
            size *= 8
        elif name.endswith(("shared.weight", "word_embeddings.weight", "position_embeddings.weight")):
            size = 1.0
        elif name.endswith("lm_head.weight"):
            size *= 3
        found[name] = noise * size
        if value.ndim == 1 and name.endswith("weight"):
            found[name] += 1.0
    return found


def write_checkpoint(folder: Path) -> None:
    folder.mkdir()
    vocab = t5_tokenizer(folder)
    config = config_of(len(vocab) + 3, bert_tokenizer(folder / "qformer_tokenizer"), vocab["<image>"])
    (folder / "config.json").write_text(json.dumps(config))
    save_file(random_weights(config), folder / "model.safetensors", {"format": "pt"})


# ---- the same by hand

MISTAKES = ("none", "squash", "pad", "bilinear", "blind Q-Former", "no prefix", "Yes", "no end", "tanh GELU")
MISTAKES += ("final eps", "block eps", "all rows", "text first", "no text end", "tied", "scaled", "max", "first frame")


class ByErf(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


class Naive:
    """One pair at a time, from the files alone; `mistake`: one of `MISTAKES`, or "right" for the wrong side to cut."""

    def __init__(self, folder: Path, mistake: str = "none"):
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        self.mistake = mistake
        config = json.loads((folder / "config.json").read_text())
        self.model = built(config)
        self.model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        self.model.double()
        t5 = self.model.language_model
        tables = [t5.encoder.embed_tokens, t5.decoder.embed_tokens]
        for table in tables:
            table.weight = t5.shared.weight
        if mistake == "tied":
            t5.lm_head.weight = t5.shared.weight
        t5.config.scale_decoder_outputs = mistake == "scaled"
        if mistake != "tanh GELU":
            for module in t5.modules():
                if hasattr(module, "act"):
                    module.act = ByErf()
        tower = self.model.vision_model
        tower.post_layernorm.eps = 1e-6 if mistake == "final eps" else 1e-5
        for module in tower.encoder.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.eps = 1e-5 if mistake == "block eps" else 1e-6
        self.t5_words = PreTrainedTokenizerFast.from_pretrained(folder)
        self.bert_words = AutoTokenizer.from_pretrained(folder / "qformer_tokenizer")

    def pixels(self, frame: np.ndarray) -> torch.Tensor:
        image = Image.fromarray(frame)
        width, height = image.size
        if self.mistake == "pad":
            square = Image.new("RGB", (max(width, height),) * 2, (122, 116, 104))
            square.paste(image, ((max(width, height) - width) // 2, (max(width, height) - height) // 2))
            image, width, height = square, max(width, height), max(width, height)
        to = (SIDE, int(SIDE * height / width)) if width < height else (int(SIDE * width / height), SIDE)
        how = Image.Resampling.BILINEAR if self.mistake == "bilinear" else Image.Resampling.BICUBIC
        image = image.resize((SIDE, SIDE) if self.mistake == "squash" else to, how)
        left, top = round((image.width - SIDE) / 2), round((image.height - SIDE) / 2)
        values = np.asarray(image.crop((left, top, left + SIDE, top + SIDE))) / 255.0
        values = (values - [0.48145466, 0.4578275, 0.40821073]) / [0.26862954, 0.26130258, 0.27577711]
        return torch.tensor(values).permute(2, 0, 1)[None]

    def ids(self, caption: str) -> tuple[list[int], list[int]]:
        text = f'Question: Does this figure show "{caption}"? Please answer yes or no.'
        if self.mistake == "no prefix":
            text = text.removeprefix("Question: ")
        first, *bert = self.bert_words(text)["input_ids"]
        t5 = self.t5_words(text)["input_ids"]
        assert t5[-1] == 1 and self.bert_words.convert_ids_to_tokens([first, bert[-1]]) == ["[CLS]", "[SEP]"]
        if self.mistake == "no text end":
            t5 = t5[:-1]
        if self.mistake == "right":
            return [first, *bert[:-1][: LIMIT - 2], bert[-1]], [*t5[:-1][: LIMIT - 1], t5[-1]]
        return [first, *bert[-LIMIT + 1 :]], t5[-LIMIT:]

    @torch.no_grad()
    def see(self, frame: np.ndarray) -> torch.Tensor:
        return self.model.vision_model(pixel_values=self.pixels(frame)).last_hidden_state

    @torch.no_grad()
    def pair(self, seen: torch.Tensor, caption: str) -> float:
        model, t5 = self.model, self.model.language_model
        bert, words = self.ids(caption)
        asked = None if self.mistake == "blind Q-Former" else torch.tensor([bert])
        found = model.qformer(input_ids=asked, query_embeds=model.query_tokens, encoder_hidden_states=seen)
        queries = model.language_projection(found.last_hidden_state[:, :QUERIES])
        parts = [queries, t5.shared(torch.tensor([words]))]
        if self.mistake == "text first":
            parts.reverse()
        answer = self.t5_words.convert_tokens_to_ids(["Yes" if self.mistake == "Yes" else "yes", "</s>"])
        logits = t5(inputs_embeds=torch.cat(parts, 1), decoder_input_ids=torch.tensor([[0, answer[0]]])).logits[0]
        if self.mistake != "all rows":
            logits = logits[:, : self.t5_words.convert_tokens_to_ids("<image>")]
        logs = [float(row[token] - row.exp().sum().log()) for row, token in zip(logits, answer, strict=True)]
        return math.exp(logs[0] if self.mistake == "no end" else (logs[0] + logs[1]) / 2)

    def score(self, video: Sampled, captions: list[str]) -> list[float]:
        seen = [self.see(frame) for frame in video.frames]
        each = [[self.pair(one, caption) for one in seen] for caption in captions]
        if self.mistake == "first frame":
            return [some[0] for some in each]
        return [max(some) if self.mistake == "max" else sum(some) / len(some) for some in each]
