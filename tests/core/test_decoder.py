"""The decoder's child process: its settings, and how much a video may ask of it."""

import math

import numpy as np
import pytest

from synvita.core.decoder import Decoder, check_timeout
from synvita.core.video import FramePolicy, VideoError, write_video


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
