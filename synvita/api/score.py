"""`synvita.score`: how well captions fit videos, as records or a data frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synvita.api.pairs import Pairs, score_table
from synvita.core import arguments
from synvita.core.data_frames import as_asked, check_frame
from synvita.videollm.aligner import Aligner
from synvita.videollm.given_frames import WAY_OUT, Video, check_frames

TABLES = (".csv", ".jsonl", ".parquet")


def score(
    videos: Video | Sequence[Video],
    captions: str | Sequence[str] | None = None,
    model: str | Path | Aligner = "mini-video-llava",
    adapter: str | Path | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    *,
    fps: float | None = None,
    folder: str | Path | None = None,
    out: str | Path | None = None,
    as_frame: bool = False,
    **how: Any,
) -> Any:
    """How well do these captions fit these videos? Every caption is asked of every video; or a table's own pairs.

    Args:
        videos: a file, or frames as a (T, H, W, 3) uint8 array, RGB; or a list of these. Without `captions`: a table
            (CSV, JSONL, Parquet) with the columns video, caption.
        captions: a text, or a list.
        model: a shipped name (default: a tiny one that knows coloured shapes only), a folder, `owner/name` on the hub,
            or an `Aligner` that is loaded already; then `adapter`, `device`, `dtype` and `how` are its own.
        adapter: a folder with a LoRA adapter of that model (default: none).
        device: "cpu" (default), "cuda", "cuda:1", "mps". dtype: "float32" (default), "bfloat16", "float16".
        fps: frames per second of arrays (default: not known); needed where the model samples by the second.
        folder: videos of a table are relative to it (default: the table's own folder).
        out: of a table: a JSONL file that keeps the scores, so that the next call goes on where this one was
            (default: none is kept).
        as_frame: a pandas.DataFrame instead of records (default False).
        how: as of `Aligner.from_pretrained`.
    Returns:
        A record per pair, videos first, captions within: video, caption, alignment in [0, 1] (Eq. 1), log_odds (Yes
        against No), reason (None; or why there is no score, and both numbers are None).
    Raises:
        ValueError: an argument of a wrong type, by its name; as `Aligner.from_pretrained`.
    """
    check_frame(as_frame)
    table = Pairs(*table_of(videos, folder, out)) if captions is None else None
    if table is None and (folder is not None or out is not None):
        raise ValueError(f"{'folder' if folder is not None else 'out'}: is for a table of pairs; leave it out")
    pairs = [] if captions is None else every_pair(videos, arguments.captions("captions", captions))
    if isinstance(model, Aligner) and (adapter is not None or how):
        raise ValueError(f"{'adapter' if adapter is not None else min(how)}: the Aligner has its own; leave it out")
    aligner = model if isinstance(model, Aligner) else loaded(model, adapter, device, dtype, how)
    try:
        if table is not None:
            found = [named(line, line["video"]) for line in score_table(aligner, table).lines]
        else:
            scores = aligner.score_pairs(((video, caption) for _, video, caption in pairs), fps)
            found = [named(vars(one), name) for (name, _, _), one in zip(pairs, scores, strict=True)]
    finally:
        if aligner is not model:
            aligner.close()
    return as_asked(found, as_frame)


def loaded(model: Any, adapter: Any, device: Any, dtype: Any, how: dict[str, Any]) -> Aligner:
    name = arguments.path("model", model, "a shipped name, a folder, owner/name on the hub, or an Aligner")
    return Aligner.from_pretrained(name, adapter, dtype=dtype, device=device, **how)


def table_of(videos: Any, folder: Any, out: Any) -> tuple[Path, Path | None, Path | None]:
    """ValueError: captions are missing, and what is there is no table."""
    if not isinstance(videos, (str, Path)) or Path(videos).suffix.lower() not in TABLES:
        raise arguments.refuse(
            "captions", None, "the captions of the videos, or a table (.csv, .jsonl, .parquet) alone"
        )
    places = (None if one is None else arguments.path(name, one) for name, one in (("folder", folder), ("out", out)))
    return Path(videos), *places  # type: ignore[return-value]


def every_pair(videos: Any, captions: list[str]) -> list[tuple[str, Any, str]]:
    """(the video's name in the records, the video, a caption)."""
    several = list(videos) if isinstance(videos, (list, tuple)) else [videos]
    if not several:
        raise ValueError(f"videos: an empty list given; give {WAY_OUT}")
    found = []
    for number, video in enumerate(several):
        name = f"videos[{number}]" if isinstance(videos, (list, tuple)) else "videos"
        if isinstance(video, np.ndarray):
            check_frames(name, video)
        else:
            arguments.path(name, video, WAY_OUT)
        shown = name if isinstance(video, np.ndarray) else str(video)
        found += [(shown, video, caption) for caption in captions]
    return found


def named(one: dict[str, Any], video: str) -> dict[str, Any]:
    """A record of every route: the same keys, None where there is no number."""
    reason = one.get("reason")
    numbers = {key: None if reason is not None else float(one[key]) for key in ("alignment", "log_odds")}
    return {"video": video, "caption": one["caption"], **numbers, "reason": reason}
