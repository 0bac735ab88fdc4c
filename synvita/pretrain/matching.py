"""Chat models (Video-LLaVA, LLaVA) are taught which captions fit and what a clip shows, all of a clip in one pack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synvita.core.packing import Pack, Segment, pack
from synvita.core.pixels import Preprocess
from synvita.core.question import Questioner
from synvita.pretrain import models
from synvita.pretrain.scenes import Sample, as_stored
from synvita.videollm.packed import hidden_states
from synvita.world.render import FRAMES

CAPTIONING = "What happens in this {medium}?"


@dataclass
class Questions:
    """What is needed to ask about clips (all frames) or stills (one frame of each clip).

    frames: shown to the model at once. visual: their visual tokens. size: pixels a side that the tower sees.
    """

    questioner: Questioner
    placeholder: int
    frames: int
    visual: int
    size: int


@dataclass
class Batch:
    """What a step needs besides the model.

    pixels: (B * frames, 3, size, size). rows, columns: (N,), where a token is predicted. targets: (N,), the token
    behind it. answer: (N,), it belongs to an answer. decision: (N,), it is Yes or No.
    """

    pixels: Tensor
    pack: Pack
    rows: Tensor
    columns: Tensor
    targets: Tensor
    answer: Tensor
    decision: Tensor


def segments(ask: Questions, sample: Sample) -> tuple[list[Segment], list[int]]:
    """Root (visual) -> question -> its four captions; root -> captioning. Second: label per matching segment, length
    of the description."""
    asker, answers = ask.questioner, ask.questioner.answers
    asked = [asker.ask(c) for c in (*sample.positives, *sample.negatives)]
    root = [*asker.prefix()[:-1], *[ask.placeholder] * ask.visual]
    begin = min(a.caption[0] for a in asked)
    shared = asked[0].ids[:begin]
    labels = [answers.yes] * len(sample.positives) + [answers.no] * len(sample.negatives)
    rows = [Segment(root), Segment(shared, 0)]
    rows += [Segment([*a.ids[begin:], label], 1) for a, label in zip(asked, labels, strict=True)]
    describe = asker.render(CAPTIONING.format(medium=asker.medium))
    prompt = asker.tokens(describe)
    whole = asker.tokens(describe + " " + sample.said + "</s>")
    rows.append(Segment(whole[prompt.index(ask.placeholder) + 1 : -1], 0))
    return rows, [*labels, len(whole) - len(prompt)]


def one_each(samples: list[Sample], rng: np.random.Generator) -> np.ndarray:
    """A frame of each clip, drawn at random."""
    return np.stack([sample.frames[int(rng.integers(len(sample.frames)))] for sample in samples])


def prepare(ask: Questions, samples: list[Sample], rng: np.random.Generator) -> Batch:
    """Everything of a step that needs no model."""
    built = [segments(ask, sample) for sample in samples]
    packed = pack([rows for rows, _ in built])
    end = ask.questioner.answers.end
    rows: list[int] = []
    columns: list[int] = []
    targets: list[int] = []
    answer: list[bool] = []
    decision: list[bool] = []
    for b, (parts, labels) in enumerate(built):
        for s in range(2, len(parts)):
            start, ids = packed.starts[b][s], parts[s].ids
            last = start + len(ids) - 1
            if s < len(parts) - 1:  # matching: predict the answer, then its end
                columns += [last - 1, last]
                targets += [labels[s - 2], end]
                answer += [True, True]
                decision += [True, False]
            else:
                said = labels[-1]
                columns += range(last - said + 1, last + 1)
                targets += [*ids[len(ids) - said + 1 :], end]
                answer += [False] * said
                decision += [False] * said
            rows += [b] * (len(columns) - len(rows))
    frames = np.concatenate([sample.frames for sample in samples]) if ask.frames > 1 else one_each(samples, rng)
    pixels = Preprocess(size=ask.size)(as_stored(frames))
    return Batch(pixels, packed, *(torch.tensor(v) for v in (rows, columns, targets, answer, decision)))


class Chat:
    """A tiny chat model that learns; its tower is frozen, as LLaVA's is (without a tower's file, in tests, random)."""

    def __init__(self, name: str, tower: Path | None) -> None:
        medium = "video" if name == "video_llava" else "image"
        self.model, self.tokenizer = models.tiny_video_llava() if medium == "video" else models.tiny_llava()
        self.model.set_attn_implementation("eager")  # 1.4x faster here than SDPA, whose masked CPU backward is slow
        inner = self.model.model
        for part in (inner.video_tower, inner.image_tower) if medium == "video" else (inner.vision_tower,):
            models.give_tower(part, tower)
        placeholder = self.tokenizer.convert_tokens_to_ids(f"<{medium}>")
        frames = FRAMES if medium == "video" else 1
        questioner = Questioner(self.tokenizer, medium)
        self.ask = Questions(questioner, placeholder, frames, frames * models.TOKENS, models.SIDE)

    def prepare(self, samples: list[Sample], rng: np.random.Generator) -> Batch:
        return prepare(self.ask, samples, rng)

    def features(self, pixels: Tensor) -> Tensor:
        """(B * frames, 3, H, W) -> (B, V, width) projected visual tokens."""
        inner = self.model.model
        tower = inner.video_tower if hasattr(inner, "video_tower") else inner.vision_tower
        with torch.no_grad():
            seen = tower(pixels, output_hidden_states=True).hidden_states[self.model.config.vision_feature_layer]
        return inner.multi_modal_projector(seen).unflatten(0, (-1, self.ask.frames)).flatten(1, 2)

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """(answer loss, captioning loss, share of Yes/No answered rightly)."""
        device = self.model.lm_head.weight.device
        visual = self.features(batch.pixels.to(device)).flatten(0, 1)
        hidden = hidden_states(self.model.model.language_model, batch.pack, self.ask.placeholder, visual)
        target, answer, decision = (value.to(device) for value in (batch.targets, batch.answer, batch.decision))
        logits = self.model.lm_head(hidden[batch.rows.to(device), batch.columns.to(device)]).float()
        each = functional.cross_entropy(logits, target, reduction="none")
        right = (logits[decision].argmax(-1) == target[decision]).float().mean()
        return each[answer].mean(), each[~answer].mean(), right

    def save(self, folder: Path) -> None:
        models.save(self.model, self.tokenizer, folder)
