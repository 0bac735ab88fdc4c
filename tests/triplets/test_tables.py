"""Tables in three formats and two schemas; every kind of bad row is named by its line and set aside."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synvita.core.records import Misalignment, Triplet
from synvita.triplets.tables import MISALIGNMENT_NAMES, BadRow, read_triplets, summary, write_set_aside

OWN = ["id", "video", "caption", "negative_caption", "misalignment", "split"]
ODD = 'two "dogs", running\nfast 🐕, é'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    for name in ("a", "b"):
        (tmp_path / "clips" / f"{name}.mp4").write_bytes(b"")
    return tmp_path


def row(**changes: Any) -> dict[str, Any]:
    usual = {"id": "t1", "video": "clips/a.mp4", "caption": "a dog runs", "negative_caption": "a cat runs"}
    return {**usual, "misalignment": "object", "split": "train", **changes}


def write_csv(path: Path, rows: list[dict[str, Any]], encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(each) for each in rows), encoding="utf-8")  # no last newline, as people do
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


WRITERS = {"csv": write_csv, "jsonl": write_jsonl, "parquet": write_parquet}


@pytest.mark.parametrize("kind", WRITERS)
def test_round_trip(folder: Path, kind: str) -> None:
    rows = [row(caption=ODD), row(id="t2", video="clips/b.mp4", misalignment="flip", split="test_open")]
    imported = read_triplets(WRITERS[kind](folder / f"table.{kind}", rows))
    video = {name: (folder / "clips" / f"{name}.mp4").as_posix() for name in "ab"}
    assert imported.triplets == [
        Triplet("t1", video["a"], ODD, "a cat runs", Misalignment.OBJECT, "train"),
        Triplet("t2", video["b"], "a dog runs", "a cat runs", Misalignment.FLIP, "test_open"),
    ]
    assert imported.set_aside == []


@pytest.mark.parametrize("kind", WRITERS)
def test_id_and_split_have_defaults(folder: Path, kind: str) -> None:
    rows = [{key: value for key, value in row().items() if key not in ("id", "split")}] * 2
    triplets = read_triplets(WRITERS[kind](folder / f"mine.{kind}", rows)).triplets
    assert [(t.id, t.split) for t in triplets] == [("mine:1", "train"), ("mine:2", "train")]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_numbers_are_ids_and_null_is_none(folder: Path, kind: str) -> None:
    table = WRITERS[kind](folder / f"t.{kind}", [row(id=7, split=None), row(id=None)])
    assert [t.id for t in read_triplets(table).triplets] == ["7", "t:2"]


@pytest.mark.parametrize("kind", WRITERS)
def test_videocon_columns(folder: Path, kind: str) -> None:
    video = "a.mp4"
    rows = [
        {
            "source": "msrvtt",
            "videopath": video,
            "caption": "a dog runs",
            "neg_caption": "a cat runs",
            "nle": "a cat, not a dog",
            "split": "val",
            "misalignment": name,
            "youtube_key": "x" if name == "counting" else "",
        }
        for name in ("counting", "Event_Order-Flip", "hallucinations")
    ]
    imported = read_triplets(WRITERS[kind](folder / f"vc.{kind}", rows), video_root=folder / "clips")
    assert [str(t.misalignment) for t in imported.triplets] == ["count", "flip", "hallucination"]
    assert {t.video for t in imported.triplets} == {(folder / "clips/a.mp4").as_posix()}
    assert [t.id for t in imported.triplets] == ["vc:1", "vc:2", "vc:3"]


def test_every_alias_is_in_normal_form() -> None:
    assert all(name == " ".join(name.lower().split()) and "_" not in name for name in MISALIGNMENT_NAMES)
    assert set(MISALIGNMENT_NAMES.values()) == set(Misalignment)


BAD = {
    "empty caption": (row(id="x", caption=" "), "caption: empty"),
    "empty negative": (row(id="x", negative_caption=""), "negative_caption: empty"),
    "identical": (row(id="x", negative_caption="a dog runs "), "the same as caption"),
    "misalignment": (row(id="x", misalignment="colour"), "unknown type 'colour'; known: object"),
    "split": (row(id="x", split="dev"), "unknown split 'dev'; known: train"),
    "missing video": (row(id="x", video="clips/c.mp4"), "clips/c.mp4' cannot be found"),
    "folder": (row(id="x", video="clips"), "is a folder"),
    "long name": (row(id="x", video="v" * 5000), "cannot be found"),
    "traversal": (row(id="x", video="clips/../../a.mp4"), "no path of a manifest leaves its folder"),
    "duplicate id": (row(), "id: 't1' is already used at {first}"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_bad_row_is_named_and_the_others_go_on(folder: Path, kind: str) -> None:
    rows = [row(), *(bad for bad, _ in BAD.values()), row(id="last")]
    table = WRITERS[kind](folder / f"t.{kind}", rows)
    imported = read_triplets(table)
    assert [t.id for t in imported.triplets] == ["t1", "last"]
    place = {"csv": f"{table}:%d", "jsonl": f"{table}:%d", "parquet": f"{table}:row %d"}[kind]
    first = 2 if kind == "csv" else 1
    assert [bad.where for bad in imported.set_aside] == [place % (first + i) for i in range(1, len(BAD) + 1)]
    for bad, (_, reason) in zip(imported.set_aside, BAD.values(), strict=True):
        assert reason.format(first=place % first) in bad.reason


def test_newlines_in_quoted_fields_keep_line_numbers(folder: Path) -> None:
    table = folder / "t.csv"
    lines = [
        ",".join(OWN),
        't1,clips/a.mp4,"one',
        'two",three,object,train',
        "",
        't2,clips/a.mp4,"one',
        'two",three,colour,train',
        "t3,clips/a.mp4,a dog, running,a cat,object,train",
        "t4,clips/a.mp4,a,b",
        "t5,clips/a.mp4,one,two,object,train",
        't6,clips/a.mp4,"one" more,two,object,train',
        "t7,clips/a.mp4,one,two,object,train",
        't8,clips/a.mp4,"never closed,two,object,train',
        "t9,clips/a.mp4,one,two,object,train",
    ]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    imported = read_triplets(table)
    assert [t.id for t in imported.triplets] == ["t1", "t5", "t7"]
    assert imported.triplets[0].caption == "one\ntwo"
    expected = [(5, "colour"), (7, "7 fields"), (8, "4 fields"), (10, "not CSV"), (12, "up to line 13")]
    assert [bad.where for bad in imported.set_aside] == [f"{table}:{line}" for line, _ in expected]
    assert all(reason in bad.reason for bad, (_, reason) in zip(imported.set_aside, expected, strict=True))


def test_bad_json_lines_are_set_aside(folder: Path) -> None:
    table = folder / "t.jsonl"
    missing = {key: value for key, value in row(id="x").items() if key != "caption"}
    deep = json.dumps(row(id="w"))[:-1] + ', "caption": ' + "[" * 900 + "]" * 900 + "}"
    surrogate = json.dumps(row(id="y", caption="half \ud800"))
    nul = json.dumps(row(id="z", video="a\x00b"))
    lines = ["{", "[1]", json.dumps(row()), "", json.dumps(missing), surrogate, nul, "[" * 100_000, deep]
    table.write_text("\r\n".join(lines), encoding="utf-8")
    imported = read_triplets(table)
    assert len(imported.triplets) == 1
    assert [bad.where for bad in imported.set_aside] == [f"{table}:{line}" for line in (1, 2, 5, 6, 7, 8, 9)]
    write_set_aside(folder / "bad.jsonl", imported.set_aside)
    written = (folder / "bad.jsonl").read_text(encoding="utf-8").splitlines()
    assert [BadRow(**json.loads(line)) for line in written] == imported.set_aside


def test_absolute_paths_and_the_root(folder: Path) -> None:
    inside, outside = folder / "clips" / "a.mp4", folder / "out.mp4"
    outside.write_bytes(b"")
    rows = [row(id="in", video=str(inside)), row(id="out", video=str(outside)), row(id="up", video="../out.mp4")]
    table = write_csv(folder / "t.csv", rows)
    rooted = read_triplets(table, video_root=folder / "clips")
    assert [t.id for t in rooted.triplets] == ["in"]
    assert all("leaves its folder" in bad.reason for bad in rooted.set_aside) and len(rooted.set_aside) == 2
    assert [t.id for t in read_triplets(table).triplets] == ["in", "out"]
    with pytest.raises(ValueError, match=r"video_root: .*nowhere' is not a folder"):
        read_triplets(table, video_root=folder / "nowhere")


def test_relative_table_gives_absolute_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_csv(folder / "t.csv", [row()])
    monkeypatch.chdir(folder)
    assert read_triplets(Path("t.csv")).triplets[0].video == (folder / "clips/a.mp4").as_posix()
    assert read_triplets(Path("t.csv"), Path()).triplets[0].video == (folder / "clips/a.mp4").as_posix()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_is_left_to_the_decoder(folder: Path) -> None:
    os.mkfifo(folder / "pipe.mp4")
    assert len(read_triplets(write_csv(folder / "t.csv", [row(video="pipe.mp4")])).triplets) == 1


def test_bom_and_spaces_in_the_header(folder: Path) -> None:
    table = write_csv(folder / "t.csv", [row(caption=ODD)], encoding="utf-8-sig")
    table.write_text(table.read_text(encoding="utf-8").replace("video,caption", "video, caption", 1), encoding="utf-8")
    assert [t.id for t in read_triplets(table).triplets] == ["t1"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_damaged_text_names_the_line(folder: Path, kind: str) -> None:
    table = WRITERS[kind](folder / f"t.{kind}", [row(caption="one"), row(id="t2", caption="two")])
    good = table.read_bytes()
    line = 3 if kind == "csv" else 2
    for bad, reason in ((b"\xff", "byte 0xff is not UTF-8"), (b"\x00", "a NUL byte")):
        table.write_bytes(good.replace(b"two", bad))
        with pytest.raises(ValueError, match=f"{kind}:{line}: {reason}"):
            read_triplets(table)


def test_unknown_suffix_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown suffix '.xlsx'; known: .csv, .jsonl, .parquet"):
        read_triplets(tmp_path / "t.xlsx")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_triplets(tmp_path / "t.csv")


@pytest.mark.parametrize("kind", WRITERS)
def test_missing_columns(folder: Path, kind: str) -> None:
    rows = [{"videopath": "a", "caption": "b", "negative": "c", "misalignment": "d"}]
    table = WRITERS[kind](folder / f"t.{kind}", rows)
    with pytest.raises(ValueError) as caught:
        read_triplets(table)
    message = str(caught.value)
    assert message.startswith(f"{table}: missing columns: neg_caption; found: videopath, caption, negative, misal")
    assert "own: video, caption, negative_caption" in message
    assert "VideoCon: videopath, caption, neg_caption" in message


def test_a_column_twice(folder: Path) -> None:
    (folder / "t.csv").write_text("video,caption,caption,negative_caption,misalignment\na,b,c,d,e\n")
    with pytest.raises(ValueError, match="column 'caption' is there 2 times"):
        read_triplets(folder / "t.csv")
    names = ["video", "caption", "caption", "negative_caption", "misalignment"]
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays([["a"]] * 5, names=names), folder / "t.parquet")
    with pytest.raises(ValueError, match="column 'caption' is there 2 times"):
        read_triplets(folder / "t.parquet")


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
@pytest.mark.parametrize("text", ["", "\n\n"])
def test_empty_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name}: no rows"):
        read_triplets(tmp_path / name)


def test_nothing_usable(folder: Path) -> None:
    (folder / "head.csv").write_text(",".join(OWN) + "\n")
    with pytest.raises(ValueError, match="no rows"):
        read_triplets(folder / "head.csv")
    with pytest.raises(ValueError, match=r"no usable row, 1 set aside; the first: .*t.csv:2: caption: empty"):
        read_triplets(write_csv(folder / "t.csv", [row(caption="")]))
    (folder / "broken.jsonl").write_text("{\n")
    with pytest.raises(ValueError, match=r"no usable row, 1 set aside; .*broken.jsonl:1: not JSON"):
        read_triplets(folder / "broken.jsonl")
    (folder / "hollow.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match=r"missing columns: video, .*found: none"):
        read_triplets(folder / "hollow.jsonl")
    (folder / "t.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(ValueError, match=r"t.parquet: not a readable Parquet file"):
        read_triplets(folder / "t.parquet")


def test_summary(folder: Path) -> None:
    rows = [row(), row(id="t2", misalignment="flip"), row(id="t3", video="clips/b.mp4", split="test"), row()]
    counts = summary(read_triplets(write_csv(folder / "t.csv", rows)))
    assert (counts["triplets"], counts["videos"], counts["set_aside"]) == (3, 2, 1)
    assert counts["by_split"] == {"train": 2, "val": 0, "test": 1, "test_open": 0}
    assert (counts["by_misalignment"]["object"], counts["by_misalignment"]["flip"]) == (2, 1)
    assert counts["by_split_and_misalignment"]["train"]["flip"] == 1
    assert json.loads(json.dumps(counts)) == counts


captions = st.text(min_size=1).filter(lambda text: text.strip() and "\x00" not in text)
pairs = st.tuples(captions, captions).filter(lambda pair: pair[0].strip() != pair[1].strip())


@settings(max_examples=50, deadline=None)
@given(st.lists(pairs, min_size=1, max_size=4))
def test_weird_captions_survive(texts: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.mp4").write_bytes(b"")
        rows = [
            row(id=str(i), video="a.mp4", caption=caption, negative_caption=negative)
            for i, (caption, negative) in enumerate(texts)
        ]
        for kind in ("csv", "jsonl"):
            imported = read_triplets(WRITERS[kind](folder / f"t.{kind}", rows))
            assert [(t.caption, t.negative_caption) for t in imported.triplets] == texts
            assert imported.set_aside == []


def test_a_table_without_types_and_videocons_explanations_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "t.csv").write_text(
        "videopath,caption,neg_caption,nle\na.mp4,a dog runs,a dog sits,the dog does not sit\n"
    )
    (found,) = read_triplets(tmp_path / "t.csv").triplets
    assert found.misalignment is None and found.explanation == "the dog does not sit"
