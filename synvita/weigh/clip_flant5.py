"""CLIP-FlanT5 as a VQA scorer of single frames: CLIP ViT-L/14-336, two linear layers, FLAN-T5 (t2v_metrics 3.0).

No class of it is in transformers; it is composed here of transformers' parts and reads the official folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from synvita.core.question import Answers, CaptionError, check_caption, shown
from synvita.core.reading import read_json
from synvita.videollm.checkpoints import find_checkpoint
from synvita.videollm.claims import check_claims
from synvita.videollm.protocol import Loading
from synvita.videollm.weights import UNUSED, check_names, part, read_file, read_weights
from synvita.weigh.clip_tower import INSIDE, TowerLayer, load_projector, load_tower, one_of_equals
from synvita.weigh.image_pixels import ImagePixels
from synvita.weigh.image_scorer import ImageScorer
from synvita.weigh.t5 import answer_logits
from synvita.weigh.vqa_prompts import QUESTION, framed

IMAGE, IGNORED = -200, -100  # in `input_ids` and `labels`, as in the official code
ALIASES = ("embed_tokens.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")  # of shared.weight
GOLDEN = "state_dict.safetensors"
LONGEST = 2048  # tokens, where the tokenizer does not say


class ClipFlanT5(nn.Module):
    """See the module. `layer`: the tower's hidden layer whose patches, without the class token, T5 sees."""

    def __init__(self, tower: Any, projector: nn.Module, t5: Any, layer: int = -2):
        super().__init__()
        self.tower, self.projector, self.t5 = tower, projector, t5
        self.see = TowerLayer(tower, layer, drop_class=True)

    def take(self, tower: Any) -> None:
        """Another tower with the same weights."""
        self.tower, self.see = tower, TowerLayer(tower, self.see.layer, self.see.drop_class)

    @classmethod
    def from_pretrained(cls, folder: str | Path, how: Loading | None = None, knob: str = "--tower") -> ClipFlanT5:
        """An official folder (config `t5` or `clip_t5` with `mm_vision_tower`; whole or in shards; the tower inside or
        in CLIP's folder), or one whose config.json is nested (`t5`, `clip_vision`).

        Raises:
            ValueError: another model; tensors as in `weights.check_names`; no tower.
        """
        folder, how = Path(folder), how or Loading()
        config = read_json(folder / "config.json")
        nested = isinstance(config.get("t5"), dict)
        more = config.get("multimodal", {}) if nested else config
        text = config["t5"] if nested else config
        if not nested and (config.get("model_type") not in ("t5", "clip_t5") or "mm_vision_tower" not in config):
            kind = config.get("model_type")
            raise ValueError(f"{folder}: is a {kind!r} checkpoint without mm_vision_tower, not a CLIP-FlanT5")
        if more.get("mm_projector_type", "mlp2x_gelu") != "mlp2x_gelu":
            raise ValueError(f"{folder}: mm_projector_type is {more['mm_projector_type']!r}, not 'mlp2x_gelu'")
        tensors = read_file(folder / GOLDEN) if (folder / GOLDEN).exists() else read_weights(folder)
        check_claims(text, tensors, str(folder))
        tower_config = {"mm_vision_tower": more.get("mm_vision_tower"), "vision_config": config.get("clip_vision")}
        tower = load_tower(part(tensors, INSIDE), tower_config, folder, how, knob)
        projector = load_projector(part(tensors, "mm_projector."), f"{folder}: mm_projector", how)
        own = {k: v for k, v in tensors.items() if not k.startswith(("vision_tower.", "mm_projector."))}
        t5 = load_t5(text, own, str(folder), how)
        return cls(tower, projector, t5, more.get("mm_vision_select_layer", -2)).eval().requires_grad_(False)

    def look(self, pixels: Tensor) -> Tensor:
        """(T, 3, S, S) -> (T, patches, d_model)."""
        return self.projector(self.see(pixels))

    def embedded(self, ids: Tensor, patches: Tensor) -> Tensor:
        """(L,) ids with one `IMAGE`, (patches, d_model) -> (L - 1 + patches, d_model)."""
        at = int((ids == IMAGE).nonzero()[0])
        before, behind = (self.t5.shared(some.to(patches.device)) for some in (ids[:at], ids[at + 1 :]))
        return torch.cat([before, patches.to(before), behind])

    def forward(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Tensor:
        """Logits of each row's answer.

        Args:
            pixel_values: (B, 3, S, S), or (B, T, 3, S, S): all frames at the one image position. input_ids: (B, L)
                with one -200 each, padded on the right. attention_mask: (B, L). labels: (B, A), -100 where ignored.
        Returns:
            (B, A, vocabulary).
        """
        frames = pixel_values.shape[1] if pixel_values.ndim == 5 else 1
        looked = self.look(pixel_values.flatten(0, 1) if pixel_values.ndim == 5 else pixel_values)
        patches = looked.reshape(len(input_ids), frames * looked.shape[1], -1)
        rows = [self.embedded(ids, seen) for ids, seen in zip(input_ids, patches, strict=True)]
        ones = torch.ones(len(rows), patches.shape[1] - 1, dtype=attention_mask.dtype, device=attention_mask.device)
        start = torch.full_like(labels[:, :1], self.t5.config.decoder_start_token_id)
        given = torch.cat([start, labels[:, :-1]], 1)
        given = given.masked_fill(given == IGNORED, self.t5.config.pad_token_id or 0)
        return self.t5(
            inputs_embeds=torch.stack(rows),
            attention_mask=torch.cat([ones, attention_mask], 1),
            decoder_input_ids=given,
            decoder_attention_mask=(labels != IGNORED).long(),
            use_cache=False,
        ).logits

    def vqa_score(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Tensor:
        """exp(-mean cross-entropy) of each row's answer tokens that are not ignored: (B,) fp32."""
        logits = self(pixel_values, input_ids, attention_mask, labels).float()
        losses = functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
        return (-losses.sum(1) / (labels != IGNORED).sum(1)).exp()


def load_t5(config: dict[str, Any], tensors: dict[str, Tensor], where: str, how: Loading) -> Any:
    """FLAN-T5 with a head of its own.

    transformers' T5Config ties the head to the embedding whatever is stored, so that loading overwrites one with the
    other, and scales the decoder's output, which is for tied ones only: both are undone.
    """
    from transformers import T5Config, T5ForConditionalGeneration

    known = T5Config().to_dict() | {"dense_act_fn": None, "is_gated_act": None}
    kept = {k: v for k, v in config.items() if k in known and k not in ("model_type", "architectures", "dtype")}
    made = T5Config(**kept)
    made.tie_word_embeddings = made.scale_decoder_outputs = False
    made.decoder_start_token_id = config.get("decoder_start_token_id", made.pad_token_id)
    own = {k: v for k, v in tensors.items() if k not in ALIASES and not UNUSED.search(k)}
    shared = next((tensors[k] for k in ("shared.weight", *ALIASES) if k in tensors), None)
    if shared is None or "lm_head.weight" not in own:
        raise ValueError(f"{where}: lacks {'shared.weight' if shared is None else 'lm_head.weight'}; fetch it again")
    own["shared.weight"] = shared
    with torch.device("meta"):
        wanted = T5ForConditionalGeneration(made).state_dict()
    check_names({k: v for k, v in wanted.items() if k not in ALIASES}, own, where)
    aliases = {k: shared for k in ALIASES[1:] if k in wanted}
    t5: Any = T5ForConditionalGeneration.from_pretrained(None, config=made, state_dict=own | aliases, **how.placement())
    if t5.lm_head.weight.data_ptr() == t5.shared.weight.data_ptr():
        raise ValueError(f"{where}: this transformers ties T5's head to its embedding; take another version")
    return t5


class ClipFlanT5Scorer(ImageScorer):
    """The scorer of the house; see `ImageScorer`. T5 reads a frame with each caption anew, `at_once` in one pass."""

    known_as = "clip_flant5"
    usual_checkpoint = "zhiqiulin/clip-flant5-xxl"
    question = QUESTION

    def images_as(self) -> str:
        return "padded to a square, bicubic"

    def build(self, folder: Path) -> None:
        self.model = ClipFlanT5.from_pretrained(folder, self.how, self.knob("tower"))
        self.model.take(one_of_equals(self.model.tower))
        self.eye = self.model.see
        self.to_pixels = ImagePixels(self.model.tower.config.image_size, pad=True)
        self.tokenizer = tokenizer_of(folder, self.model.t5.config.d_model, self.knob("checkpoint"))
        self.special = [t for t in [*self.tokenizer.all_special_tokens, *self.tokenizer.get_added_vocab()] if t]
        limit = self.tokenizer.model_max_length
        self.longest = limit if 0 < limit < 10**6 else LONGEST
        yes, no = (self.tokenizer(word)["input_ids"] for word in ("Yes", "No"))
        end = self.tokenizer.eos_token_id
        if len(yes) != 2 or len(no) != 2 or yes[0] == no[0] or yes[1] != end:
            raise ValueError(f"{folder}: the tokenizer makes {yes} and {no} of the answers, not an id and the end")
        self.width = min(len(self.tokenizer), self.model.t5.lm_head.weight.shape[0])
        self.answers = Answers(yes[0], no[0], end)

    def project(self, seen: Tensor) -> Tensor:
        return self.model.projector(seen)

    def ask(self, caption: str) -> Tensor:
        """Ids of the prompt: the text on each side of the image alone, each with its own end token.

        CaptionError: empty, with a special token, longer than the model takes.
        """
        check_caption(caption, self.special)
        before, behind = (self.tokenizer(text)["input_ids"] for text in framed(caption))
        if len(before) + len(behind) + 1 > self.longest:
            need = len(before) + len(behind) + 1
            raise CaptionError(f"caption {shown(caption)}: {need} tokens, the model takes {self.longest}; shorten it")
        return torch.tensor([*before, IMAGE, *behind])

    def answer_scores(self, looked: list[Tensor], captions: Sequence[Sequence[str]]) -> list[Tensor]:
        assert self.answers is not None
        asked = [[self.ask(caption) for caption in texts] for texts in captions]
        pairs = [(frame, ids) for frames, some in zip(looked, asked, strict=True) for frame in frames for ids in some]
        answer = torch.tensor([self.answers.yes, self.answers.end], device=self.model.t5.shared.weight.device)
        scores = []
        for first in range(0, len(pairs), self.at_once):
            rows = [self.model.embedded(ids, frame) for frame, ids in pairs[first : first + self.at_once]]
            scores.append(self.measure(answer_logits(self.model.t5, rows, answer, self.width, self.at_once)))
        parts = torch.cat(scores).split([len(f) * len(some) for f, some in zip(looked, asked, strict=True)])
        return [p.view(len(f), -1) for p, f in zip(parts, looked, strict=True)]


def tokenizer_of(folder: Path, width: int, knob: str) -> Any:
    """The folder's tokenizer, or FLAN-T5's, which the official checkpoints leave out."""
    from transformers import AutoTokenizer

    if any((folder / name).exists() for name in ("tokenizer.json", "spiece.model", "tokenizer_config.json")):
        return AutoTokenizer.from_pretrained(folder)
    return AutoTokenizer.from_pretrained(find_checkpoint(f"google/flan-t5-{'xl' if width <= 2048 else 'xxl'}", knob))
