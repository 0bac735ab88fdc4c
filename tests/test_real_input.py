"""Files that we did not make: any size, rate and length through score, import, weigh, train and evaluate."""

import csv
import json
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from small import HOME

from synvita import Aligner
from synvita.cli import main
from synvita.recipes import THREE

CAPTIONS = ["a man walks his dog", 'a dog, "Rex", walks its man', "un café ☕ s'ouvre"]


def encode(path: Path, codec: str, size=(96, 64), frames=20, rate=24, gaps=None, pixels="yuv420p") -> Path:
    rng = np.random.default_rng(len(path.name))
    start = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = Fraction(1, 240)
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(start, 3 * i, 1), format="rgb24")
            frame.pts = sum(gaps[:i]) if gaps else i * 240 // rate
            frame.time_base = Fraction(1, 240)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


FILES = {
    "wide.mp4": {"codec": "libx264", "size": (320, 180)},
    "tall.webm": {"codec": "libvpx-vp9", "size": (48, 130)},
    "new.mp4": {"codec": "libsvtav1", "size": (128, 96), "frames": 12},
    "old.avi": {"codec": "mpeg4"},
    "variable.mp4": {"codec": "libx264", "gaps": [1, 30, 2, 60, 5] * 4},
    "short.mp4": {"codec": "libx264", "frames": 1},
    "ten_bit.mp4": {"codec": "libx264", "pixels": "yuv420p10le"},
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return {name: encode(folder / name, **how) for name, how in FILES.items()}


@pytest.fixture(scope="module")
def aligner():
    made = Aligner.from_pretrained()
    yield made
    made.close()


@pytest.mark.parametrize("name", list(FILES))
def test_any_file_and_any_caption_get_finite_scores(aligner, videos, name):
    found = aligner.score(videos[name], CAPTIONS)
    assert found.alignment.shape == found.log_odds.shape == (3,) and found.log_odds.dtype == np.float32
    assert np.isfinite(found.log_odds).all() and ((found.alignment >= 0) & (found.alignment <= 1)).all()
    np.testing.assert_allclose(found.alignment, 1 / (1 + np.exp(-found.log_odds)), rtol=1e-5)


def test_different_captions_never_become_the_same_tokens(aligner):
    ask = aligner.model.questioner.ask
    texts = ["a b", "a▁b", "a  b", "a b ", "A b", "a\nb", "ab", "a \u00e9 b", "a e\u0301 b", "\u200ba b"]
    assert len({tuple(ask(text).ids) for text in texts}) == len(texts)
    for text in texts:
        asked = ask(text)
        tokenizer = aligner.model.questioner.tokenizer
        assert f'"{text}"' in tokenizer.decode(asked.ids) and tokenizer.unk_token is None


def test_the_score_command_prints_one_line_per_caption(videos, capsys):
    assert main(["score", str(videos["wide.mp4"]), *CAPTIONS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(caption in line for caption, line in zip(CAPTIONS, lines[1:], strict=True))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: None, "no such file"),
        (lambda p: p.write_bytes(b""), "zero bytes"),
        (lambda p: p.write_text("not a video"), "clip.mp4"),
        (lambda p: os.mkfifo(p), "--decode-timeout"),
    ],
    ids=["missing", "zero-byte", "text", "fifo"],
)
def test_a_bad_video_is_named_in_one_line(tmp_path, capsys, make, said):
    path = tmp_path / "clip.mp4"
    make(path)
    assert main(["score", str(path), "a dog", "--decode-timeout", "1"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and str(path) in lines[0] and said.lower() in lines[0].lower(), lines


@pytest.mark.parametrize("caption", ["", "  ", "a </s> b", "<video>"])
def test_a_caption_that_cannot_be_asked_is_refused(videos, capsys, caption):
    assert main(["score", str(videos["wide.mp4"]), caption]) == 2
    assert "caption" in capsys.readouterr().err


@pytest.fixture(scope="module")
def own_run(videos, tmp_path_factory):
    """VideoCon's columns pointing at such files, with clips that somebody made: import -> weigh -> train -> report."""
    folder = tmp_path_factory.mktemp("own")
    names = [n for n in FILES if n != "short.mp4"]
    rows, clips = [], []
    for i, name in enumerate(names * 2):
        split = "train" if i < len(names) else "test"
        caption, negative = f"a man opens door number {i}", f"a man closes door number {i}"
        kind = ["action", "Object", "attribute", "counting", "relation", "flip"][i % 6]
        rows.append([str(videos[name]), caption, negative, kind, split, "kinetics"])
        if split == "train":
            clips.append([negative, str(videos[names[i - 1]]), "cogvideox"])
    rows.append([str(folder / "gone.mp4"), "a", "b", "action", "train", "x"])
    broken = folder / "broken.mp4"
    broken.write_bytes(b"\0" * 100)
    rows.append([str(broken), "a red car", "a blue car", "attribute", "train", "x"])
    clips.append(["a blue car", str(broken), "lavie"])
    rows.append([str(broken), "a dog runs", "a cat runs", "object", "test", "x"])
    table = folder / "train.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["videopath", "caption", "neg_caption", "misalignment", "split", "source"], *rows])
    with (folder / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["caption", "file", "generator"], *clips])
    return folder


def test_the_chain_runs_on_an_imported_table_and_names_what_is_set_aside(own_run, capsys):
    run = own_run / "run"
    assert main(["triplets", "check", str(own_run / "train.csv")]) == 3
    assert "train.csv:14:" in capsys.readouterr().err
    few = ["--train.epochs", "1"]
    assert main(["triplets", "import", str(own_run / "train.csv"), "--run", str(run), *few]) == 3
    assert main(["generate", "--run", str(run), "--clips", str(own_run / "clips.csv")]) == 0
    assert main(["weigh", "--run", str(run)]) == 3  # broken.mp4 is set aside
    capsys.readouterr()
    assert (
        main(["train", "--run", str(run), "--arms", "real_only,weighted", "--workers", "1"]) == 3
    )  # a training triplet's, too
    assert "1 videos could not be trained on" in capsys.readouterr().err
    assert sorted(p.name for p in (run / HOME / "adapters").iterdir()) == ["real_only", "weighted"]
    assert main(["evaluate", "--run", str(run), "--workers", "1"]) == 3  # broken.mp4 among the tests, too
    assert "2 pairs could not be scored" in capsys.readouterr().err
    assert main(["report", "--run", str(run)]) == 0
    arms = json.loads((run / "results.json").read_text())["arms"]
    assert (
        arms["weighted"]["with_clip"] == 6 and arms["weighted"]["weights_from"] == f"difference of {' + '.join(THREE)}"
    )
    assert arms["real_only"]["triplets"] == 6 and "broken.mp4" in arms["real_only"]["set_aside"][0]["video"]
    assert arms["weighted"]["in_distribution"]["expected"] == 14 and arms["weighted"]["in_distribution"]["missing"] == 2
    assert "broken.mp4" in (run / "set_aside.jsonl").read_text()


@pytest.mark.skipif("SYNVITA_REAL_CLIPS" not in os.environ, reason="run by hand with SYNVITA_REAL_CLIPS=FOLDER")
def test_real_clips_score(aligner):
    for path in sorted(Path(os.environ["SYNVITA_REAL_CLIPS"]).rglob("*.mp4")):
        found = aligner.score(path, ["A soccer team walking off the field", "a man talks about his plate of tacos"])
        assert np.isfinite(found.log_odds).all()
        print(path.name, found.alignment)
