"""A contact sheet of ranked clips: one page, offline, sortable; frames, caption and scores of each."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

from synvita.core.decoder import Decoder
from synvita.core.frame_rules import FramePolicy
from synvita.core.store import write_atomic
from synvita.core.video_file import VideoError

FOLDER = Path(__file__).parent
FRAMES, HEIGHT, GAP = 4, 72, 2
MOST = 300  # clips with frames on a page, some 15 kB each


@dataclass(frozen=True)
class Card:
    """A row of the sheet. `values`: as many as the sheet has columns; None: no score. `strip`: a data: URI."""

    file: str
    caption: str
    values: list[float | None]
    kept: bool = False
    reason: str = ""
    strip: str = ""


def strip_of(path: Path, decoder: Decoder) -> str:
    """Four frames side by side as a JPEG in a data: URI; empty where the file cannot be read."""
    from PIL import Image

    try:
        frames = decoder.video(path, FramePolicy(FRAMES, "segment_middles")).frames
    except VideoError:
        return ""
    width = max(1, round(frames.shape[2] * HEIGHT / frames.shape[1]))
    small = [np.asarray(Image.fromarray(frame).resize((width, HEIGHT))) for frame in frames]
    white = np.full((HEIGHT, GAP, 3), 255, np.uint8)
    parts = [part for frame in small for part in (frame, white)]
    out = io.BytesIO()
    Image.fromarray(np.concatenate(parts[:-1], 1)).save(out, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def write_sheet(path: Path, title: str, columns: Sequence[str], cards: Sequence[Card], notes: Sequence[str]) -> None:
    """`cards` best first; those behind the first `MOST` are in the table only, and the page says so."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    shown = cards[:MOST]
    more = len(cards) - len(shown)
    text = environment.get_template("sheet.html.j2").render(
        title=title, columns=columns, cards=shown, more=more, total=len(cards), notes=notes, most=MOST
    )
    write_atomic(path, text)
