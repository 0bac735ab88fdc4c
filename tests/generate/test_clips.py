"""The generate stage: records come after their files, seeds decide what is shown, what is lost is made again."""

import contextlib
import sys

import numpy as np
import pytest
from run_files import generate

from synvita.core.artefacts import read_clips
from synvita.core.provenance import file_digest
from synvita.core.records import Triplet
from synvita.core.set_aside import read_set_aside
from synvita.core.store import parse_lines, read_records, write_records
from synvita.core.video import read_frames
from synvita.core.write_video import write_video
from synvita.generate.clips import GenerateConfig, generator_part

OWN = '''
import numpy as np

class Painter:
    """Paints a clip in greys that its seed decides; refuses captions and paints what cannot be written on demand."""
    refused, odd, asked, calls = set(), set(), [], []

    def describe(self):
        return {"revision": "1", "fps": 4, "settings": {"style": "plain"}}

    def generate(self, captions, seeds):
        self.calls.append(len(captions))
        for caption in captions:
            if caption in self.refused:
                raise ValueError(f"cannot show {caption}")
        return [self.video(*one) for one in zip(captions, seeds)]

    def video(self, caption, seed):
        self.asked.append((caption, seed))
        side = 15 if caption in self.odd else 16
        grey = np.random.default_rng(seed).integers(0, 256)
        return np.full((4, side, side, 3), grey, np.uint8)

class Nameless(Painter):
    def describe(self):
        return {"fps": 4}

class Still(Painter):
    def describe(self):
        return {"revision": "1", "fps": 0}

class Needy(Painter):
    def __init__(self, key):
        pass

class Grey(Painter):
    def video(self, caption, seed):
        return np.zeros((4, 16, 16), np.uint8)

class Short(Painter):
    def generate(self, captions, seeds):
        return []

class Silent:
    def describe(self):
        return {"revision": "1", "fps": 4}
'''

NEGATIVES = ["a dog sits", "snow falls", "a dog sits", "two rings"]  # the first and third are one clip


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_generators.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    import own_generators

    yield own_generators
    sys.modules.pop("own_generators", None)


@pytest.fixture
def run(tmp_path):
    triplets = [Triplet(f"t{i}", "v.mp4", f"caption {i}", negative) for i, negative in enumerate(NEGATIVES)]
    triplets.append(Triplet("test", "v.mp4", "caption", "not for training", split="test"))
    write_records(tmp_path / "run" / "triplets.jsonl", triplets)
    return tmp_path / "run"


def config(name="Painter", **rest):
    return GenerateConfig(f"own_generators:{name}", **rest)


def clips_of(run):
    return {clip.caption: clip for clip in read_clips(run).values()}


def links_of(run):
    return [(fields["triplet_id"], fields["clip_id"]) for _, fields in parse_lines(run / "clip_of_triplet.jsonl")]


def test_equal_captions_share_a_clip_and_nothing_is_made_twice(run, own):
    assert generate(run, config()) == {"made": 3, "kept": 0, "set_aside": 0}
    clips = clips_of(run)
    assert set(clips) == {"a dog sits", "snow falls", "two rings"}
    assert links_of(run) == [(f"t{i}", clips[text].clip_id) for i, text in enumerate(NEGATIVES)]
    own.Painter.asked.clear()
    assert generate(run, config()) == {"made": 0, "kept": 3, "set_aside": 0}
    assert own.Painter.asked == []


def test_a_clip_without_a_whole_file_has_no_record(run, own, monkeypatch):
    monkeypatch.setattr(own.Painter, "odd", {"snow falls"})  # 15 x 15 pixels cannot be written as 4:2:0
    with contextlib.suppress(ValueError):
        generate(run, config())
    journal = (run / "clips/Painter/.clips.journal").read_text()
    assert clips_of(run) == {} and "snow falls" not in journal
    kept = sum(caption in journal for caption in set(NEGATIVES))
    monkeypatch.setattr(own.Painter, "odd", set())
    assert generate(run, config()) == {"made": 3 - kept, "kept": kept, "set_aside": 0}
    clips = clips_of(run)
    assert set(clips) == set(NEGATIVES)
    for clip in clips.values():
        assert read_frames(run / clip.file, [0]).shape == (1, 16, 16, 3)


def test_another_seed_makes_other_clips_and_the_same_seed_the_same(run, own, tmp_path):
    shown = []
    for number, seed in enumerate((0, 1, 0)):
        folder = tmp_path / f"seed-{number}"
        write_records(folder / "triplets.jsonl", read_records(run / "triplets.jsonl", Triplet))
        generate(folder, config(seed=seed))
        clips = clips_of(folder)
        pixels = [int(read_frames(folder / clip.file, [0])[0, 0, 0, 0]) for clip in clips.values()]
        shown.append(([clip.clip_id for clip in clips.values()], pixels, [clip.seed for clip in clips.values()]))
    assert shown[0] == shown[2]
    for first, second in zip(shown[0], shown[1], strict=True):
        assert all(a != b for a, b in zip(first, second, strict=True))
    assert len(set(shown[0][2])) == 3  # every clip has a seed of its own


