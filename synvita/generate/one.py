"""One clip of one caption into a file."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from synvita.core.backends import Part
from synvita.core.write_video import write_video
from synvita.generate.generator import ask, load_generator, named
from synvita.generate.look import is_black


def make_one(part: Part, caption: str, seed: int, path: Path) -> float:
    """Returns how many seconds the generator took, its loading included.

    Raises:
        ValueError: an empty caption, a file that is there, a generator that needs more than a caption; a black clip.
    """
    if not caption.strip():
        raise ValueError("the caption is empty; give it words")
    if path.suffix != ".mp4" or path.exists():
        raise ValueError(f"--out: {path} {'is there already' if path.exists() else 'is no .mp4'}; give another name")
    generator = load_generator(part)
    if hasattr(generator, "settings"):
        raise ValueError(f"{part.knob}: {part.use} needs a triplet, not only a caption; use synvita generate")
    told, start = generator.describe(), time.monotonic()
    with named(part):
        for text, why in (generator.too_long([caption]) if hasattr(generator, "too_long") else {}).items():
            sys.stderr.write(f"note: {text!r}: {why}\n")
        if callable(getattr(generator, "load", None)):
            generator.load()
    (video,) = ask(generator, [caption], [seed], [{}])
    if is_black(video):
        raise ValueError(f"--seed {seed}: the clip is black, or its numbers were none (NaN); try another, or float32")
    write_video(path, video, told["fps"], told.get("upscale", 1))
    return time.monotonic() - start
