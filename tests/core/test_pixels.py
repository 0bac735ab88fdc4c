"""Frames -> a tower's pixel values: by a checkpoint's own mean and deviation, against a loop over pixels."""

import json

import numpy as np
import pytest
import torch

from synvita.core.pixels import CLIP_MEAN, CLIP_STD, Preprocess
from synvita.core.video_file import VideoError


def folder_with(folder, **stored):
    (folder / "preprocessor_config.json").write_text(json.dumps(stored))
    return folder


def test_stored_mean_and_deviation_are_used_channel_by_channel(tmp_path):
    mean, std = [0.5, 0.25, 0.0], [0.5, 0.125, 2.0]
    preprocess = Preprocess.from_folder(folder_with(tmp_path, image_mean=mean, image_std=std, crop_size=4))
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    found = preprocess(frames)
    assert found.shape == (2, 3, 4, 4) and found.dtype == torch.float32
    for at in np.ndindex(2, 4, 4, 3):
        frame, y, x, channel = at
        want = (int(frames[at]) / 255 - mean[channel]) / std[channel]
        assert found[frame, channel, y, x].item() == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize(
    ("stored", "size"),
    [
        ({"crop_size": {"height": 30, "width": 30}, "size": {"shortest_edge": 40}}, 30),
        ({"size": {"shortest_edge": 40}}, 40),
        ({"size": {"height": 50, "width": 50}}, 50),
        ({"size": 60}, 60),
        ({}, 224),
    ],
)
def test_the_size_is_the_crop_or_the_side_and_what_is_not_stored_is_clips(tmp_path, stored, size):
    assert Preprocess.from_folder(folder_with(tmp_path, **stored)) == Preprocess(size, CLIP_MEAN, CLIP_STD)


def test_a_frame_looks_the_same_whatever_stands_beside_it():
    frames = np.random.default_rng(1).integers(0, 256, (5, 40, 60, 3), dtype=np.uint8)
    preprocess = Preprocess(24)
    whole = preprocess(frames)
    assert whole.shape == (5, 3, 24, 24)
    assert all(torch.equal(whole[i : i + 1], preprocess(frames[i : i + 1])) for i in range(5))


def test_the_middle_of_the_longer_side_is_kept():
    wide = np.zeros((1, 8, 24, 3), np.uint8)
    wide[:, :, 8:16] = 255
    found = Preprocess(8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert found(wide).min() == 1 and found(wide.transpose(0, 2, 1, 3)).min() == 1


def test_a_line_of_a_video_is_refused_before_it_is_resized_to_gigabytes():
    line = np.zeros((1, 2, 402, 3), np.uint8)
    for frames, shape in ((line, "402x2"), (line.transpose(0, 2, 1, 3), "2x402")):
        with pytest.raises(VideoError, match=f"video of {shape} pixels: one side is over 200 times the other; crop it"):
            Preprocess(224)(frames)
    assert Preprocess(8)(line[:, :, :400]).shape == (1, 3, 8, 8)


def test_a_folder_without_a_config_is_named(tmp_path):
    with pytest.raises(ValueError, match=rf"{tmp_path}: no preprocessor_config\.json"):
        Preprocess.from_folder(tmp_path)
