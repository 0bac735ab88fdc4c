"""Image-to-video pipelines start with the first frame of the triplet's own real video; a clip is its video's."""

import inspect

import numpy as np
import pytest
import yaml
from tiny_pipelines import IMAGE, SMALL, save

from synvita.cli import main
from synvita.core.artefacts import read_clips
from synvita.core.links import clip_links
from synvita.core.provenance import file_digest
from synvita.core.records import Triplet
from synvita.core.set_aside import read_set_aside
from synvita.core.store import read_records, write_records
from synvita.core.video import read_frames
from synvita.core.write_video import write_video
from synvita.generate.first_frame import fitted
from synvita.recipes import recipe

NEGATIVE = "a red ring moving left"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("pipelines")
    return {name: save(name, root / name, IMAGE) for name in IMAGE}


@pytest.fixture
def run(tmp_path):
    """Three triplets with one negative caption; the first two have the same real video, and one video is broken."""
    folder = tmp_path / "run"
    for i in range(2):
        rng = np.random.default_rng(i)
        write_video(folder / f"videos/{i}.mp4", rng.integers(0, 255, (5, 48, 64, 3), dtype=np.uint8), 4)
    (folder / "videos/2.mp4").write_bytes(b"no video")
    names = ["videos/0.mp4", "videos/0.mp4", "videos/1.mp4", "videos/2.mp4"]
    write_records(folder / "triplets.jsonl", [Triplet(f"t{i}", v, f"real {i}", NEGATIVE) for i, v in enumerate(names)])
    (folder / "config.yaml").write_text(yaml.safe_dump(recipe("own_triplets").as_dict()))
    return folder


def generate(run, checkpoint, *flags, **more):
    knobs = {"use": "diffusers", "checkpoint": str(checkpoint), "fps": 4, "guidance": 3.0, **SMALL, **more}
    entry = yaml.safe_dump(knobs, default_flow_style=True, width=9999)
    return main(["generate", "--run", str(run), "--generators", "mine", "--generators.mine", entry, *flags])


@pytest.mark.parametrize("name", IMAGE)
def test_a_clip_starts_with_its_own_real_videos_first_frame(name, run, folders, monkeypatch):
    kind, pictures = type(IMAGE[name]()), []
    real = kind.__call__

    def call(self, *, image, **rest):
        pictures.append(image)
        return real(self, image=image, **rest)

    call.__signature__ = inspect.signature(real)
    monkeypatch.setattr(kind, "__call__", call)
    assert generate(run, folders[name], "--from-first-frame", batch=4) == 3
    clips, links = read_clips(run), clip_links(run)
    assert len(clips) == 2 and links["t0"] == links["t1"] != links["t2"] and "t3" not in links
    assert "no video" in read_set_aside(run)[0]["reason"] or "2.mp4" in read_set_aside(run)[0]["reason"]
    starts = {clips[links[t][0]].settings["first_frame_of"] for t in ("t0", "t2")}
    assert starts == {"videos/0.mp4", "videos/1.mp4"}
    wanted = {fitted(read_frames(run / video, [0])[0], 32, 32).tobytes() for video in starts}
    assert {picture.tobytes() for picture in pictures} == wanted and {picture.size for picture in pictures} == {
        (32, 32)
    }
    for clip in clips.values():
        assert clip.settings["video_digest"] == file_digest(run / clip.settings["first_frame_of"])
        assert clip.settings["pipeline"] == kind.__name__


def test_another_picture_makes_another_clip_of_the_same_seed_and_caption(folders):
    from synvita.generate import load

    generator = load("diffusers", checkpoint=str(folders["ltx"]), from_first_frame=True, **SMALL)
    dark, light = (generator.asked([NEGATIVE], [1], image=fitted(np.full((32, 32, 3), v, np.uint8), 32, 32))
                   for v in (20, 220))  # fmt: skip
    assert (np.abs(dark[0].astype(int) - light[0]) > 1).mean() > 0.2


def test_an_exchanged_real_video_makes_another_clip(run, folders):
    write_records(run / "triplets.jsonl", read_records(run / "triplets.jsonl", Triplet)[:1])
    assert generate(run, folders["ltx"], "--from-first-frame") == 0
    (before,) = read_clips(run)
    assert generate(run, folders["ltx"], "--from-first-frame") == 0 and list(read_clips(run)) == [before]
    write_video(run / "videos/0.mp4", np.full((5, 48, 64, 3), 99, np.uint8), 4)
    assert generate(run, folders["ltx"], "--from-first-frame") == 0
    assert set(read_clips(run)) > {before} and clip_links(run)["t0"] != [before]


def test_a_picture_is_cut_to_the_clips_proportions_and_not_distorted():
    frame = np.zeros((40, 120, 3), np.uint8)
    frame[:, 40:80] = 255  # the middle square
    assert np.asarray(fitted(frame, 20, 20))[:, 2:-2].min() >= 250
    assert fitted(frame, 20, 60).size == (60, 20)


def test_ltx_weights_serve_both_pipelines(run, tmp_path):
    folder = save("ltx", tmp_path / "ltx")  # as the released one: its index names the text-to-video class
    write_records(run / "triplets.jsonl", read_records(run / "triplets.jsonl", Triplet)[:1])
    assert generate(run, folder, "--from-first-frame") == 0
    assert {clip.settings["pipeline"] for clip in read_clips(run).values()} == {"LTXImageToVideoPipeline"}


def test_what_cannot_be_is_one_line_and_makes_nothing(run, folders, tmp_path, capsys):
    text_only = save("cogvideox", tmp_path / "cogvideox")
    assert generate(run, text_only, "--from-first-frame") == 2
    assert "from_first_frame: " in (error := capsys.readouterr().err) and "takes no picture" in error
    assert generate(run, folders["cogvideox"], from_first_frame=False) == 2
    assert "starts from a picture; give from_first_frame true (--from-first-frame)" in capsys.readouterr().err
    (run / "videos/1.mp4").unlink()
    assert generate(run, folders["ltx"], "--from-first-frame") == 2
    error = capsys.readouterr().err
    assert "triplet t2: " in error and "No such file" in error and error.count("\n") == 1
    assert not list(run.glob("clips/*/*.mp4"))
    assert main(["clip", "a ring", "--generator", f"diffusers:{folders['ltx']}", "--out", str(tmp_path / "o.mp4")]) == 2


def test_wans_pipeline_is_refused_where_the_package_is_missing_that_it_takes_for_granted(
    run, tmp_path, capsys, monkeypatch
):
    folder = save("wan", tmp_path / "wan")
    index = (folder / "model_index.json").read_text()
    (folder / "model_index.json").write_text(index.replace("WanPipeline", "WanImageToVideoPipeline"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert generate(run, folder, "--from-first-frame") == 2
    assert "is a WanImageToVideoPipeline, which needs ftfy; pip install ftfy" in capsys.readouterr().err
