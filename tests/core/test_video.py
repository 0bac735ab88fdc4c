"""Video files: every container and codec gives the frames asked for; every broken file is named."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from synvita.core import video
from synvita.core.decoder import Decoder
from synvita.core.video import (
    FramePolicy,
    VideoError,
    read_frames,
    sample_frames,
    sample_video,
    uniform_indices,
    write_video,
)
from synvita.world.render import render
from synvita.world.scenes import draw_scene

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "frame_indices.json").read_text())
CASES = [
    (rule, int(name.rsplit("_", 1)[1]), int(n), expected)
    for name, by_length in GOLDEN.items()
    for rule in ["both_ends" if name.startswith("video_llava") else "segment_middles_rounded"]
    for n, expected in by_length.items()
]


def numbered(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames whose grey says their number: 8 levels in each of two halves, far apart enough for any codec."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    for i in range(count):
        frames[i, :, : width // 2] = 16 + 28 * (i % 8)
        frames[i, :, width // 2 :] = 16 + 28 * (i // 8 % 8)
    return frames


def numbers(frames: np.ndarray) -> list[int]:
    """The inverse of `numbered`."""
    half = frames.shape[2] // 2
    low, high = frames[:, :, : half - 4].mean((1, 2, 3)), frames[:, :, half + 4 :].mean((1, 2, 3))
    return [int(8 * round((b - 16) / 28) + round((a - 16) / 28)) for a, b in zip(low, high, strict=True)]


def encode(
    path: Path,
    frames: np.ndarray,
    codec: str,
    times: list[int] | None = None,
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    container_options: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w", options=container_options or {}) as out:
        stream: Any = out.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.codec_context.thread_count = pix_fmt, 1
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts = times[number] if times else number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def encode_groups(path: Path, **kwargs: Any) -> Path:
    """60 noisy frames, B-frames, a key frame each 12: wrong references would show."""
    noise = np.random.default_rng(0).integers(0, 60, (60, 48, 64, 3), dtype=np.uint8)
    options = {"g": "12", "bf": "3", "x264-params": "scenecut=0:b-adapt=0:" + kwargs.pop("params", "open-gop=0")}
    return encode(path, numbered(60) // 2 + noise, "libx264", options=options, **kwargs)


# ---- indices


@pytest.mark.parametrize(("rule", "k", "n", "expected"), CASES)
def test_indices_equal_the_official_ones(rule: str, k: int, n: int, expected: list[int]) -> None:
    assert uniform_indices(n, k, rule) == expected


BY_HAND = [  # n, k, {rule: indices}; in the first case no two agree
    (8, 4, {"both_ends": [0, 2, 4, 7], "both_ends_rounded": [0, 2, 5, 7], "segment_starts": [0, 2, 4, 6],
            "segment_middles": [1, 3, 5, 7], "segment_middles_rounded": [0, 2, 4, 5]}),
    (7, 3, {"both_ends": [0, 3, 6], "both_ends_rounded": [0, 3, 6], "segment_starts": [0, 2, 4],
            "segment_middles": [1, 3, 5], "segment_middles_rounded": [1, 3, 5]}),
    (6, 3, {"both_ends": [0, 2, 5], "both_ends_rounded": [0, 2, 5]}),  # 2.5: half to even
    (8, 3, {"both_ends": [0, 3, 7], "both_ends_rounded": [0, 4, 7]}),  # 3.5
    (11, 4, {"segment_middles_rounded": [1, 3, 6, 9]}),  # 1 + 0, 2.5, 5, 7.5
    (2, 4, {"both_ends": [0, 0, 0, 1], "both_ends_rounded": [0, 0, 1, 1], "segment_starts": [0, 0, 1, 1],
            "segment_middles": [0, 0, 1, 1], "segment_middles_rounded": [0, 0, 0, 1]}),
    (5, 1, {"both_ends": [0], "both_ends_rounded": [0], "segment_starts": [0],
            "segment_middles": [2], "segment_middles_rounded": [2]}),
]  # fmt: skip


@pytest.mark.parametrize(("n", "k", "expected"), BY_HAND)
def test_each_rule_gives_the_indices_found_by_hand(n: int, k: int, expected: dict[str, list[int]]) -> None:
    assert {rule: uniform_indices(n, k, rule) for rule in expected} == expected


@pytest.mark.parametrize(
    ("count", "fps", "most", "total", "rate", "expected"),
    [
        (0, 1, 4, 30, 10.0, [0, 14, 29]),  # 3 seconds, a frame each
        (0, 1, 4, 60, 10.0, [0, 19, 39, 59]),  # 6 seconds less two are not over 4
        (0, 1, 4, 61, 10.0, [10, 23, 37, 51]),  # 6.1 are: without the first and the last second
        (0, 1, 4, 100, 10.0, [10, 36, 63, 90]),
        (0, 1, 8, 36, 10.0, [0, 11, 23, 35]),  # 3.6 seconds are rounded to 4 frames
        (0, 4, 8, 2, 1.0, [0, 1]),  # 8 frames wanted of 2: none twice
        (0, 1, 8, 48, 0.0, [0, 47]),  # no rate: 24 a second
        (3, 1, 64, 50, 10.0, [0, 24, 49]),  # a number asked for stands for `most`
        (3, 1, 64, 60, 10.0, [10, 30, 50]),
        (4, 1, 64, 2, 1.0, [0, 0, 0, 1]),  # and is kept
    ],
)
def test_long_videos_lose_their_first_and_last_second_by_the_trimmed_rule(
    count: int, fps: float, most: int, total: int, rate: float, expected: list[int]
) -> None:
    assert FramePolicy(count, "both_ends_trimmed", fps=fps, most=most).indices(total, rate) == expected


def test_an_unknown_rule_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'middle'; known: both_ends, both_ends_rounded"):
        uniform_indices(8, 4, "middle")


@pytest.mark.parametrize(("n", "k"), [(0, 4), (4, 0)])
def test_no_frames_have_no_indices(n: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"n={n}, k={k}"):
        uniform_indices(n, k)


# ---- formats


@pytest.mark.parametrize(
    ("name", "codec", "options", "pix_fmt"),
    [
        ("h264.mp4", "libx264", {"g": "10", "bf": "2"}, "yuv420p"),
        ("h264.mkv", "libx264", {"g": "10", "bf": "2"}, "yuv420p"),
        ("h264.ts", "libx264", {"g": "10", "bf": "2"}, "yuv420p"),
        ("h264_10bit.mp4", "libx264", {"g": "10"}, "yuv420p10le"),
        ("hevc_10bit.mp4", "libx265", {"x265-params": "log-level=none:keyint=10:pools=none"}, "yuv420p10le"),
        ("vp9.webm", "libvpx-vp9", {"g": "10", "deadline": "realtime", "cpu-used": "8"}, "yuv420p"),
        ("av1.mp4", "libsvtav1", {"preset": "12", "g": "10"}, "yuv420p"),
        ("av1.webm", "libaom-av1", {"cpu-used": "8", "usage": "realtime"}, "yuv420p"),
        ("mpeg4.avi", "mpeg4", {"g": "10", "qscale": "2"}, "yuv420p"),
        ("mpeg4_b.avi", "mpeg4", {"g": "10", "bf": "2", "qscale": "2"}, "yuv420p"),
    ],
)
def test_every_format_gives_the_frames_asked_for(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], pix_fmt: str
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec} encoder")
    path = encode(tmp_path / name, numbered(40, 64, 96), codec, options=options, pix_fmt=pix_fmt)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames = sample_frames(path, 8)
    assert frames.shape == (8, 64, 96, 3) and frames.dtype == np.uint8
    assert numbers(frames) == uniform_indices(40, 8)
    assert numbers(read_frames(path, [33, 5, 5, 21])) == [33, 5, 5, 21]


def test_indices_count_frames_not_seconds(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(1).integers(1, 40, 40)).tolist()
    path = encode(tmp_path / "vfr.mp4", numbered(40), "libx264", times=times, options={"g": "8"})
    assert numbers(sample_frames(path, 12, "segment_middles")) == uniform_indices(40, 12, "segment_middles")


def test_a_policy_with_a_size_decodes_straight_to_it_without_keeping_the_shape(tmp_path: Path) -> None:
    path = encode(tmp_path / "wide.mp4", numbered(40, 64, 96), "libx264", options={"g": "8"})
    policy = FramePolicy(6, "segment_middles_rounded", (32, 32))
    found = sample_video(path, policy)
    assert found.frames.shape == (6, 32, 32, 3) and found.indices == uniform_indices(40, 6, "segment_middles_rounded")
    assert (found.total, found.rate) == (40, 25.0)
    whole = sample_frames(path, 6, "segment_middles_rounded").astype(float)
    squeezed = whole.reshape(6, 32, 2, 32, 3, 3).mean((2, 4))
    assert np.abs(found.frames - squeezed).mean() < 6
    with Decoder() as decoder:
        assert np.array_equal(decoder.video(path, policy).frames, found.frames)


def test_frames_by_the_second_follow_the_videos_own_clock_within_their_bounds(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, numbered(40), 8)  # 5 seconds
    for fps, least, most, step, want in ((1, 1, 768, 1, 5), (2, 4, 8, 2, 8), (1, 1, 768, 2, 4), (0.1, 2, 9, 2, 2)):
        found = sample_video(path, FramePolicy(0, "both_ends", None, fps, least, most, step))
        assert len(found.indices) == want and numbers(found.frames) == found.indices


def test_one_frame_is_repeated(tmp_path: Path) -> None:
    write_video(tmp_path / "one.mp4", numbered(1), 8)
    frames = sample_frames(tmp_path / "one.mp4", 4)
    assert frames.shape == (4, 48, 64, 3) and (frames == frames[0]).all()


@pytest.mark.parametrize(
    ("matrix", "turns"),  # a, b, c, d of the track header: x' = a x + c y, y' = b x + d y, y downwards
    [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)],
)
def test_a_turned_phone_video_is_upright(tmp_path: Path, matrix: tuple[int, int, int, int], turns: int) -> None:
    """(0, 1, -1, 0) sends the right end of the top row to the bottom right: a clockwise turn, -1 for np.rot90."""
    path = tmp_path / "turned.mp4"
    picture = np.full((3, 48, 64, 3), 40, np.uint8)
    picture[:, :16, :16] = 220  # top left
    write_video(path, picture, 8)
    plain = read_frames(path, [0, 2])
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    where = data.index(b"tkhd") + 4 + 40
    assert struct.unpack_from(">9i", data, where) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, where, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    turned = read_frames(path, [0, 2])
    assert np.array_equal(turned, np.stack([np.rot90(frame, turns) for frame in plain]))
    corner = {-1: np.s_[:, :16, -16:], 2: np.s_[:, -16:, -16:], 1: np.s_[:, -16:, :16]}[turns]
    assert turned[corner].min() > 180


# ---- seeking


@pytest.mark.parametrize("name", ["groups.mp4", "groups.mkv", "groups.ts"])
@pytest.mark.parametrize("params", ["open-gop=0", "open-gop=1", "keyint=250:intra-refresh=1"])
def test_seeking_gives_the_frames_of_decoding_in_order(tmp_path: Path, name: str, params: str) -> None:
    path = encode_groups(tmp_path / name, params=params)
    every, count = video.decode_in_order(path, range(60))
    assert count == 60
    for wanted in ([0, 59], [3, 11, 12, 13, 40], [47], [23, 24, 58], list(range(0, 60, 7))):
        assert np.array_equal(read_frames(path, wanted), np.stack([every[i] for i in wanted])), wanted


def test_far_frames_do_not_decode_what_lies_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode_groups(tmp_path / "groups.mp4")
    seen, honest = [], video.decoded

    def counted(container: Any, stream: Any) -> Any:
        for frame in honest(container, stream):
            seen.append(frame.pts)
            yield frame

    monkeypatch.setattr(video, "decoded", counted)
    read_frames(path, [0, 49])
    assert len(seen) <= 4


def test_an_edit_list_hides_frames_without_a_warning(tmp_path: Path) -> None:
    path = encode_groups(tmp_path / "cut.mp4")
    data = bytearray(path.read_bytes())
    where = data.index(b"elst") + 12  # after version, flags and the number of entries: duration, media time
    duration, media_time = struct.unpack_from(">Ii", data, where)
    every, _ = video.decode_in_order(path, range(60))
    with av.open(str(path)) as container:
        ticks = container.streams.video[0].time_base.denominator // 25
    struct.pack_into(">Ii", data, where, duration * 43 // 60, media_time + 17 * ticks)
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames = sample_frames(path, 6)
    assert np.array_equal(frames[0], every[17])


# ---- broken files


def test_a_cut_mp4_gives_the_frames_it_has_and_says_so(tmp_path: Path) -> None:
    path = encode_groups(tmp_path / "cut.mp4", container_options={"movflags": "+faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(UserWarning, match=r"cut\.mp4: 60 frames claimed, (\d+) decode") as caught:
        frames = sample_frames(path, 4)
    have = int(str(caught[0].message).split("claimed, ")[1].split()[0])
    assert 10 < have < 45
    every, count = video.decode_in_order(path, range(60))
    assert count == have
    assert np.array_equal(frames, np.stack([every[i] for i in uniform_indices(have, 4)]))
    with pytest.raises(VideoError, match=r"cut\.mp4: frame 59 asked for, \d+ frames decode"):
        read_frames(path, [59])


def test_a_cut_avi_says_so(tmp_path: Path) -> None:
    path = encode(tmp_path / "cut.avi", numbered(40), "mpeg4", options={"g": "5", "qscale": "2"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 8 // 10])
    with pytest.warns(UserWarning, match=r"cut\.avi: 40 frames claimed, \d+ decode"):
        frames = sample_frames(path, 3)
    assert numbers(frames)[0] == 0 and 10 < numbers(frames)[2] < 39


def test_a_cut_matroska_gives_the_frames_it_has(tmp_path: Path) -> None:
    path = encode_groups(tmp_path / "cut.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with warnings.catch_warnings():  # its header claims no number of frames
        warnings.simplefilter("ignore")
        assert sample_frames(path, 5).shape == (5, 48, 64, 3)


def test_frames_that_do_not_decode_are_not_counted(tmp_path: Path) -> None:
    options = {"g": "100", "deadline": "realtime", "cpu-used": "8"}
    path = encode(tmp_path / "holes.mp4", numbered(40), "libvpx-vp9", options=options)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in [p for p in container.demux(video=0) if p.size][30:]:
            data[packet.pos : packet.pos + packet.size] = b"\0" * packet.size
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"holes\.mp4: 40 frames claimed, 30 decode"):
        frames = sample_frames(path, 4)
    assert numbers(frames) == uniform_indices(30, 4)


def audio_only(path: Path) -> None:
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def header_only(path: Path) -> None:
    write_video(path, numbered(8), 8)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])


def broken(path: Path, kind: str) -> Path:
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("this is no video\n" * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "audio":
        audio_only(path)
    elif kind == "header":
        header_only(path)
    elif kind == "no index":
        encode_groups(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


BROKEN = [
    ("missing", "No such file"),
    ("empty", "zero bytes"),
    ("text", "not a readable video"),
    ("folder", "is a folder"),
    ("audio", "no video stream"),
    ("header", "no frame decodes|not a readable video"),
    ("no index", "not a readable video"),
]


@pytest.mark.parametrize(("kind", "reason"), BROKEN)
def test_a_broken_file_is_named_with_its_reason(tmp_path: Path, kind: str, reason: str) -> None:
    path = broken(tmp_path / "clip.mp4", kind)
    for call in (lambda: sample_frames(path, 8), lambda: read_frames(path, [0])):
        with pytest.raises(VideoError, match=reason) as caught:
            call()
        assert str(caught.value).startswith(f"{path}: ")


def test_a_video_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.mp4"
    write_video(path, numbered(2), 8)
    monkeypatch.setattr(video, "MAX_PIXELS", 1000)
    monkeypatch.setattr(video, "decoded", lambda *_: pytest.fail("decoded"))
    with pytest.raises(VideoError, match=r"bomb\.mp4: frames of 64x48 are over the limit"):
        sample_frames(path, 2)


@pytest.mark.parametrize(("width", "height"), [(16386, 2), (2, 16386), (8002, 8000)])
def test_huge_sides_are_over_the_limit(width: int, height: int) -> None:
    with pytest.raises(VideoError, match=f"{width}x{height}"):
        video.check_size("x.mp4", width, height)


# ---- memory


def test_all_frames_of_a_request_are_bounded_by_the_header_before_any_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, numbered(8), 8)  # 64 x 48
    monkeypatch.setattr(video, "MAX_BYTES", 64 * 48 * 3 * 5)
    assert len(sample_frames(path, 5)) == 5 and len(read_frames(path, [0, 2, 4, 6, 7])) == 5
    monkeypatch.setattr(video, "decoded", lambda *_: pytest.fail("decoded"))
    wanted = r"a\.mp4: 6 frames of 64x48 are .* the limit is .*; scale the video down or ask for fewer frames"
    for call in (
        lambda: sample_frames(path, 6),
        lambda: read_frames(path, range(6)),
        lambda: read_frames(path, [3] * 6),
    ):
        with pytest.raises(VideoError, match=wanted):
            call()
    with pytest.raises(VideoError, match="1000000000000 frames of 64x48"):  # no list of so many indices is made
        sample_frames(path, 10**12)


def test_frames_that_are_decoded_small_count_as_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, numbered(8), 8)
    monkeypatch.setattr(video, "MAX_BYTES", 16 * 8 * 3 * 6)
    assert sample_video(path, FramePolicy(6, size=(8, 16))).frames.shape == (6, 8, 16, 3)
    with pytest.raises(VideoError, match="7 frames of 16x8"):
        sample_video(path, FramePolicy(7, size=(8, 16)))


def test_frames_that_a_rate_asks_for_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, numbered(16), 8)  # 2 seconds
    monkeypatch.setattr(video, "MAX_BYTES", 64 * 48 * 3 * 5)
    assert len(sample_video(path, FramePolicy(0, fps=2.0)).frames) == 4
    with pytest.raises(VideoError, match="8 frames of 64x48"):
        sample_video(path, FramePolicy(0, fps=4.0))


def test_a_stream_whose_header_says_no_size_is_bounded_by_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    class Frame:
        width, height, rotation = 640, 480, 0

    class Stream:
        class codec_context:
            width, height = 0, 0

    monkeypatch.setattr(video, "MAX_BYTES", 640 * 480 * 3 * 5)
    convert = video.ToRGB("x.ts", Stream, number=6)
    with pytest.raises(VideoError, match=r"x\.ts: 6 frames of 640x480"):
        convert(Frame())


@pytest.mark.parametrize(
    "wrong",
    [{"count": -1}, {"count": 1.5}, {"count": 0}, {"fps": -1.0}, {"count": 0, "fps": float("nan")}, {"least": 0},
     {"most": 0}, {"step": 0}, {"count": "8"}, {"fps": float("inf")}],
)  # fmt: skip
def test_a_policy_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="frames: "):
        FramePolicy(**wrong)


# ---- writing


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

    monkeypatch.setattr(video, "to_yuv420", cut)
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


# ---- the killable decoder


def test_the_child_gives_the_same_frames_file_after_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "a.mp4", numbered(12), 8)
    write_video(tmp_path / "é b.mp4", numbered(5), 8)
    with Decoder() as decoder:
        for name in ("a.mp4", "é b.mp4"):
            for rule in video.RULES:
                expected = sample_frames(tmp_path / name, 6, rule)
                assert np.array_equal(decoder.sample(tmp_path / name, 6, rule), expected)
        first = decoder._child
        monkeypatch.chdir(tmp_path)
        decoder.sample("a.mp4", 2)  # a relative path is the parent's
        assert first is not None and decoder._child is first
    assert first.poll() is not None


def test_the_childs_errors_and_warnings_arrive(tmp_path: Path) -> None:
    cut = encode_groups(tmp_path / "cut.mp4", container_options={"movflags": "+faststart"})
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    with Decoder() as decoder:
        for kind, reason in BROKEN:
            path = broken(tmp_path / f"{kind}.mp4", kind)
            with pytest.raises(VideoError, match=reason) as caught:
                decoder.sample(path, 4)
            with pytest.raises(VideoError) as own:
                sample_frames(path, 4)
            assert str(caught.value) == str(own.value)
        with pytest.raises(ValueError, match="known: both_ends"):
            decoder.sample(cut, 4, "middle")
        with pytest.warns(UserWarning, match="60 frames claimed"):
            decoder.sample(cut, 4)


def test_a_file_that_hangs_is_killed_and_named_and_the_next_decodes(tmp_path: Path) -> None:
    fifo, good = tmp_path / "pipe.mp4", tmp_path / "good.mp4"
    os.mkfifo(fifo)
    write_video(good, numbered(4), 8)
    with Decoder(timeout_s=1.0) as decoder:
        start = time.monotonic()
        with pytest.raises(VideoError, match=r"pipe\.mp4: not decoded in 1 s.*--decode-timeout"):
            decoder.sample(fifo, 4)
        assert time.monotonic() - start < 5
        assert decoder.sample(good, 4).shape == (4, 48, 64, 3)


def test_a_file_that_kills_the_decoder_is_named_and_the_next_decodes(tmp_path: Path) -> None:
    fifo, good = tmp_path / "pipe.mp4", tmp_path / "good.mp4"
    os.mkfifo(fifo)
    write_video(good, numbered(4), 8)
    with Decoder() as decoder:
        decoder.sample(good, 4)
        assert decoder._child is not None
        threading.Timer(0.3, os.kill, (decoder._child.pid, signal.SIGSEGV)).start()
        with pytest.raises(VideoError, match=r"pipe\.mp4: the decoder process died on it \(exit status -11\)"):
            decoder.sample(fifo, 4)
        decoder.sample(good, 4)
        os.kill(decoder._child.pid, signal.SIGKILL)  # between files: no file's fault
        decoder._child.wait()
        assert decoder.sample(good, 4).shape == (4, 48, 64, 3)


def test_the_child_ends_when_the_pipe_closes_and_ignores_ctrl_c(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", numbered(4), 8)
    decoder = Decoder()
    decoder.sample(tmp_path / "a.mp4", 2)
    child = decoder._child
    assert child is not None and child.stdin is not None
    os.kill(child.pid, signal.SIGINT)
    decoder.sample(tmp_path / "a.mp4", 2)
    assert decoder._child is child
    child.stdin.close()  # as the end of the parent does
    assert child.wait(timeout=5) == 0
    decoder._child = None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see a process that nobody waits for")
def test_a_hanging_child_ends_with_its_killed_parent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    code = (
        "from synvita.core.decoder import Decoder; d = Decoder(); "
        "print(d._ready_child().pid, flush=True); d.sample('pipe.mp4', 2)"
    )
    root = str(Path(video.__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=tmp_path, env=env) as parent:
        assert parent.stdout is not None
        status = Path(f"/proc/{int(parent.stdout.readline())}/status")
        time.sleep(0.3)  # into the hanging open
        assert status.exists()
        parent.kill()
    end = time.monotonic() + 8
    while status.exists() and "zombie" not in status.read_text() and time.monotonic() < end:
        time.sleep(0.1)
    assert time.monotonic() < end
