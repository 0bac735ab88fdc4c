"""`synvita.score`, `synvita.rank`, `synvita.known` and `Aligner`: what they take, give and refuse."""

import copy
import csv
import re
import sys
import types

import numpy as np
import pytest
import torch

import synvita
from synvita.cli import main
from synvita.core.frame_rules import FramePolicy
from synvita.core.video import sample_array, sample_frames, sample_video
from synvita.core.write_video import write_video
from synvita.videollm.aligner import move

CAPTIONS = ["a red ring", "two crosses"]


@pytest.fixture(scope="module")
def aligner():
    with synvita.Aligner.from_pretrained("mini-video-llava") as found:
        yield found


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for i in range(3):
        frames = np.random.default_rng(i).integers(0, 255, (12, 64, 64, 3), dtype=np.uint8)
        write_video(folder / f"{i}.mp4", frames, 8)
    return [folder / f"{i}.mp4" for i in range(3)]


# ---- Aligner


def test_frames_in_memory_get_the_score_of_the_file_that_they_were_read_from(aligner, clips):
    frames = sample_frames(clips[0], 12)
    assert frames.shape == (12, 64, 64, 3)
    assert aligner.score(frames, CAPTIONS).log_odds.tolist() == aligner.score(clips[0], CAPTIONS).log_odds.tolist()


def test_a_list_of_videos_gives_a_row_each_and_may_mix_files_and_frames(aligner, clips):
    several = [clips[0], sample_frames(clips[1], 12), str(clips[2])] * 4
    found = aligner.score(several, CAPTIONS)
    assert found.log_odds.shape == found.alignment.shape == (12, 2)
    for number, video in enumerate(several):
        assert found.log_odds[number] == pytest.approx(aligner.score(video, CAPTIONS).log_odds, abs=1e-4)
    assert aligner.score(clips[:2], "a red ring").log_odds.shape == (2, 1)


def test_pairs_of_frames_are_scored_like_single_ones(aligner, clips):
    one, other = sample_frames(clips[0], 12), sample_frames(clips[1], 12)
    found = list(aligner.score_pairs([(one, CAPTIONS[0]), (one, CAPTIONS[1]), (other, CAPTIONS[0])]))
    want = [*aligner.score(one, CAPTIONS).log_odds, *aligner.score(other, CAPTIONS[0]).log_odds]
    assert [pair.log_odds for pair in found] == pytest.approx(want, abs=1e-4)


