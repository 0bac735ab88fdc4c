"""The scorers on T5 are taught which captions fit a frame and what it shows; T5 reads the frame with each text anew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from synvita.pretrain.matching import one_each
from synvita.pretrain.models import SIDE, give_tower
from synvita.pretrain.scenes import Sample, as_stored
from synvita.pretrain.t5_models import (
    CAPTIONING,
    save_clip_flant5,
    save_instructblip,
    tiny_clip_flant5,
    tiny_instructblip,
)
from synvita.weigh.image_pixels import ImagePixels
from synvita.weigh.instructblip import InstructBlip
from synvita.weigh.vqa_prompts import QUESTION, framed

IGNORED = -100


@dataclass
class Rows:
    """A row is a text about a frame.

    pixels: (B, 3, S, S). frame: (R,), which one. text: (R, L), T5's ids behind what is seen, 0 = padding. read: (R, Q),
    what the Q-Former reads, 0 = padding. targets: (R, A), -100 = padding. answer: (R,), the row asks yes or no.
    """

    pixels: Tensor
    frame: Tensor
    text: Tensor
    read: Tensor
    targets: Tensor
    answer: Tensor


class TinyT5(ABC):
    """What both have in common: the rows of a batch and the losses of T5."""

    model: Any
    t5: Any
    tokenizer: Any
    question: str
    yes_no: tuple[str, str]
    to_pixels: ImagePixels

    @abstractmethod
    def text(self, question: str) -> tuple[list[int], list[int]]:
        """(T5's ids behind what is seen, what the Q-Former reads)."""

    @abstractmethod
    def seen(self, rows: Rows) -> Tensor:
        """What T5 sees in front of each row's text: (R, P, d_model)."""

    def prepare(self, samples: list[Sample], rng: np.random.Generator) -> Rows:
        asked: list[tuple[list[int], list[int]]] = []
        targets, answer = [], []
        for sample in samples:
            for word, captions in zip(self.yes_no, (sample.positives, sample.negatives), strict=True):
                asked += [self.text(self.question.replace("{caption}", caption)) for caption in captions]
                targets += [self.tokenizer(word)["input_ids"]] * len(captions)
            asked.append(self.text(CAPTIONING))
            targets.append(self.tokenizer(sample.said)["input_ids"])
            answer += [*[True] * (len(sample.positives) + len(sample.negatives)), False]
        each = len(asked) // len(samples)
        text, read = (pad_sequence([torch.tensor(ids) for ids in some], True) for some in zip(*asked, strict=True))
        wanted = pad_sequence([torch.tensor(ids) for ids in targets], True, IGNORED)
        frame = torch.arange(len(samples)).repeat_interleave(each)
        pixels = self.to_pixels(as_stored(one_each(samples, rng)))
        return Rows(pixels, frame, text, read, wanted, torch.tensor(answer))

    def losses(self, batch: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """(answer loss, captioning loss, share of yes/no answered rightly)."""
        device = self.t5.shared.weight.device
        rows = Rows(**{name: value.to(device) for name, value in vars(batch).items()})
        seen = self.seen(rows)
        words = self.t5.shared(rows.text)
        ones = torch.ones(seen.shape[:2], dtype=torch.long, device=device)
        start = torch.zeros_like(rows.targets[:, :1])
        given = torch.cat([start, rows.targets[:, :-1]], 1)
        logits = self.t5(
            inputs_embeds=torch.cat([seen.to(words.dtype), words], 1),
            attention_mask=torch.cat([ones, (rows.text != 0).long()], 1),
            decoder_input_ids=given.masked_fill(given == IGNORED, 0),
            use_cache=False,
        ).logits.float()
        each = functional.cross_entropy(logits.transpose(1, 2), rows.targets, ignore_index=IGNORED, reduction="none")
        counted = rows.targets != IGNORED
        answer = rows.answer[:, None] & counted
        right = (logits[rows.answer, 0].argmax(-1) == rows.targets[rows.answer, 0]).float().mean()
        return each[answer].mean(), each[~rows.answer[:, None] & counted].mean(), right


class TinyClipFlanT5(TinyT5):
    question, yes_no = QUESTION, ("Yes", "No")

    def __init__(self, name: str, tower: Path | None) -> None:
        self.model, self.tokenizer = tiny_clip_flant5()
        self.t5, self.to_pixels = self.model.t5, ImagePixels(SIDE, pad=True)
        give_tower(self.model.tower, tower)
        self.before = torch.tensor(self.tokenizer(framed("")[0])["input_ids"])

    def text(self, question: str) -> tuple[list[int], list[int]]:
        return self.tokenizer(framed("", question)[1])["input_ids"], []

    def seen(self, rows: Rows) -> Tensor:
        patches = self.model.projector(self.model.see(rows.pixels).detach())[rows.frame]
        before = self.t5.shared(self.before.to(patches.device)).expand(len(patches), -1, -1)
        return torch.cat([before, patches.to(before.dtype)], 1)

    def save(self, folder: Path) -> None:
        save_clip_flant5(self.model, self.tokenizer, folder)


class TinyInstructBlip(TinyT5):
    question, yes_no = InstructBlip.question, ("yes", "no")

    def __init__(self, name: str, tower: Path | None) -> None:
        self.model, self.tokenizer, self.reader = tiny_instructblip()
        self.t5, self.to_pixels = self.model.language_model, ImagePixels(SIDE, pad=False)
        give_tower(self.model.vision_model, tower)

    def text(self, question: str) -> tuple[list[int], list[int]]:
        return self.tokenizer(question)["input_ids"], self.reader(question)["input_ids"]

    def seen(self, rows: Rows) -> Tensor:
        with torch.no_grad():
            frames = self.model.vision_model(rows.pixels).last_hidden_state
        queries = self.model.query_tokens.expand(len(rows.frame), -1, -1)
        ones = torch.ones(queries.shape[:2], dtype=torch.long, device=queries.device)
        told = self.model.qformer(
            input_ids=rows.read,
            attention_mask=torch.cat([ones, (rows.read != 0).long()], 1),
            query_embeds=queries,
            encoder_hidden_states=frames[rows.frame],
        ).last_hidden_state
        return self.model.language_projection(told[:, : queries.shape[1]])

    def save(self, folder: Path) -> None:
        save_instructblip(self.model, self.tokenizer, self.reader, folder)
