"""The Python API: how well do these captions fit this video?"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from synvita.core.alignment import alignment
from synvita.core.decoder import check_timeout
from synvita.core.video_file import VideoError
from synvita.videollm.models import load_model
from synvita.videollm.protocol import Loading, VideoLLM, dtype_of
from synvita.videollm.scoring import LONG_CAPTIONS, explain, score_each
from synvita.videollm.visual import VisualStore, check_limits


@dataclass(frozen=True)
class AlignmentScores:
    """alignment: (N,) fp32 in [0, 1], f of Eq. 1. log_odds: (N,) fp32, of Yes against No."""

    alignment: np.ndarray
    log_odds: np.ndarray


@dataclass(frozen=True)
class PairScore:
    """One pair's score; NaN with a `reason` where it could not be had."""

    video: str
    caption: str
    alignment: float
    log_odds: float
    reason: str | None = None


class Aligner:
    """A video LLM that is asked whether captions fit a video; the video is decoded, encoded and prefilled once."""

    def __init__(
        self,
        model: VideoLLM,
        cache: Path | None = None,
        decode_timeout: float = 60.0,
        long_captions: str = "error",
        cache_gb: float = 100.0,
    ):
        if long_captions not in LONG_CAPTIONS:
            raise ValueError(f"--long-captions: unknown {long_captions!r}; known: {', '.join(LONG_CAPTIONS)}")
        self.model, self.long_captions = model, long_captions
        self.store = VisualStore(model, cache, Path(), decode_timeout, cache_gb)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "mini-video-llava",
        adapter: str | Path | None = None,
        temporal_attention: bool | None = None,
        dtype: torch.dtype | str = torch.float32,
        device: str = "cpu",
        cache: Path | None = None,
        decode_timeout: float = 60.0,
        long_captions: str = "error",
        cache_gb: float = 100.0,
        **how: object,
    ) -> Aligner:
        """A shipped name, a folder or `owner/name`, and optionally a LoRA adapter that was trained on it.

        `how`: the other fields of `synvita.videollm.protocol.Loading` (tower, base, device_map, load_4bit, frames).
        """
        unknown = set(how) - set(Loading.__dataclass_fields__)
        if unknown:
            raise ValueError(f"{min(unknown)}: unknown argument; known: {', '.join(Loading.__dataclass_fields__)}")
        precision = dtype_of(dtype, "dtype") if isinstance(dtype, str) else dtype
        check_timeout(decode_timeout, "--decode-timeout")
        check_limits(cache_gb)
        loading = Loading(temporal_attention, precision, device, **how)  # type: ignore[arg-type]
        return cls(load_model(name, loading, adapter), cache, decode_timeout, long_captions, cache_gb)

    def score(self, video: str | Path, captions: str | Sequence[str]) -> AlignmentScores:
        """Scores of N captions, in the order given; one string is one caption.

        Raises:
            ValueError: no captions, one that is empty, no text or too long, an unreadable video (`VideoError`), a score
                that is not finite: each names its item.
        """
        captions = [captions] if isinstance(captions, str) else list(captions)
        if not captions:
            raise ValueError("captions: none given; give at least one")
        for number, caption in enumerate(captions):
            if not isinstance(caption, str):
                raise ValueError(f"captions[{number}]: {reprlib.repr(caption)} is not text")
        media = self.store.media([str(video)])
        found = score_each(self.model, media, [captions], self.long_captions)[0]
        reason = next((reason for _, reason in found if reason), None)
        if reason is not None:
            raise ValueError(reason)
        odds = torch.tensor([value for value, _ in found])
        return AlignmentScores(alignment(odds).numpy(), odds.numpy())

    def score_pairs(self, pairs: Iterable[tuple[str | Path, str]]) -> Iterator[PairScore]:
        """Scores of (video, caption) pairs, in the order given; neighbours with the same video share its prefix.

        A pair that cannot be scored comes back with its reason, and the others go on.
        """
        waiting: list[str] = []
        current: str | None = None
        for video, caption in pairs:
            if current is not None and str(video) != current:
                yield from self._score_all(current, waiting)
                waiting = []
            current = str(video)
            waiting.append(caption)
        if current is not None:
            yield from self._score_all(current, waiting)

    def _score_all(self, video: str, captions: list[str]) -> list[PairScore]:
        try:
            media = self.store.media([video])
        except VideoError as error:
            return [PairScore(video, caption, math.nan, math.nan, str(error)) for caption in captions]
        texts = [caption for caption in captions if isinstance(caption, str)]
        scores = iter(score_each(self.model, media, [texts], self.long_captions)[0])
        found: list[PairScore] = []
        for caption in captions:
            no_text = (math.nan, f"caption: {reprlib.repr(caption)} is not text")
            odds, reason = next(scores) if isinstance(caption, str) else no_text
            found.append(PairScore(video, caption, float(alignment(torch.tensor(odds))), odds, reason))
        return found

    def explain(self, video: str | Path, caption: str, limit: int = 128) -> str:
        """What is wrong with the caption, in the model's own words (VideoCon's NLE prompt); greedy decoding."""
        return explain(self.model, self.store.media([str(video)])[0], caption, limit)

    def close(self) -> None:
        """End the decoder's process."""
        self.store.close()
