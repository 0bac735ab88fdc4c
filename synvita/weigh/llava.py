"""LLaVA-1.5 as a VQA scorer of single frames, with VQAScore's pixels and prompt, in three layouts.

official: liuhaotian's flat config (`mm_vision_tower`), the vision tower inside or in CLIP's own folder.
hf: llava-hf's, whose last 64 vocabulary rows are random: the softmax leaves them out.
miniature: the hf layout with a question and preprocessing of its own, stored with the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synvita.core.pixels import Preprocess
from synvita.core.question import Answers, Asked, CaptionError, Questioner, check_caption, shown
from synvita.core.reading import read_json
from synvita.videollm.checkpoints import model_type
from synvita.videollm.claims import check_claims, load_whole
from synvita.videollm.families.authors_prompts import SentencePiece
from synvita.videollm.families.video_llava_layouts import llama_config
from synvita.videollm.protocol import Media
from synvita.videollm.scoring import score_answers
from synvita.videollm.weights import load_llama, part, read_weights
from synvita.weigh.clip_tower import INSIDE, TowerLayer, load_projector, load_tower, one_of_equals
from synvita.weigh.image_pixels import ImagePixels
from synvita.weigh.image_scorer import ImageScorer
from synvita.weigh.vqa_prompts import QUESTION, framed

PLACEHOLDER = -200
OWN_PIXELS = "video_llava"  # as `preprocess` in preprocessor_config.json: what the miniature was trained with
EOS = 2


class FramedQuestioner:
    """VQAScore's prompt as its code tokenises it: the text on each side of the image alone, question and answer
    together (the blank behind "ASSISTANT:" would be a token of its own otherwise)."""

    def __init__(self, encode: Callable[[str], list[int]], bos: int, special: list[str], vocabulary: int):
        self.encode, self.bos, self.special, self.vocabulary = encode, bos, special, vocabulary
        yes, no = (self.encode(framed("x")[1] + word) for word in ("Yes", "No"))
        if yes[:-1] != no[:-1] or yes[-1] == no[-1]:
            raise ValueError(f"the tokenizer makes {yes[-2:]} and {no[-2:]} of the answers Yes and No, not an id each")
        self.answers = Answers(yes[-1], no[-1], EOS)
        one, other = (self.encode(framed(caption)[1]) for caption in ("x", "1"))
        self.same = next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)

    def prefix(self) -> list[int]:
        return [self.bos, *self.encode(framed("x")[0]), PLACEHOLDER]

    def ask(self, caption: str) -> Asked:
        """CaptionError: empty, or with a special token."""
        check_caption(caption, self.special)
        ids = self.encode(framed(caption)[1] + "Yes")[:-1]
        return Asked(ids, (min(self.same, len(ids) - 1), len(ids)))


@dataclass
class Parts:
    """What any layout is read into."""

    see: TowerLayer
    projector: Callable[[Tensor], Tensor]
    language: Any
    head: Any
    random_rows: bool = False  # behind the vocabulary's own


class Llava(ImageScorer):
    """One vision pass per frame, one pass of the prompt with the frame for all captions; see `ImageScorer`."""

    known_as = "llava"
    usual_checkpoint = "llava-hf/llava-1.5-13b-hf"
    question = f"{QUESTION} (or the checkpoint's own, with its template)"
    placeholder = PLACEHOLDER

    def images_as(self) -> str:
        return "padded to a square, bicubic, or as the checkpoint's preprocessor_config.json says"

    def build(self, folder: Path) -> None:
        kind, config = model_type(folder), read_json(folder / "config.json")
        if "mm_vision_tower" in config and kind in ("llava", "llava_llama"):
            self.parts = official(folder, config, self)
        elif kind == "llava":
            self.parts = transformers_layout(folder, self)
        else:
            raise ValueError(f"{folder}: is a {kind!r} checkpoint, not 'llava'")
        self.eye, self.language = self.parts.see, self.parts.language
        size = self.parts.see.tower.config.image_size
        self.questioner, self.to_pixels = questioner_of(folder), pixels_of(folder, size)
        rows = self.parts.head.out_features
        self.width = getattr(self.questioner, "vocabulary", rows) if self.parts.random_rows else rows
        self.placeholder = self.questioner.prefix()[-1]
        self.answers = self.questioner.answers

    def project(self, seen: Tensor) -> Tensor:
        return self.parts.projector(seen)

    def logits(self, hidden: Tensor) -> Tensor:
        return self.parts.head(hidden)[..., : self.width]

    def answer_scores(self, looked: list[Tensor], captions: Sequence[Sequence[str]]) -> list[Tensor]:
        before = self.questioner.prefix()
        media, asked, scores = [], [], []
        for frames, texts in zip(looked, captions, strict=True):
            ids = [*before[:-1], *before[-1:] * frames.shape[1]]
            questions = [self.ask_within(len(ids), caption) for caption in texts]
            media += [Media(ids, frame) for frame in frames]
            asked += [questions] * len(frames)
        step = max(1, self.at_once // max(map(len, captions)))
        for start in range(0, len(media), step):
            rows = slice(start, start + step)
            scores += score_answers(self, media[rows], asked[rows], self.measure, self.at_once)
        each, stacked = iter(scores), []
        for frames in looked:
            stacked.append(torch.stack([next(each) for _ in frames]))
        return stacked

    def ask_within(self, before: int, caption: str) -> Asked:
        """CaptionError: longer than the model takes."""
        asked = self.questioner.ask(caption)
        need, context = before + len(asked.ids) + 2, self.language.config.max_position_embeddings
        if need > context:
            raise CaptionError(
                f"caption {shown(caption)}: {need} tokens with its frame, the model takes {context}; shorten it"
            )
        return asked


def own_pixels(folder: Path) -> bool:
    path = folder / "preprocessor_config.json"
    return path.exists() and read_json(path).get("preprocess") == OWN_PIXELS


def pixels_of(folder: Path, size: int) -> Any:
    """VQAScore's preprocessing, or the checkpoint's own. ValueError: its size is not the tower's."""
    if not own_pixels(folder):
        return ImagePixels(size, pad=True)
    found = Preprocess.from_folder(folder)
    if found.size != size:
        raise ValueError(f"{folder}: preprocessor_config.json gives {found.size} pixels, the tower sees {size}")
    return found


