"""Clips go out as a VideoFolder and come in again with the same bytes."""

import json
import tarfile

import pyarrow.parquet
import pytest
from run_files import write_clips, write_scores, write_weights

from synvita.cli import main
from synvita.core.artefacts import read_clips
from synvita.core.chosen import ChosenClip
from synvita.core.provenance import file_digest
from synvita.core.records import Clip, ClipWeight, ScoredClip
from synvita.core.store import write_records
from synvita.publish.shards import export_shards
from synvita.publish.videofolder import export

CAPTIONS = ["a man walks", "two dogs sit", "a ball | falls"]


@pytest.fixture
def run(tmp_path):
    """Three triplets with a clip each; one scorer and one group of weights."""
    (tmp_path / "v.mp4").write_bytes(b"0")
    lines = "".join(f"v.mp4,caption {i},{text}\n" for i, text in enumerate(CAPTIONS))
    (tmp_path / "mine.csv").write_text(f"video,caption,negative_caption\n{lines}")
    folder = tmp_path / "run"
    assert main(["triplets", "import", str(tmp_path / "mine.csv"), "--run", str(folder)]) == 0
    clips = []
    for i, text in enumerate(CAPTIONS):
        file = folder / "clips" / "mine" / f"{i}.mp4"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(f"clip {i}".encode())
        name = f"clips/mine/{i}.mp4"
        clips.append(Clip(f"c{i}", text, "mine", "1", {}, 7, name, file_digest(file)))
    write_clips(folder, clips)
    write_scores(
        folder, [ScoredClip(c.clip_id, c.caption, "eye", 4, "both_ends", [8, 8], 0.25 * i) for i, c in enumerate(clips)]
    )
    write_weights(folder, [ClipWeight(f"t{i}", f"c{i}", "difference", ["eye"], 0.5) for i in range(2)])
    return folder


def test_what_a_judge_chose_is_a_column(run, tmp_path):
    write_records(run / "chosen_clips.jsonl", [ChosenClip("t1", "mine", "c1", ["eye"], {"c1": 0.25})])
    export(run, tmp_path / "out")
    rows = pyarrow.parquet.read_table(tmp_path / "out" / "metadata.parquet").to_pylist()
    assert [row["chosen"] for row in rows] == [False, True, False]
    assert "`chosen` (the best of its caption's, by eye)" in (tmp_path / "out" / "README.md").read_text()


def test_what_goes_out_has_captions_scores_and_weights_beside_the_files(run, tmp_path):
    assert main(["export", "--run", str(run), "--format", "videofolder", "--out", str(tmp_path / "out")]) == 0
    rows = pyarrow.parquet.read_table(tmp_path / "out" / "metadata.parquet").to_pylist()
    assert [row["caption"] for row in rows] == CAPTIONS and [row["score_eye"] for row in rows] == [0.0, 0.25, 0.5]
    assert [(row["triplet_ids"], row["weights"]) for row in rows] == [(["t0"], [0.5]), (["t1"], [0.5]), ([], [])]
    for row in rows:
        assert file_digest(tmp_path / "out" / row["file_name"]) == row["digest"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "3 clips made from captions by mine" in card and "`score_eye`" in card
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_it_comes_in_again_with_equal_digests(run, tmp_path):
    export(run, tmp_path / "out")
    other = tmp_path / "other"
    assert main(["triplets", "import", str(tmp_path / "mine.csv"), "--run", str(other)]) == 0
    assert main(["generate", "--clips", str(tmp_path / "out" / "metadata.parquet"), "--run", str(other)]) == 0
    there, here = read_clips(run).values(), read_clips(other).values()
    assert {(c.caption, c.generator, c.digest) for c in here} == {(c.caption, c.generator, c.digest) for c in there}


def test_a_clip_that_is_gone_or_another_file_is_named_and_left_out(run, tmp_path, capsys):
    (run / "clips" / "mine" / "0.mp4").unlink()
    (run / "clips" / "mine" / "1.mp4").write_bytes(b"something else")
    assert main(["export", "--run", str(run), "--out", str(tmp_path / "out")]) == 3
    shown = capsys.readouterr()
    assert "export: 1 clips" in shown.out and "2 set aside" in shown.out
    assert "c0: " in shown.err and "no such file" in shown.err and "not the video that was recorded" in shown.err
    assert len(pyarrow.parquet.read_table(tmp_path / "out" / "metadata.parquet")) == 1


def test_a_folder_that_is_not_empty_and_a_run_without_clips_are_refused(run, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("1")
    for arguments, text in (
        (["--run", str(run), "--out", str(tmp_path / "full")], "is not empty; give a new or empty folder"),
        (["--run", str(tmp_path), "--out", str(tmp_path / "out")], "is no run folder"),
        (["--run", str(run), "--out", str(tmp_path / "out"), "--generators", "mien"], "did you mean 'mine'?"),
    ):
        assert main(["export", *arguments]) == 2
        assert text in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["precious"] and not (tmp_path / "out").exists()


def test_shards_hold_each_clip_with_what_is_known_and_the_same_clips_give_the_same_bytes(run, tmp_path, monkeypatch):
    monkeypatch.setattr("synvita.publish.shards.SHARD_CLIPS", 2)
    (run / "clips" / "mine" / "2.mp4").write_bytes(b"something else")
    for name in ("one", "two"):
        out = str(tmp_path / name)
        assert main(["export", "--run", str(run), "--format", "webdataset", "--out", out]) == 3
    shards = sorted((tmp_path / "one").glob("*.tar"))
    assert [path.name for path in shards] == ["clips-000000.tar"]
    assert shards[0].read_bytes() == (tmp_path / "two" / "clips-000000.tar").read_bytes()
    with tarfile.open(shards[0]) as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar}
    assert list(content) == [f"c{i}.{kind}" for i in range(2) for kind in ("mp4", "json", "txt")]
    assert content["c1.mp4"] == b"clip 1" and content["c1.txt"].decode() == CAPTIONS[1]
    known = json.loads(content["c1.json"])
    assert (known["caption"], known["score_eye"], known["weights"]) == (CAPTIONS[1], 0.25, [0.5])
    (run / "clips" / "mine" / "2.mp4").write_bytes(b"clip 2")
    assert export_shards(run, tmp_path / "three").clips == 3
    assert len(list((tmp_path / "three").glob("*.tar"))) == 2
    assert 'WebDataset("clips-{000000..000001}.tar")' in (tmp_path / "three" / "README.md").read_text()


def test_a_killed_export_goes_on_and_leaves_nothing_half(run, tmp_path, monkeypatch):
    from synvita.publish import videofolder

    real = videofolder.write_parquet
    monkeypatch.setattr(videofolder, "write_parquet", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(videofolder, "write_parquet", real)
    monkeypatch.setattr("shutil.copyfile", lambda *_: pytest.fail("copied again"))
    assert export(run, tmp_path / "out").clips == 3
