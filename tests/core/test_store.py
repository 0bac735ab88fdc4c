"""Records and files survive kills, full disks and hand-made changes: whole or not there, and errors say where."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from synvita.core.store import Appender, as_line, make_record, parse_lines, read_records, write_atomic, write_records


@dataclass(frozen=True)
class Note:
    name: str
    tags: list[str] = field(default_factory=list)
    size: float = 0.0

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"size: {self.size} is below 0")


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "notes.jsonl"


class Syncs:
    """Stands for os.fsync: what was in the file, and what else was in its folder, each time it was called."""

    def __init__(self, watched: Path, error: OSError | None = None):
        self.watched, self.error, self.sizes = watched, error, []
        self.names: list[set[str]] = []
        self.seen: list[str | None] = []

    def __call__(self, descriptor: int) -> None:
        self.sizes.append(os.fstat(descriptor).st_size)
        self.names.append({path.name for path in self.watched.parent.iterdir()})
        self.seen.append(self.watched.read_text() if self.watched.exists() else None)
        if self.error:
            raise self.error


@pytest.fixture
def syncs(file, monkeypatch) -> Syncs:
    counted = Syncs(file)
    monkeypatch.setattr(os, "fsync", counted)
    return counted


def test_a_file_is_replaced_and_never_written_in_place(file):
    file.write_text("old")
    other_name = file.with_name("link")
    os.link(file, other_name)
    write_atomic(file, "new")
    assert file.read_text() == "new"
    assert other_name.read_text() == "old"
    assert {path.name for path in file.parent.iterdir()} == {"link", "notes.jsonl"}


def test_all_of_a_file_is_on_the_disk_before_it_gets_its_name(file, syncs):
    file.write_text("old")
    write_atomic(file, "é" * 500)
    assert syncs.sizes == [1000]  # bytes, none left in a buffer
    assert syncs.seen == ["old"]
    (part,) = syncs.names[0] - {"notes.jsonl"}
    assert part.startswith(".")  # beside it, so that the rename stays in one file system; no glob takes it for a record


def test_two_processes_write_beside_each_other(file, syncs, monkeypatch):
    parts = []
    for process in (11, 12):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        write_atomic(file, "text")
        parts.append(syncs.names[-1] - {"notes.jsonl"})
    assert parts[0] != parts[1]


@pytest.mark.parametrize("before", ["old", None])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(file, monkeypatch, before):
    if before:
        file.write_text(before)
    monkeypatch.setattr(os, "fsync", Syncs(file, OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_atomic(file, "new")
    assert {path.name: path.read_text() for path in file.parent.iterdir()} == ({file.name: before} if before else {})


def test_folders_are_made_text_is_utf_8_and_bytes_stay_bytes(tmp_path):
    write_atomic(tmp_path / "a" / "b" / "text", "ümlaut\n")
    write_atomic(tmp_path / "a" / "b" / "bytes", b"\x00\r\n\xff")
    assert (tmp_path / "a" / "b" / "text").read_bytes() == b"\xc3\xbcmlaut\n"
    assert (tmp_path / "a" / "b" / "bytes").read_bytes() == b"\x00\r\n\xff"


def test_a_record_is_one_line_with_its_fields_in_order():
    assert as_line(Note("é\n", ["b", "a"], 0.5)) == '{"name": "é\\n", "tags": ["b", "a"], "size": 0.5}\n'
    assert as_line({"z": 1, "a": None}) == '{"z": 1, "a": null}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_does_not_know_is_not_written(file, value):
    with pytest.raises(ValueError, match="JSON"):
        write_records(file, [{"size": value}])
    assert not file.exists()


def test_records_come_back_equal_and_in_order(file):
    notes = [Note("b", ["x"]), Note("a", size=0.1), Note("b", ["x"])]
    write_records(file, notes)
    assert read_records(file, Note) == notes
    assert file.read_text() == "".join(map(as_line, notes))


def test_a_torn_last_line_is_dropped_and_empty_lines_keep_the_count(file):
    file.write_text('{"name": "a"}\n\n  \n{"name": "b"}\n{"name": "c"}')
    assert list(parse_lines(file)) == [(1, {"name": "a"}), (4, {"name": "b"})]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "not JSON"),
        (b"[1]", "expected an object, got list"),
        (b'{"name": NaN}', "NaN is not JSON"),
        (b'{"name": "a", "name": "b"}', "the key 'name' is there twice"),
        (b'{"nam": "a"}', "unknown key 'nam' of a Note"),
        (b'{"name": "\xfc"}', "byte 0xfc is not UTF-8; mend or remove the line"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(file, line, says):
    file.write_bytes(b'{"name": "a"}\n\n' + line + b'\n{"name": "b"}\n')
    with pytest.raises(ValueError, match=f"^{re.escape(f'{file}:3: ')}.*{re.escape(says)}"):
        read_records(file, Note)


def test_a_missing_file_is_not_an_empty_one(file):
    with pytest.raises(FileNotFoundError):
        read_records(file, Note)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "a", "sise": 1, "colour": 2}, "unknown key 'colour' of a Note; known: name, size, tags"),
        ({"size": 1.0}, "a Note needs the key 'name'; mend or remove the line"),
        ({"name": "a", "size": -1.0}, "size: -1.0 is below 0"),
        ({"name": "a", "size": None}, "not supported between"),
    ],
)
def test_a_record_that_cannot_be_made_says_where_it_stands(fields, says):
    with pytest.raises(ValueError, match=rf"^notes:7: .*{re.escape(says)}"):
        make_record(Note, fields, "notes:7")


# ---- no record twice


def test_the_second_of_two_records_with_one_key_is_named_with_the_first(file):
    write_records(file, [Note("a", size=1), Note("b"), Note("a", size=2)])
    with pytest.raises(ValueError, match=f"^{re.escape(f'{file}:3: ')}name 'a': already in line 1; remove one"):
        read_records(file, Note, key=("name",))


def test_all_fields_of_a_key_count_and_lists_can_be_among_them(file):
    notes = [Note("a", ["x"]), Note("a", ["y"]), Note("b", ["x"])]
    write_records(file, notes)
    assert read_records(file, Note, key=("name", "tags")) == notes
    write_records(file, [*notes, Note("a", ["y"], 3)])
    with pytest.raises(ValueError, match=r":4: name 'a', tags \['y'\]: already in line 2; remove one of the two"):
        read_records(file, Note, key=("name", "tags"))


def test_one_record_is_not_its_own_double(file):
    write_records(file, [Note("a")])
    assert read_records(file, Note, key=("name",)) == [Note("a")]


# ---- appending


def names(file: Path) -> list[str]:
    return [json.loads(line)["name"] for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    ("there", "kept"),
    [
        (None, []),
        ("", []),
        ('{"name": "torn', []),
        ('{"name": "a"}\n', ["a"]),
        ('{"name": "a"}\n{"name": "b"}\n{"na', ["a", "b"]),
        ('{"name": "a"}\n{"name": "whole but for its end"}', ["a"]),
    ],
)
def test_what_a_kill_cut_is_removed_before_more_is_appended(tmp_path, there, kept):
    file = tmp_path / "runs" / "mine" / "notes.jsonl"
    if there is not None:
        file.parent.mkdir(parents=True)
        file.write_text(there)
    with Appender(file) as out:
        out.append(Note("new"))
    assert names(file) == [*kept, "new"]
    assert file.read_text().endswith("}\n")


def test_appended_records_are_on_the_disk_every_so_many_and_at_the_end(file, syncs):
    out = Appender(file, sync_every=2)
    for number in range(5):
        out.append(Note(str(number)))
    assert len(syncs.sizes) == 2 and names(file) == ["0", "1", "2", "3"]
    out.close()
    assert len(syncs.sizes) == 3 and names(file) == ["0", "1", "2", "3", "4"]


def test_a_kill_loses_at_most_64_records(file, syncs):
    out = Appender(file)
    for number in range(63):
        out.append(Note(str(number)))
    assert not syncs.sizes
    out.append(Note("63"))
    assert len(syncs.sizes) == 1 and len(names(file)) == 64
    out.close()


def test_sync_counts_anew(file, syncs):
    with Appender(file, sync_every=2) as out:
        out.append(Note("a"))
        out.sync()
        assert names(file) == ["a"]
        out.append(Note("b"))
        assert len(syncs.sizes) == 1
        out.append(Note("c"))
        assert len(syncs.sizes) == 2 and names(file) == ["a", "b", "c"]


def test_an_error_between_two_records_keeps_those_before_it(file, syncs):
    with pytest.raises(KeyError), Appender(file) as out:
        out.append(Note("a"))
        raise KeyError
    assert names(file) == ["a"] and len(syncs.sizes) == 1
    with pytest.raises(ValueError, match="closed"):
        out.append(Note("b"))
