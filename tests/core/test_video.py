"""Video files: every container and codec gives the frames asked for; every broken file is named."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from video_files import BROKEN, broken, encode, encode_groups, numbered, numbers

from synvita.core import video, video_file
from synvita.core.decoder import Decoder
from synvita.core.frame_rules import FramePolicy, uniform_indices
from synvita.core.video import read_frames, sample_frames, sample_video
from synvita.core.video_file import VideoError
from synvita.core.write_video import write_video

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
    monkeypatch.setattr(video_file, "MAX_PIXELS", 1000)
    monkeypatch.setattr(video, "decoded", lambda *_: pytest.fail("decoded"))
    with pytest.raises(VideoError, match=r"bomb\.mp4: frames of 64x48 are over the limit"):
        sample_frames(path, 2)


@pytest.mark.parametrize(("width", "height"), [(16386, 2), (2, 16386), (8002, 8000)])
def test_huge_sides_are_over_the_limit(width: int, height: int) -> None:
    with pytest.raises(VideoError, match=f"{width}x{height}"):
        video_file.check_size("x.mp4", width, height)


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
