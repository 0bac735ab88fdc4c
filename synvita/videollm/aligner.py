"""The Python API: how well do these captions fit this video?"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from synvita.core import arguments
from synvita.core.alignment import alignment
from synvita.core.decoder import check_timeout
from synvita.core.video_file import VideoError
from synvita.videollm.given_frames import WAY_OUT, Video, check_frames, look_at, same_video
from synvita.videollm.models import load_model
from synvita.videollm.protocol import Features, Loading, VideoLLM, check_device, dtype_of
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


VIDEOS_AT_ONCE = 8  # of a list, in one pass of the language model


class Aligner:
    """A video LLM that is asked whether captions fit a video; the video is decoded, encoded and prefilled once.

    Args:
        model: a loaded video LLM; `Aligner.from_pretrained` loads one by name.
        cache, decode_timeout, long_captions, cache_gb: as of `from_pretrained`.
    """

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
        self.name, self.adapter, self.loading = type(model).__name__, cast(Path | None, None), Loading()
        self.store = VisualStore(model, cache, Path(), decode_timeout, cache_gb)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "mini-video-llava",
        adapter: str | Path | None = None,
        temporal_attention: bool | None = None,
        dtype: torch.dtype | str = torch.float32,
        device: str = "cpu",
        cache: str | Path | None = None,
        decode_timeout: float = 60.0,
        long_captions: str = "error",
        cache_gb: float = 100.0,
        **how: Any,
    ) -> Aligner:
        """A shipped name, a folder or `owner/name`, and optionally a LoRA adapter that was trained on it.

        Args:
            name: the base model (default: a tiny one that is shipped and knows coloured shapes only); also
                "module:Class" of one's own.
            adapter: a folder with a LoRA adapter of that model, in peft's or VideoCon's format (default: none).
            temporal_attention: False for Video-LLaVA models in transformers' layout, which have none (default: None,
                the model must say itself).
            dtype: of the weights: "float32" (default), "bfloat16", "float16"; scores are fp32 always.
            device: "cpu" (default), "cuda", "cuda:1", "mps".
            cache: a folder that keeps visual features for the next time (default: none).
            decode_timeout: seconds until the decoder of one video is killed (default 60).
            long_captions: "error" (default) or "truncate", where a caption does not fit the model's context.
            cache_gb: most that the cache may take, in GB (default 100).
            how: further fields of `synvita.videollm.protocol.Loading`: `device_map` ("auto": over all devices),
                `load_4bit` (False), `tower` and `base` (parts that a checkpoint lacks), `frames` (per video; 0 = the
                model's own rule).
        Raises:
            ValueError: an argument that cannot be, by its name. MemoryError: too large for this machine.
        """
        unknown = set(how) - set(Loading.__dataclass_fields__)
        if unknown:
            raise ValueError(f"{min(unknown)}: unknown argument; known: {', '.join(Loading.__dataclass_fields__)}")
        model = arguments.path("name", name, "a shipped name, a folder, or owner/name on the hub")
        folder = None if adapter is None else arguments.path("adapter", adapter, "a folder with a LoRA adapter")
        kept = None if cache is None else arguments.path("cache", cache, "a folder for visual features")
        if temporal_attention is not None:
            arguments.flag("temporal_attention", temporal_attention)
        for key in ("load_4bit", "training_prompt"):
            arguments.flag(key, how.get(key, False))
        for key in ("tower", "base"):
            if how.get(key) is not None:
                how[key] = str(arguments.path(key, how[key], "a folder, or owner/name on the hub"))
        place = arguments.text("device", str(device) if isinstance(device, torch.device) else device, "'cpu' or 'cuda'")
        if not isinstance(dtype, (str, torch.dtype)):
            raise arguments.refuse("dtype", dtype, "'float32', 'bfloat16' or 'float16'")
        precision = dtype_of(dtype, "dtype") if isinstance(dtype, str) else dtype
        check_timeout(decode_timeout, "--decode-timeout")
        if isinstance(cache_gb, bool) or not isinstance(cache_gb, (int, float)):
            raise arguments.refuse("cache_gb", cache_gb, "a number of gigabytes")
        check_limits(cache_gb)
        loading = Loading(temporal_attention, precision, place, **how)
        loaded = load_model(name, loading, folder)
        made = cls(loaded, kept, decode_timeout, long_captions, cache_gb)
        made.name, made.adapter, made.loading = str(model), folder, loading
        return made

    def __repr__(self) -> str:
        weights = next(iter(self.model.language.parameters()))
        dtype = str(weights.dtype).removeprefix("torch.")
        adapter = None if self.adapter is None else str(self.adapter)
        return f"Aligner(model={self.name!r}, adapter={adapter!r}, dtype={dtype!r}, device={str(weights.device)!r})"

    def to(self, device: str | torch.device) -> Aligner:
        """Move the model; returns itself. `device`: "cpu", "cuda", "cuda:1", "mps".

        ValueError: this machine has no such device; a model in 4 bits or spread over devices stays where it is.
        """
        place = str(device) if isinstance(device, (str, torch.device)) else ""
        check_device(arguments.text("device", place or device, "'cpu', 'cuda', 'cuda:1' or 'mps'"), "device")
        move(self.model, place)
        return self

    def score(
        self, video: Video | Sequence[Video], captions: str | Sequence[str], fps: float | None = None
    ) -> AlignmentScores:
        """Scores of N captions, in the order given; one string is one caption.

        Args:
            video: a file, or its frames as a (T, H, W, 3) uint8 array, RGB; or a list of V of these.
            captions: a text, or a list of N; every one is asked of every video.
            fps: frames per second of arrays (default: not known); needed where the model samples by the second.
        Returns:
            (N,) scores, of a list of videos (V, N).
        Raises:
            ValueError: no captions, one that is empty, no text or too long, an unreadable video (`VideoError`), a score
                that is not finite: each names its item.
        """
        texts = arguments.captions("captions", captions)
        one = not isinstance(video, (list, tuple))
        if one and not isinstance(video, (str, Path, np.ndarray)):
            raise arguments.refuse("video", video, f"{WAY_OUT}, or a list of these")
        several: Sequence[Any] = video if isinstance(video, (list, tuple)) else [video]
        if not several:
            raise ValueError(f"video: an empty list given; give {WAY_OUT}")
        rows: list[Tensor] = []
        for first in range(0, len(several), VIDEOS_AT_ONCE):
            some = list(enumerate(several))[first : first + VIDEOS_AT_ONCE]
            features = [self.features(item, "video" if one else f"video[{number}]", fps) for number, item in some]
            media = self.model.media(features)
            for scores in score_each(self.model, media, [texts] * len(media), self.long_captions):
                reason = next((reason for _, reason in scores if reason), None)
                if reason is not None:
                    raise ValueError(reason)
                rows.append(torch.tensor([value for value, _ in scores]))
        odds = rows[0] if one else torch.stack(rows)
        return AlignmentScores(alignment(odds).numpy(), odds.numpy())

    def features(self, video: Video, name: str = "video", fps: float | None = None) -> Features:
        """What the frozen part of the model makes of a file, or of frames that are there already.

        ValueError: neither; a model that samples by the second and no `fps`. VideoError: an unreadable file.
        """
        if isinstance(video, (str, Path)):
            return self.store.features(str(video))
        return look_at(self.model, check_frames(name, video), fps)

    def score_pairs(self, pairs: Iterable[tuple[Video, str]], fps: float | None = None) -> Iterator[PairScore]:
        """Scores of (video, caption) pairs, in the order given; neighbours with the same video share its prefix.

        A pair that cannot be scored comes back with its reason, and the others go on. `fps`: as of `score`.
        """
        waiting: list[str] = []
        current: Video | None = None
        for video, caption in pairs:
            if current is not None and not same_video(video, current):
                yield from self._score_all(current, waiting, fps)
                waiting = []
            current = video
            waiting.append(caption)
        if current is not None:
            yield from self._score_all(current, waiting, fps)

    def _score_all(self, video: Video, captions: list[str], fps: float | None) -> list[PairScore]:
        name = "frames" if isinstance(video, np.ndarray) else str(video)
        try:
            media = self.model.media([self.features(video, "video", fps)])
        except VideoError as error:
            return [PairScore(name, caption, math.nan, math.nan, str(error)) for caption in captions]
        texts = [caption for caption in captions if isinstance(caption, str)]
        scores = iter(score_each(self.model, media, [texts], self.long_captions)[0])
        found: list[PairScore] = []
        for caption in captions:
            no_text = (math.nan, f"caption: {reprlib.repr(caption)} is not text")
            odds, reason = next(scores) if isinstance(caption, str) else no_text
            found.append(PairScore(name, caption, float(alignment(torch.tensor(odds))), odds, reason))
        return found

    def explain(self, video: Video, caption: str, limit: int = 128, fps: float | None = None) -> str:
        """What is wrong with the caption, in the model's own words (VideoCon's NLE prompt); greedy decoding.

        `limit`: most tokens (default 128). `fps`: as of `score`.
        """
        arguments.text("caption", caption, "a caption")
        media = self.model.media([self.features(video, "video", fps)])[0]
        return explain(self.model, media, caption, arguments.whole("limit", limit))

    def close(self) -> None:
        """End the decoder's process."""
        self.store.close()

    def __enter__(self) -> Aligner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def move(model: VideoLLM, device: str) -> None:
    """ValueError: the model cannot be moved: in 4 bits, spread over devices, or one's own without `to`."""
    parts = list(model.modules()) if isinstance(model, torch.nn.Module) else []
    spread = any(len(getattr(part, "hf_device_map", None) or ()) > 1 for part in parts)
    if not parts or spread or getattr(model.language, "is_quantized", False):
        raise ValueError(f"device: {type(model).__name__} cannot be moved as it is loaded; load it anew on {device}")
    parts[0].to(device)
