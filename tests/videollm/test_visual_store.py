"""The cache of visual features: by content, bounded, safe under two processes, a kill and a torn file."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from synvita.core.frame_rules import FramePolicy
from synvita.core.video_file import VideoError
from synvita.core.write_video import write_video
from synvita.videollm.protocol import Media
from synvita.videollm.visual import VisualStore


class Model(SimpleNamespace):
    """A model whose features are what it saw; `seen` counts the looks."""

    def __init__(self, key="model", scale=1):
        super().__init__(visual_key=key, policy=FramePolicy(4), seen=0, scale=scale)

    def look(self, video):
        self.seen += 1
        return {"features": torch.from_numpy(video.frames).float().mean((1, 2)).repeat(self.scale, 1)}

    def media(self, features):
        return [Media([1], f["features"]) for f in features]


@pytest.fixture
def videos(tmp_path):
    for i in range(6):
        write_video(tmp_path / f"{i}.mp4", np.full((6, 16, 16, 3), 40 * i, np.uint8), 8)
    return tmp_path


def test_a_video_is_looked_at_once_whatever_it_is_called(videos):
    (videos / "copy.mp4").write_bytes((videos / "1.mp4").read_bytes())
    model = Model()
    first = VisualStore(model, videos / "cache", videos)
    a = first.features("1.mp4")["features"]
    again = VisualStore(model, videos / "cache", videos)
    assert torch.equal(again.features("copy.mp4")["features"], a) and model.seen == 1
    assert torch.equal(again.media(["1.mp4"])[0].visual, a)
    for store in (first, again):
        store.close()


def test_a_models_features_lie_in_the_folder_of_its_key(videos):
    for key in ("one", "other"):
        store = VisualStore(Model(key), videos / "cache", videos)
        store.features("1.mp4")
        store.close()
        assert store.model.seen == 1  # what the other has written is not its
    assert {p.name for p in (videos / "cache").iterdir()} == {"one", "other"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_write_that_breaks_off_leaves_no_file(videos):
    """As on a full disk: the kernel stops every file at 200 kB, the features have 480."""
    import resource

    model = Model(scale=10_000)
    store = VisualStore(model, videos / "cache", videos)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            store.features("1.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p for p in (videos / "cache").rglob("*") if p.is_file()] == []
    assert store.features("1.mp4")["features"].shape == (40_000, 3)
    store.close()
    again = VisualStore(model, videos / "cache", videos)
    again.features("1.mp4")
    assert model.seen == 2  # the second attempt was kept
    again.close()


def test_the_cache_stays_below_its_bound_and_drops_what_was_not_read_for_longest(videos):
    model = Model(scale=1000)  # 48 kB a video
    store = VisualStore(model, videos / "cache", videos, disk_gb=200e-6, memory_gb=1e-9)
    for i in range(4):
        store.features(f"{i}.mp4")
    for age, i in enumerate((0, 2, 3, 1)):  # 0 was read longest ago
        path = store._file(videos / f"{i}.mp4")
        os.utime(path, (time.time() - 1000 + age,) * 2)
    store.features("0.mp4")  # reading makes it young again
    store.features("4.mp4")
    assert store.size() <= 200e3
    left = [i for i in range(5) if store._file(videos / f"{i}.mp4").exists()]
    assert left == [0, 1, 4]
    assert len(store.kept) == 1  # memory is bounded, too
    store.close()


@pytest.mark.parametrize(("room", "looks_again"), [(2.5, [0]), (1.5, [0, 1]), (0.5, [0, 1]), (3.5, [])])
def test_features_stay_in_memory_up_to_its_bound_and_the_oldest_go_first(videos, room, looks_again):
    """Three videos of 4 frames x 3 channels x 4 bytes x 1000: with room for n of them the last n are not looked at."""
    model = Model(scale=1000)
    store = VisualStore(model, None, videos, memory_gb=room * 4 * 3 * 4 * 1000 / 1e9)
    for name in ("0.mp4", "1.mp4", "2.mp4"):
        store.features(name)
    kept = [name for name in ("2.mp4", "1.mp4", "0.mp4") if name in {file for file, *_ in store.kept}]
    assert len(kept) == max(1, int(room)) and kept == ["2.mp4", "1.mp4", "0.mp4"][: len(kept)]
    before = model.seen
    for name in kept:
        store.features(name)
    assert model.seen == before == 3 and [i for i in range(3) if f"{i}.mp4" not in kept] == looks_again
    store.close()


def test_what_was_read_again_is_younger_than_what_was_not(videos):
    store = VisualStore(Model(scale=1000), None, videos, memory_gb=2.5 * 48_000 / 1e9)
    for name in ("0.mp4", "1.mp4", "0.mp4", "2.mp4"):
        store.features(name)
    assert [file for file, *_ in store.kept] == ["0.mp4", "2.mp4"]
    store.close()


def test_several_gigabytes_stay_in_memory_if_nobody_says_otherwise_and_no_cache_is_no_file(videos):
    store = VisualStore(Model(), None, videos)
    assert store.memory == 4_000_000_000 and store.disk == 100_000_000_000
    store.features("0.mp4")
    assert store.size() == store.written == 0 and not (videos / "cache").exists()
    store.close()


@pytest.mark.parametrize("limits", [{"disk_gb": 0.0}, {"memory_gb": float("nan")}, {"disk_gb": -1.0}])
def test_a_bound_that_holds_nothing_is_refused_by_its_knob(videos, limits):
    with pytest.raises(ValueError, match=r"--cache-gb: must be a finite number, more than 0, got (0|nan|-1)"):
        VisualStore(Model(), videos / "cache", videos, **limits)


def test_without_keep_nothing_stays_in_memory_and_every_video_ticks(videos):
    ticks = []
    store = VisualStore(Model(), videos / "cache", videos)
    failed = store.load(["0.mp4", "1.mp4", "0.mp4", "none.mp4"], lambda: ticks.append(1), keep=False)
    assert list(failed) == ["none.mp4"] and len(ticks) == 3
    assert not store.kept and store.kept_bytes == 0 and store.written == store.size() > 0
    store.close()


def test_a_torn_file_in_the_cache_is_made_anew(videos):
    model = Model()
    store = VisualStore(model, videos / "cache", videos, memory_gb=1e-9)
    want = store.features("1.mp4")["features"]
    path = store._file(videos / "1.mp4")
    path.write_bytes(path.read_bytes()[:20])
    store.features("2.mp4")
    assert torch.equal(store.features("1.mp4")["features"], want) and model.seen == 3
    assert torch.equal(load_file(path)["features"], want)
    store.close()


def test_a_bad_video_leaves_nothing_in_the_cache(videos):
    (videos / "bad.mp4").write_bytes(b"not a video")
    store = VisualStore(Model(), videos / "cache", videos)
    failed = store.load(["0.mp4", "bad.mp4", "gone.mp4"])
    assert set(failed) == {"bad.mp4", "gone.mp4"} and "bad.mp4: not a readable video" in failed["bad.mp4"]
    assert len(list((videos / "cache").rglob("*.safetensors"))) == 1
    with pytest.raises(VideoError, match=r"gone\.mp4"):
        store.media(["gone.mp4"])
    store.close()


FILL = textwrap.dedent("""
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from test_visual_store import Model
    from synvita.videollm.visual import VisualStore
    root = Path(sys.argv[1])
    store = VisualStore(Model(scale=200000), root / "cache", root)
    print("ready", flush=True)
    for turn in range(100):
        store.kept.clear()
        for i in range(6):
            path = store._file(root / f"{i}.mp4")
            path.unlink(missing_ok=True)
            store.features(f"{i}.mp4")
""")


def test_two_processes_and_a_kill_leave_only_whole_files(videos):
    command = [sys.executable, "-c", FILL, str(videos), str(Path(__file__).parent)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for process in both:
        process.stdout.readline()
    time.sleep(1.5)
    for process in both:
        process.kill()
        process.wait()
        process.stdout.close()
    model = Model(scale=200000)
    files = list((videos / "cache").rglob("*.safetensors"))
    assert files
    for path in files:
        assert load_file(path)["features"].shape == (800000, 3)
    store = VisualStore(model, videos / "cache", videos)
    assert not store.load([f"{i}.mp4" for i in range(6)])
    store.close()


def test_a_file_that_took_the_place_of_another_is_looked_at_anew_by_the_same_store(videos):
    model = Model()
    store = VisualStore(model, None, videos)
    before = store.features("0.mp4")
    shutil.copy(videos / "1.mp4", videos / "0.mp4")
    after = store.features("0.mp4")
    assert model.seen == 2 and any((before[name] != after[name]).any() for name in before)
    store.close()
