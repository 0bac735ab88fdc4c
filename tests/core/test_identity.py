"""A file's digest is computed once per size and modification time, and anew where everything is to be verified."""

import os

import pytest

from synvita.core import identity
from synvita.core.identity import VERIFY, Digests
from synvita.core.provenance import file_digest


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv(VERIFY, "")


def test_a_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_text("1")
    assert Digests(tmp_path).of("a") == file_digest(tmp_path / "a")


def test_digests_are_computed_once_per_size_and_time(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(identity, "file_digest", lambda path: read.append(path.name) or str(len(read)))
    (tmp_path / "a").write_text("1")
    for _ in range(2):
        digests = Digests(tmp_path)
        assert digests.of("a") == digests.of("a") == "1"
        digests.save()
    assert read == ["a"]
    os.utime(tmp_path / "a", ns=(0, 0))
    digests = Digests(tmp_path)
    assert digests.of("a") == "2"
    digests.save()
    assert Digests(tmp_path).of("a") == "2" and read == ["a", "a"]
    monkeypatch.setenv(VERIFY, "1")
    assert Digests(tmp_path).of("a") == "3"


def test_a_file_that_is_not_there_has_no_digest(tmp_path):
    with pytest.raises(FileNotFoundError):
        Digests(tmp_path).of("nothing")


def test_what_is_noted_is_believed_unless_the_file_is_known(tmp_path):
    (tmp_path / "a").write_text("1")
    digests = Digests(tmp_path)
    digests.note("a", "x")
    assert digests.of("a") == "x"
    digests.note("a", "y")
    digests.save()
    assert Digests(tmp_path).of("a") == "x"
    assert len((tmp_path / ".digests.jsonl").read_text().splitlines()) == 1
    (tmp_path / "a").write_text("22")
    assert Digests(tmp_path).of("a") == file_digest(tmp_path / "a")


def test_nothing_is_written_where_nothing_was_computed(tmp_path):
    Digests(tmp_path).save()
    assert list(tmp_path.iterdir()) == []