def test_what_is_scaled_in_memory_is_what_the_decoder_scales(tmp_path):
    """Smooth frames, so that the two ways to RGB differ by roundings; nearest neighbours or a flip differ by far."""
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    frames = np.stack([np.stack([np.tile(ramp, (48, 1)) // (t + 1)] * 3, -1) for t in range(8)])
    write_video(tmp_path / "ramp.mp4", frames, 8)
    policy = FramePolicy(4, "segment_middles", (20, 30))
    file, memory = (
        sample_video(tmp_path / "ramp.mp4", policy),
        sample_array(sample_frames(tmp_path / "ramp.mp4", 8), policy),
    )
    assert memory.indices == file.indices and memory.frames.shape == file.frames.shape == (4, 20, 30, 3)
    apart = np.abs(memory.frames.astype(int) - file.frames.astype(int))
    assert apart.max() <= 3 and memory.total == file.total == 8


def test_a_model_that_samples_by_the_second_asks_for_the_rate_of_frames(aligner, monkeypatch):
    monkeypatch.setattr(aligner.model, "policy", FramePolicy(0, "both_ends", fps=2.0))
    frames = np.zeros((16, 32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match=r"^fps: this model samples frames by the second"):
        aligner.score(frames, "a ring")
    seen = []
    monkeypatch.setattr(aligner.model, "look", lambda sampled: seen.append(sampled) or {"x": torch.zeros(1)})
    aligner.features(frames, fps=4.0)
    assert seen[0].indices == FramePolicy(0, "both_ends", fps=2.0).indices(16, 4.0) and len(seen[0].indices) == 8


def test_its_repr_says_model_adapter_dtype_and_device():
    with synvita.Aligner.from_pretrained("mini-video-llava", dtype="bfloat16") as found:
        text = "Aligner(model='mini-video-llava', adapter=None, dtype='bfloat16', device='cpu')"
        assert repr(found) == text == repr(found.to("cpu"))


def test_moving_moves_every_weight(model):
    """Of every family, to the device without memory, which any machine has."""
    moved = copy.deepcopy(model)
    move(moved, "meta")
    places = {tensor.device.type for tensor in [*moved.parameters(), *moved.buffers()]}
    assert places == {"meta"} == {moved.language.device.type}


def test_what_cannot_be_moved_is_refused(aligner, monkeypatch):
    monkeypatch.setattr(type(aligner.model.language), "is_quantized", True, raising=False)
    with pytest.raises(ValueError, match="device: VideoLlava cannot be moved"):
        aligner.to("cpu")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((3, "a"), "video"),
        ((None, "a"), "video"),
        (([], "a"), "video"),
        ((["a.mp4", 3], "a"), "video[1]"),
        ((np.zeros((4, 8, 8, 3)), "a"), "video"),
        ((np.zeros((8, 8, 3), np.uint8), "a"), "video"),
        ((np.zeros((0, 8, 8, 3), np.uint8), "a"), "video"),
        ((np.zeros((2, 8, 8, 4), np.uint8), "a"), "video"),
        (("a.mp4", 3), "captions"),
        (("a.mp4", {"a": 1}), "captions"),
        (("a.mp4", ["a", 3]), "captions[1]"),
        ((np.zeros((2, 8, 8, 3), np.uint8), "a", "8"), "fps"),
        ((np.zeros((2, 8, 8, 3), np.uint8), "a", 0), "fps"),
    ],
)
def test_an_argument_of_a_wrong_type_is_named_with_the_way_out(aligner, clips, arguments, name):
    video = str(clips[0]) if isinstance(arguments[0], str) else arguments[0]
    video = [str(clips[0]), *video[1:]] if isinstance(video, list) and video else video
    with pytest.raises(ValueError, match=f"^{re.escape(name)}: .*give") as refused:
        aligner.score(video, *arguments[1:])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"name": 3}, "name"),
        ({"adapter": 3}, "adapter"),
        ({"dtype": 3}, "dtype"),
        ({"dtype": "float31"}, "dtype"),
        ({"device": 3}, "device"),
        ({"device": "gpu"}, "device"),
        ({"cache": 3}, "cache"),
        ({"cache_gb": "1"}, "cache_gb"),
        ({"temporal_attention": "false"}, "temporal_attention"),
        ({"load_4bit": 1}, "load_4bit"),
        ({"tower": 3}, "tower"),
        ({"frames": "8"}, "frames"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_setting_of_a_wrong_type_is_refused_before_a_model_is_loaded(monkeypatch, arguments, name):
    monkeypatch.setattr("synvita.videollm.aligner.load_model", lambda *_: pytest.fail("loaded"))
    with pytest.raises(ValueError, match=f"^(--)?{name}: "):
        synvita.Aligner.from_pretrained(**arguments)


# ---- score


def test_score_asks_every_caption_of_every_video(aligner, clips):
    found = synvita.score(clips[:2], CAPTIONS, aligner)
    assert [(row["video"], row["caption"]) for row in found] == [(str(v), c) for v in clips[:2] for c in CAPTIONS]
    want = aligner.score(clips[:2], CAPTIONS)
    assert [row["log_odds"] for row in found] == pytest.approx(want.log_odds.ravel().tolist(), abs=1e-4)
    assert [row["alignment"] for row in found] == pytest.approx(want.alignment.ravel().tolist(), abs=1e-4)
    assert synvita.score(sample_frames(clips[0], 12), "a red ring", aligner)[0]["video"] == "videos"


def test_a_video_without_a_score_has_its_reason_and_the_others_theirs(aligner, clips, tmp_path):
    (tmp_path / "empty.mp4").touch()
    broken, fine = synvita.score([tmp_path / "empty.mp4", clips[0]], "a ring", aligner)
    assert broken["log_odds"] is None and broken["alignment"] is None and "zero bytes" in broken["reason"]
    assert fine["reason"] is None and 0 <= fine["alignment"] <= 1


def test_a_table_gives_what_the_command_writes_and_goes_on_in_its_file(clips, tmp_path, capsys):
    rows = [("0.mp4", "a ring"), ("1.mp4", "a cross"), ("none.mp4", "a ring")]
    table = clips[0].parent / "pairs.csv"
    with table.open("w", newline="") as out:
        csv.writer(out).writerows([("video", "caption"), *rows])
    found = synvita.score(table)
    assert [(row["video"], row["caption"]) for row in found] == rows
    assert found[2]["log_odds"] is None and "none.mp4" in found[2]["reason"]
    kept = tmp_path / "kept.jsonl"
    assert synvita.score(table, out=kept) == found
    before = kept.read_bytes()
    assert main(["score", "--pairs", str(table), "--out", str(kept)]) == 3
    assert "3 pairs, 2 were there, 1 gave no score" in capsys.readouterr().out and kept.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("clip.mp4",), "captions"),
        ((3, "a"), "videos"),
        (([], "a"), "videos"),
        ((["a.mp4", None], "a"), "videos[1]"),
        (([np.zeros((2, 2))], "a"), "videos[0]"),
        (("a.mp4", []), "captions"),
        (("a.mp4", "a", 3), "model"),
        (("a.mp4", "a", "mini-video-llava", 3), "adapter"),
    ],
)
def test_score_names_the_argument_that_is_wrong(arguments, name):
    with pytest.raises(ValueError, match=f"^{re.escape(name)}: .*give"):
        synvita.score(*arguments)


