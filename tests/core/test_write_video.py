"""Written videos: colours that come back, the same bytes each time, the whole file or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from video_files import numbered

from synvita.core import write_video as module
from synvita.core.video import sample_frames
from synvita.core.write_video import write_video
from synvita.world.render import render
from synvita.world.scenes import draw_scene


def scenes(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    looks = ("real", "synthetic")
    return [render(draw_scene(rng, ("events", "near")[i % 2]), looks[i // 2 % 2], rng) for i in range(count)]


def round_trip_error(folder: Path, upscale: int) -> tuple[float, float]:
    """(mean, max) absolute error of 0-255 over tiny clips, each block of repeated pixels averaged back."""
    errors = []
    for number, frames in enumerate(scenes(12)):
        path = folder / f"{number}x{upscale}.mp4"
        write_video(path, frames, 8, upscale)
        count, height, width, _ = frames.shape
        back = sample_frames(path, count).reshape(count, height, upscale, width, upscale, 3).mean((2, 4))
        errors.append(np.abs(back - frames))
    return float(np.mean(errors)), float(np.max(errors))


def test_repeated_pixels_keep_their_colours(tmp_path: Path) -> None:
    """Measured: upscale 2: mean 1.4, max 15; upscale 1: mean 4.6, max 126."""
    mean, worst = round_trip_error(tmp_path, 2)
    assert mean < 1.8 and worst < 24
    plain_mean, plain_worst = round_trip_error(tmp_path, 1)
    assert plain_mean > 2 * mean and plain_worst > 2 * worst


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    frames = scenes(1)[0]
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, frames, 8, 2)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data == (tmp_path / "b.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # a browser can start before it has all


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(pixels: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "to_yuv420", cut)
    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "new" / "x.mp4", numbered(4), 8)
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    ("shape", "fps", "upscale", "reason"),
    [
        ((2, 5, 4, 3), 8, 1, "even sides, got 4x5; set upscale=2"),
        ((0, 4, 4, 3), 8, 1, "T >= 1"),
        ((2, 4, 4, 3), 0, 1, "fps=0"),
        ((4, 4, 3), 8, 1, "T, H, W, 3"),
    ],
)
def test_frames_that_cannot_be_written_say_why(
    tmp_path: Path, shape: tuple[int, ...], fps: int, upscale: int, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        write_video(tmp_path / "x.mp4", np.zeros(shape, np.uint8), fps, upscale)