def questioner_of(folder: Path) -> Any:
    """VQAScore's prompt, or the chat template of a checkpoint that stores a question of its own."""
    if (folder / "tokenizer.model").exists():
        pieces = SentencePiece(folder)
        return FramedQuestioner(pieces.encode, 1, ["<s>", "</s>", "<image>"], pieces.model.get_piece_size())
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if getattr(tokenizer, "init_kwargs", {}).get("question"):
        return Questioner(tokenizer, "image", QUESTION)

    def encode(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    special = [token for token in [*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()] if token]
    return FramedQuestioner(encode, tokenizer.bos_token_id or 1, special, tokenizer.vocab_size)


def transformers_layout(folder: Path, scorer: Llava) -> Parts:
    model = load_whole(folder, **scorer.how.placement())
    config, inner = model.config, model.model
    inner.vision_tower = one_of_equals(inner.vision_tower)
    drop = config.vision_feature_select_strategy == "default"
    see = TowerLayer(inner.vision_tower, config.vision_feature_layer, drop)
    return Parts(see, inner.multi_modal_projector, inner.language_model, model.lm_head, True)


def official(folder: Path, config: dict[str, Any], scorer: Llava) -> Parts:
    """liuhaotian's layout. ValueError: another projector; tensors as in `weights.check_names`."""
    if config.get("mm_projector_type", "mlp2x_gelu") != "mlp2x_gelu":
        raise ValueError(f"{folder}: mm_projector_type is {config['mm_projector_type']!r}; LLaVA-1.5's is 'mlp2x_gelu'")
    how, tensors = scorer.how, read_weights(folder)
    check_claims(config, tensors, str(folder))
    mine = {k: v for k, v in tensors.items() if not k.startswith(("model.vision_tower.", "model.mm_projector."))}
    language = load_llama(llama_config(config), mine, str(folder), how)
    inside = part(tensors, f"model.{INSIDE}")
    tower = one_of_equals(load_tower(inside, config, folder, how, scorer.knob("tower")))
    drop = config.get("mm_vision_select_feature", "patch") == "patch"
    projector = load_projector(part(tensors, "model.mm_projector."), f"{folder}: model.mm_projector", how)
    see = TowerLayer(tower, config.get("mm_vision_select_layer", -2), drop)
    return Parts(see, projector, language.model, language.lm_head)