def test_the_record_holds_the_seed_that_the_generator_got(run, own):
    own.Painter.asked.clear()
    generate(run, config(seed=5))
    assert own.Painter.asked == [(clip.caption, clip.seed) for clip in clips_of(run).values()]
    for clip in clips_of(run).values():
        grey = np.random.default_rng(clip.seed).integers(0, 256)
        assert abs(int(read_frames(run / clip.file, [0])[0, 0, 0, 0]) - int(grey)) <= 3


def test_a_lost_file_is_made_again_the_same_and_not_recorded_twice(run, own):
    generate(run, config())
    before = (run / "clips/Painter/clips.jsonl").read_bytes()
    lost = run / clips_of(run)["snow falls"].file
    content = lost.read_bytes()
    lost.unlink()
    assert generate(run, config()) == {"made": 1, "kept": 2, "set_aside": 0}
    assert lost.read_bytes() == content and (run / "clips/Painter/clips.jsonl").read_bytes() == before


def test_a_file_that_somebody_exchanged_is_made_again(run, own):
    generate(run, config())
    clip = clips_of(run)["snow falls"]
    before = (run / clip.file).read_bytes()
    assert clip.digest == file_digest(run / clip.file)
    write_video(run / clip.file, np.full((4, 16, 16, 3), 9, np.uint8), 4)
    assert generate(run, config()) == {"made": 1, "kept": 2, "set_aside": 0}
    assert (run / clip.file).read_bytes() == before


def test_a_refused_caption_is_tried_again_and_counted_again(run, own, monkeypatch):
    monkeypatch.setattr(own.Painter, "refused", {"snow falls", "two rings"})
    assert generate(run, config()) == {"made": 1, "kept": 0, "set_aside": 2}
    assert {row["reason"] for row in read_set_aside(run)} == {"cannot show snow falls", "cannot show two rings"}
    assert [triplet for triplet, _ in links_of(run)] == ["t0", "t2"]
    assert generate(run, config())["set_aside"] == 2
    monkeypatch.setattr(own.Painter, "refused", {"two rings"})
    assert generate(run, config()) == {"made": 1, "kept": 1, "set_aside": 1}
    assert [row["reason"] for row in read_set_aside(run)] == ["cannot show two rings"]
    assert [triplet for triplet, _ in links_of(run)] == ["t0", "t1", "t2"]


@pytest.mark.parametrize(("name", "key"), [("triplets", "id 't0'"), ("clips/Painter/clips", "clip_id '[0-9a-f]{16}'")])
def test_a_record_that_is_there_twice_is_refused_by_file_and_line(run, own, name, key):
    generate(run, config())
    path = run / f"{name}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[0]]))
    with pytest.raises(ValueError, match=rf"{name}\.jsonl:{len(lines) + 1}: {key}.*already in line 1"):
        generate(run, config())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Nameless", r"describe\(\) of own_generators:Nameless gives no 'revision'"),
        ("Still", r"describe\(\) of own_generators:Still gives 0 for 'fps'"),
        ("Needy", r"own_generators:Needy cannot be made"),
        ("Silent", r"own_generators:Silent has no generate\(\); it needs describe, generate"),
        ("Nobody", r"cannot load 'own_generators:Nobody'"),
        ("Grey", r"Grey.generate gave uint8 of shape \(4, 16, 16\); a video is uint8 \(T, H, W, 3\)"),
        ("Short", r"Short.generate gave 0 videos for 1 captions"),
    ],
)
def test_a_class_that_is_no_generator_is_one_line_and_writes_nothing(run, own, name, reason):
    before = sorted(run.parent.rglob("*.mp4"))
    with pytest.raises(ValueError, match=rf"^--generate\.generator: own_generators:{name}: {reason}") as caught:
        generate(run, config(name))
    assert "\n" not in str(caught.value) and sorted(run.parent.rglob("*.mp4")) == before


def test_a_batch_is_asked_at_once_and_one_by_one_where_a_caption_is_refused(run, own, monkeypatch):
    entries = {"mine": {"use": "own_generators:Painter", "batch": 3}}
    own.Painter.calls.clear()
    assert generate(run, GenerateConfig("mine"), entries)["made"] == 3 and own.Painter.calls == [3]
    assert {clip.generator for clip in read_clips(run).values()} == {"mine"}
    monkeypatch.setattr(own.Painter, "refused", {"snow falls"})
    entries = {"other": {"use": "own_generators:Painter", "batch": 3}}
    assert generate(run, GenerateConfig("other"), entries) == {"made": 2, "kept": 0, "set_aside": 1}
    assert own.Painter.calls == [3, 3, 1, 1, 1]


def test_an_unknown_generator_is_named_with_the_known_and_the_nearest():
    with pytest.raises(ValueError, match=r"^--generators: unknown 'world_simulato'; did you mean 'world_simulator'\?"):
        generator_part("world_simulato", {}, "--generators")
    with pytest.raises(
        ValueError, match=r"^--generate\.generator: unknown 'x'; known: .*mine, .*world_simulator; or your"
    ):
        generator_part("x", {"mine": {"use": "a:B"}})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, r"--generate\.seed: -1"),
        ({"seed": 1.0}, r"--generate\.seed: 1\.0"),
        ({"seed": True}, r"--generate\.seed: True"),
        ({"seed": None}, r"--generate\.seed: None"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_when_it_is_read(wrong, message):
    with pytest.raises(ValueError, match=message):
        GenerateConfig(**wrong)
