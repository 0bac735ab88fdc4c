"""The decoder's child process: its settings, how much a video may ask of it, and files that hang or kill it."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from video_files import BROKEN, broken, encode_groups, numbered

import synvita
from synvita.core.decoder import Decoder, check_timeout
from synvita.core.frame_rules import RULES, FramePolicy
from synvita.core.video import sample_frames
from synvita.core.video_file import VideoError
from synvita.core.write_video import write_video


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, -math.inf, True, "60", None])
def test_a_timeout_that_is_no_time_is_refused_by_its_knob(seconds):
    with pytest.raises(ValueError, match="--decode-timeout: must be a finite number of seconds, more than 0"):
        Decoder(seconds)
    with pytest.raises(ValueError, match=r"--weigh\.decode-timeout: must be"):
        check_timeout(seconds, "--weigh.decode-timeout")


def test_a_large_video_is_refused_before_its_frames_fill_the_memory(tmp_path):
    """One large frame shown 200 times: 2.2 GB as an array. A policy that decodes it small may have all of them."""
    path = tmp_path / "large.mp4"
    write_video(path, np.zeros((1, 720, 1280, 3), np.uint8), 8, upscale=2)
    with Decoder() as decoder:
        with pytest.raises(VideoError) as caught:
            decoder.video(path, FramePolicy(200))
        assert str(caught.value) == (
            f"{path}: 200 frames of 2560x1440 are 2.2 GB, the limit is 2 GB; "
            "scale the video down or ask for fewer frames"
        )
        assert decoder.video(path, FramePolicy(200, "segment_middles", (32, 32))).frames.shape == (200, 32, 32, 3)


def test_the_child_gives_the_same_frames_file_after_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "a.mp4", numbered(12), 8)
    write_video(tmp_path / "é b.mp4", numbered(5), 8)
    with Decoder() as decoder:
        for name in ("a.mp4", "é b.mp4"):
            for rule in RULES:
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
    root = str(Path(synvita.__file__).parents[1])
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
