"""InstructBLIP with FLAN-T5 as a VQA scorer of single frames, one of the paper's three.

Its Q-Former reads the question while it looks, so what T5 sees of a frame is different for every caption. Source: the
InstructBLIP of t2v_metrics 3.0 (`instructblip_model.py`), which runs LAVIS' `blip2_t5_instruct`. Read here are the same
weights in transformers' layout, where four settings of LAVIS are lost and put back: see `as_in_lavis`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from synvita.core.question import Answers, CaptionError, check_caption, shown
from synvita.core.reading import read_json
from synvita.videollm.claims import load_whole, stored_shapes
from synvita.videollm.scoring import LONG_CAPTIONS
from synvita.videollm.weights import holds_weights
from synvita.weigh import vqa_prompts
from synvita.weigh.image_pixels import ImagePixels
from synvita.weigh.image_scorer import ImageScorer
from synvita.weigh.t5 import answer_logits

LAYOUT = "Salesforce/instructblip-flan-t5-xxl or -xl (transformers' layout)"
LAVIS_NAMES = ("Qformer.", "visual_encoder.", "ln_vision.", "t5_proj.")
TOKENS = 128  # of the question, special tokens included; LAVIS' `max_txt_len`, for the Q-Former and for T5
T5_ROWS = 32_128  # of FLAN-T5's vocabulary
IMAGE = "<image>"
BLOCK_EPS, FINAL_EPS = 1e-6, 1e-5  # of the layer norms in EVA-CLIP's blocks, and of LAVIS' `ln_vision` behind them


class Pair(NamedTuple):
    """A frame and a caption. seen: (P, width). qformer, t5: (L,) token ids of the question, each by its tokenizer."""

    seen: Tensor
    qformer: Tensor
    t5: Tensor


class InstructBlip(ImageScorer):
    """A frame goes through the vision tower once, through Q-Former and T5 once per caption.

    long_captions: "error", or "truncate": the question loses tokens on its LEFT, as in LAVIS: "Question: Does this
    figure show" goes first, then the caption's start.
    """

    known_as = "instructblip"
    usual_checkpoint = "Salesforce/instructblip-flan-t5-xxl"
    question = f"Question: {vqa_prompts.QUESTION}"

    def __init__(
        self,
        checkpoint: str = "",
        device: str = "cpu",
        dtype: str | None = None,
        device_map: str | None = None,
        load_4bit: bool = False,
        frames: int = 4,
        rule: str = "whole_steps",
        quantity: str = "vqa_score",
        at_once: int = 32,
        long_captions: str = "error",
    ):
        if long_captions not in LONG_CAPTIONS:
            known = ", ".join(LONG_CAPTIONS)
            raise ValueError(f"{self.knob('long_captions')}: unknown {long_captions!r}; known: {known}")
        if only_lavis(Path(checkpoint)):
            raise ValueError(f"{self.knob('checkpoint')}: {checkpoint}: LAVIS' own files are not read; give {LAYOUT}")
        super().__init__(checkpoint, device, dtype, device_map, load_4bit, frames, rule, quantity, at_once=at_once)
        self.long_captions = long_captions

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"long_captions": self.long_captions}

    def images_as(self) -> str:
        return "short side, bicubic to the tower's size, centre crop"

    def build(self, folder: Path) -> None:
        """ValueError: another model or layout; T5's head is its embedding; no qformer_tokenizer/; the answers are no
        single tokens."""
        from transformers import AutoConfig

        refuse_others(folder)
        config = AutoConfig.from_pretrained(folder)
        as_in_lavis(config)
        self.model = load_whole(folder, config=config, **self.how.placement())
        self.model.vision_model.post_layernorm.eps = FINAL_EPS
        self.t5 = self.model.language_model
        if self.t5.lm_head.weight is self.t5.shared.weight:
            raise ValueError(
                f"{folder}: has no head of its own (language_model.lm_head.weight), FLAN-T5 has; give {LAYOUT}"
            )
        size = config.vision_config.image_size
        if not isinstance(size, int):
            raise ValueError(f"{folder}/config.json: vision_config.image_size: {size!r} is not one number")
        self.to_pixels, self.eye = ImagePixels(size, pad=False), self.see
        self.read_tokenizers(folder)

    def read_tokenizers(self, folder: Path) -> None:
        if not (folder / "qformer_tokenizer").is_dir():
            raise ValueError(f"{folder}: no qformer_tokenizer/ beside the weights; fetch it again, or give {LAYOUT}")
        self.qformer_tokenizer, self.t5_tokenizer = tokenizer_of(folder / "qformer_tokenizer"), tokenizer_of(folder)
        both = (self.qformer_tokenizer, self.t5_tokenizer)
        self.special = [token for one in both for token in (*one.all_special_tokens, *one.get_added_vocab()) if token]
        self.answers = answers_of(self.t5_tokenizer)
        rows = self.t5.lm_head.weight.shape[0]
        self.width = vocabulary(rows, self.t5_tokenizer.get_vocab().get(IMAGE))

    def see(self, pixels: Tensor) -> Tensor:
        """The class token stays: (T, 1 + patches, width)."""
        at = self.model.vision_model.embeddings.patch_embedding.weight
        return self.model.vision_model(pixels.to(at.device, at.dtype)).last_hidden_state

    def answer_scores(self, looked: list[Tensor], captions: Sequence[Sequence[str]]) -> list[Tensor]:
        asked = [[self.ask(caption) for caption in some] for some in captions]
        # The frames of one caption side by side: what is in one pass is of nearly one length.
        pairs = [Pair(seen, *ids) for clip, some in zip(looked, asked, strict=True) for ids in some for seen in clip]
        found = torch.cat([self.measure(self.logits(some)) for some in at_most(pairs, self.at_once)])
        parts = found.split([len(clip) * len(some) for clip, some in zip(looked, asked, strict=True)])
        return [part.view(-1, len(clip)).T for part, clip in zip(parts, looked, strict=True)]

    def ask(self, caption: str) -> tuple[Tensor, Tensor]:
        """Token ids of the question about a caption, for the Q-Former ([CLS] ... [SEP]) and for T5 (... </s>).

        Raises:
            ValueError: an empty caption, or one with a special token; too long, and `long_captions` is "error".
        """
        check_caption(caption, self.special)
        text = self.question.replace("{caption}", caption)
        both = (self.qformer_tokenizer, self.t5_tokenizer)
        found = [one(text)["input_ids"] for one in both]
        if max(map(len, found)) > TOKENS:
            if self.long_captions == "error":
                counts = f"{len(found[0])} tokens for the Q-Former, {len(found[1])} for T5"
                raise CaptionError(
                    f"caption {shown(caption)}: with the question {counts}; each takes {TOKENS}; "
                    f"shorten it or give {self.knob('long_captions')} truncate"
                )
            found = [one(text, truncation=True, max_length=TOKENS)["input_ids"] for one in both]
        return torch.tensor(found[0]), torch.tensor(found[1])

    def logits(self, pairs: Sequence[Pair]) -> Tensor:
        """(pairs, 2, vocabulary) fp32, at the answer and its end."""
        assert self.answers is not None
        embed = self.t5.shared
        words = [embed(pair.t5.to(embed.weight.device)) for pair in pairs]
        queries = self.queries(pairs).to(words[0])
        rows = [torch.cat([some, text]) for some, text in zip(queries, words, strict=True)]
        answer = torch.tensor([self.answers.yes, self.answers.end], device=words[0].device)
        return answer_logits(self.t5, rows, answer, self.width, self.at_once)

    def queries(self, pairs: Sequence[Pair]) -> Tensor:
        """What the Q-Former tells T5 of each frame, asked its question: (pairs, queries, T5's width)."""
        seen = torch.stack([pair.seen for pair in pairs])
        text = pad_sequence([pair.qformer for pair in pairs], batch_first=True).to(seen.device)
        lengths = torch.tensor([len(pair.qformer) for pair in pairs], device=seen.device)
        queries = self.model.query_tokens.to(seen.device).expand(len(pairs), -1, -1)
        count = queries.shape[1]
        places = torch.arange(count + text.shape[1], device=seen.device)
        found = self.model.qformer(
            input_ids=text,
            attention_mask=(places < count + lengths[:, None]).long(),
            query_embeds=queries,
            encoder_hidden_states=seen,
        ).last_hidden_state
        return self.model.language_projection(found[:, :count])


def only_lavis(path: Path) -> bool:
    """A .pth file, or a folder with nothing else that could be weights."""
    if path.is_dir():
        return any(path.glob("*.pth")) and not holds_weights(path)
    return path.suffix == ".pth"


def refuse_others(folder: Path) -> None:
    """ValueError: not InstructBLIP in transformers' layout, or not on T5."""
    stored = read_json(folder / "config.json")
    lavis = next((name for name in stored_shapes(folder) if name.startswith(LAVIS_NAMES)), None)
    if lavis is not None:
        raise ValueError(f"{folder}: its tensors have LAVIS' names ({lavis}), which are not read; give {LAYOUT}")
    kind = stored.get("model_type")
    if kind != "instructblip":
        raise ValueError(f"{folder}: is a {kind!r} checkpoint, not 'instructblip'; give {LAYOUT}")
    text = stored.get("text_config")
    language = text.get("model_type") if isinstance(text, dict) else None
    if language != "t5":
        raise ValueError(f"{folder}: its language model is a {language!r}, this scorer asks FLAN-T5; give {LAYOUT}")


def as_in_lavis(config: Any) -> None:
    """Settings that the original has and a config.json in transformers' layout may lack or contradict, before building.

    T5's GELU is exact where `feed_forward_proj` alone means the one by tanh; its head is not scaled, being no copy of
    the embedding (T5Config calls every T5 tied); the vision blocks' eps. The final vision norm's own eps is no
    setting there: `build` sets it.
    """
    config.text_config.dense_act_fn = "gelu"
    config.text_config.scale_decoder_outputs = False
    config.vision_config.layer_norm_eps = BLOCK_EPS


def tokenizer_of(folder: Path) -> Any:
    """As stored, whatever class its config names (the official T5's goes by another model's); cuts on the left."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    kind = PreTrainedTokenizerFast if (folder / "tokenizer.json").exists() else AutoTokenizer
    return kind.from_pretrained(folder, truncation_side="left")


def answers_of(tokenizer: Any) -> Answers:
    """Lower-case "yes" and "no", which LAVIS' InstructBLIP was trained on.

    Raises:
        ValueError: one of them is not one token and T5's end.
    """
    found = []
    for word in ("yes", "no"):
        ids = tokenizer(word)["input_ids"]
        if len(ids) != 2 or ids[1] != tokenizer.eos_token_id or ids[0] == tokenizer.unk_token_id:
            raise ValueError(
                f"answer {word!r}: expected one token and the end, got ids {ids}; take FLAN-T5's tokenizer"
            )
        found.append(ids[0])
    return Answers(found[0], found[1], tokenizer.eos_token_id)


def vocabulary(rows: int, image: int | None) -> int:
    """How many rows of T5's head the softmax runs over: FLAN-T5's own.

    Those are 32,128, also where a table was made longer for transformers' `<image>`, whose id is often one of the
    spare 28 at their end. A shorter table, of a test model, ends before `<image>`.
    """
    if rows >= T5_ROWS:
        return T5_ROWS
    return rows if image is None else min(rows, image)


def at_most(pairs: list[Pair], count: int) -> Iterator[list[Pair]]:
    for start in range(0, len(pairs), count):
        yield pairs[start : start + count]