def test_settings_that_belong_to_a_table_or_to_a_loaded_model_are_refused_elsewhere(aligner, clips):
    with pytest.raises(ValueError, match="out: is for a table of pairs"):
        synvita.score(clips, "a", aligner, out="x.jsonl")
    with pytest.raises(ValueError, match="frames: the Aligner has its own"):
        synvita.score(clips, "a", aligner, frames=8)


def test_a_data_frame_is_made_of_the_records_where_pandas_is_there_and_else_it_says_so(aligner, clips, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ValueError, match=r"as_frame: needs pandas; pip install 'synvita\[pandas\]'"):
        synvita.score(clips[0], "a", "no such model", as_frame=True)
    frames = types.SimpleNamespace(DataFrame=lambda records: ("frame", records))
    monkeypatch.setitem(sys.modules, "pandas", frames)
    assert synvita.score(clips[0], "a", aligner, as_frame=True) == ("frame", synvita.score(clips[0], "a", aligner))


# ---- rank, known


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((["a.mp4"],), "captions: none given"),
        (("no such.csv",), "clips: no such.csv: no such table"),
        ((3, ["a"]), "clips: 3 given; give a list"),
        ((["a.mp4"], 3), "captions: 3 given; give a list"),
        (([3], ["a"]), "clips[0]: 3 given; give a path"),
        ((["a.mp4"], ["a"], 3), "scorer: 3 given"),
        ((["a.mp4"], ["a"], "llavaa"), "--scorer: unknown 'llavaa'; did you mean 'llava'?"),
    ],
)
def test_rank_names_the_argument_that_is_wrong(arguments, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        synvita.rank(*arguments)


def test_known_lists_what_can_be_given_by_name(aligner):
    assert {"mini-video-llava", "mini-video-llava-shape-blind"} == set(synvita.known.models())
    assert {"qwen3_vl", "llava"} <= set(synvita.known.scorers())
    assert {"lavie", "mini-videocrafter2"} <= set(synvita.known.generators())
    assert {"mini", "paper_video_llava"} <= set(synvita.known.recipes())
    assert {"video_llava", "qwen3_vl"} <= set(synvita.known.families()) and "open" in synvita.known.tasks()
    assert {"ssv2_temporal", "vinoground"} <= set(synvita.known.benchmarks()) <= set(synvita.known.tasks())


def test_everything_public_is_there_and_what_is_not_is_named():
    assert all(getattr(synvita, name) is not None for name in synvita.__all__) and "Run" in dir(synvita)
    with pytest.raises(AttributeError, match="no attribute 'rnak'; it has Aligner"):
        _ = synvita.rnak
