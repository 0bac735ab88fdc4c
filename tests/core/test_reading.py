"""Files that people write: read whole, or refused with file and line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from synvita.core.reading import parse_json, parse_yaml, read_json, read_text, read_yaml
from synvita.core.tables import cell, need_columns, read_table


@pytest.fixture
def write(tmp_path):
    def made(name: str, data: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
        return path

    return made


# ---- text


def test_text_is_utf_8_with_or_without_a_mark_and_line_ends_stay(write):
    assert read_text(write("a", b"\xef\xbb\xbf\xc3\xa9\r\n")) == "é\r\n"
    assert read_text(write("b", "")) == ""


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"a\nb\n\xe9\n", ":3: byte 0xe9 is not UTF-8"),
        (b"\xef\xbb\xbf\n\xff", ":2: byte 0xff is not UTF-8"),
        (b"a\n\x00b", ":2: a NUL byte"),
        ("hello\n".encode("utf-16-le"), ":1: a NUL byte"),
        ("hello".encode("utf-16"), ":1: byte 0xff is not UTF-8"),
    ],
)
def test_what_is_not_utf_8_text_is_named_by_line(write, data, says):
    path = write("captions", data)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}{says}')}"):
        read_text(path)


def test_a_folder_and_a_missing_file_are_told_apart(tmp_path):
    with pytest.raises(ValueError, match="is a folder; give a file"):
        read_text(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "nothing")


# ---- JSON


def test_json_comes_back_as_it_is():
    for value in [{"a": [1, 2.5, None, "é"]}, [], "text", 3, None]:
        assert parse_json(json.dumps(value), "here") == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "here: not JSON"),
        ("{", "here: not JSON"),
        ('{\n"a": 1,\n}', "here:3: not JSON"),
        ('{"a": NaN}', "here: NaN is not JSON; give a finite number or null"),
        ('{"a": -Infinity}', "here: -Infinity is not JSON"),
        ('{"a": {"b": 1, "b": 1}}', "here: the key 'b' is there twice"),
        ("[" * 100_000, "here: not usable JSON (nested too deeply)"),
        ("9" * 5000, "here: "),  # more digits than Python turns into a number
    ],
)
def test_what_is_not_json_is_one_line(text, says):
    with pytest.raises(ValueError, match=f"^{re.escape(says)}") as error:
        parse_json(text, "here")
    assert "\n" not in str(error.value)


def test_a_json_file_is_an_object_with_the_keys_that_are_needed(write):
    path = write("a.json", '{"r": 8}')
    assert read_json(path) == read_json(path, ["r"]) == {"r": 8}
    with pytest.raises(ValueError, match=f"^{path}: lacks 'alpha'"):
        read_json(path, ["r", "alpha"])
    with pytest.raises(ValueError, match=r"expected an object like \{...\}, got list"):
        read_json(write("b.json", "[]"))


# ---- YAML


def test_yaml_is_plain_values_and_an_empty_file_has_no_settings(write):
    assert read_yaml(write("a.yaml", "train:\n  epochs: 2\n  arms: {a: {}, b: [x, 1.5, null]}\n")) == {
        "train": {"epochs": 2, "arms": {"a": {}, "b": ["x", 1.5, None]}}
    }
    assert read_yaml(write("b.yaml", "# nothing yet\n")) == {}


def test_anchors_that_only_repeat_something_are_fine():
    assert parse_yaml("a: &x {r: 8}\nb: *x\nc:\n  <<: *x\n  q: 1\n", "here") == {
        "a": {"r": 8}, "b": {"r": 8}, "c": {"r": 8, "q": 1},
    }  # fmt: skip


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: [1\n", "here:3: not YAML"),
        ("a: 1\na: 2\n", "here:2: not YAML (the key 'a' is there twice)"),
        ("a: {b: 1, b: 1}", "here: not YAML (the key 'b' is there twice)"),
        ("a: 1\n? [x]\n: 1\n", "here:2: not YAML (a key must be plain text)"),
        ("a: !!python/object/apply:os.getcwd []", "here: not YAML (could not determine a constructor"),
        ("a: &a [*a]", "here: "),
        ("a: 2024-13-45", "here: not YAML"),
        (BOMB, "here: a value that holds itself, or too much of it"),
        ("[" * 5000, "here: not usable YAML"),
        ("a: \x07", "here: not YAML"),
    ],
)
def test_what_cannot_be_a_configuration_is_one_line(text, says):
    with pytest.raises(ValueError, match=f"^{re.escape(says)}") as error:
        parse_yaml(text, "here")
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n", "expected settings by name (name: value), got ['a']"),
        ("words", "expected settings by name (name: value), got 'words'"),
        ("1: x\n", "the key 1 is not text; write it in quotes"),
        ("train:\n  no: x\n", "the key False is not text; write it in quotes"),
    ],
)
def test_a_configuration_is_settings_by_name(write, text, says):
    path = write("c.yaml", text)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {says}')}"):
        read_yaml(path)


# ---- tables

CSV = 'video,caption\na.mp4,"a dog, running"\n\nb.mp4,"two\nlines"\nc.mp4,é'
JSONL = '{"video": "a.mp4", "caption": "a dog, running"}\n\n{"video": "b.mp4", "caption": "two\\nlines"}\n{"video": "c.mp4", "caption": "é"}'  # noqa: E501 - as people write it
ROWS = [{"video": "a.mp4", "caption": "a dog, running"}, {"video": "b.mp4", "caption": "two\nlines"},
        {"video": "c.mp4", "caption": "é"}]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "lines"), [("t.csv", CSV, [2, 4, 6]), ("t.JSONL", JSONL, [1, 3, 4])])
@pytest.mark.parametrize("end", ["", "\n"])
def test_every_row_counts_also_one_without_a_line_end(write, name, text, lines, end):
    path = write(name, text + end)
    columns, rows = read_table(path)
    assert columns == ["video", "caption"] and [row.fields for row in rows] == ROWS
    assert [row.where for row in rows] == [f"{path}:{line}" for line in lines]
    assert [row.number for row in rows] == [1, 2, 3] and not any(row.problem for row in rows)


def test_parquet_is_read_by_the_columns_that_are_used(tmp_path):
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{**row, "pixels": b"x"} for row in ROWS]), path)
    columns, rows = read_table(path, used=["video", "caption"])
    assert columns == ["video", "caption", "pixels"] and [row.fields for row in rows] == ROWS
    assert [row.where for row in rows] == [f"{path}:row {n}" for n in (1, 2, 3)]
    assert read_table(path)[1][0].fields == {**ROWS[0], "pixels": b"x"}


def test_a_field_may_be_longer_than_pythons_limit(write):
    long = "x" * 200_000
    assert read_table(write("t.csv", f"caption\n{long}\n"))[1][0].fields == {"caption": long}


@pytest.mark.parametrize(
    ("name", "text", "line", "problem", "left"),
    [
        ("t.csv", "a,b\n1,2\n3\n4,5\n", 3, "1 fields where the header has 2", 2),
        ("t.csv", "a,b\n1,2,3\n4,5\n", 2, "3 fields where the header has 2", 1),
        ("t.csv", 'a,b\n1,"x"y\n4,5\n', 2, "not CSV", 1),
        ("t.csv", 'a,b\n4,5\n1,"never closed\n6,7\n', 3, "not CSV", 1),
        ("t.jsonl", '{"a": 1}\nnot json\n{"a": 2}\n', 2, "not JSON", 2),
        ("t.jsonl", '{"a": 1}\n[1]\n', 2, "expected an object, got list", 1),
        ("t.jsonl", '{"a": 1}\n' + "[" * 100_000, 2, "not JSON", 1),
    ],
)
def test_a_bad_row_is_kept_with_its_line_and_problem(write, name, text, line, problem, left):
    path = write(name, text)
    rows = read_table(path)[1]
    (bad,) = [row for row in rows if row.problem]
    assert bad.where == f"{path}:{line}" and problem in bad.problem and bad.fields == {}
    assert len(rows) == left + 1


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("t.xlsx", b"x", "unknown suffix '.xlsx'; known: .csv, .jsonl, .parquet"),
        ("t", b"x", "unknown suffix ''"),
        ("t.parquet", b"PAR1 or not", "not a readable Parquet file"),
        ("t.csv", b"a\n\xff\n", ":2: byte 0xff is not UTF-8"),
        ("t.csv", b'a,"b\n', "the header: not CSV"),
    ],
)
def test_a_table_that_cannot_be_read_is_named_behind_its_knob(write, name, data, says):
    path = write(name, data)
    with pytest.raises(ValueError, match=f"^--pairs: {path}.*{re.escape(says)}"):
        read_table(path, "--pairs")


def test_a_table_is_a_file_that_is_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_table(tmp_path / "t.csv", "--pairs")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match=r"^--pairs: .*not a file; give a table"):
        read_table(tmp_path / "folder.csv", "--pairs")


def test_columns_that_are_needed_are_there_once():
    need_columns(Path("t.csv"), ["b", "a", "c", "c"], ["a", "b"], "--pairs")
    with pytest.raises(ValueError, match=r"^--pairs: t.csv: needs the columns a and b, has a$"):
        need_columns(Path("t.csv"), ["a"], ["a", "b"], "--pairs")
    with pytest.raises(ValueError, match="needs the columns a, has none"):
        need_columns(Path("t.csv"), [], ["a"], "--pairs")
    with pytest.raises(ValueError, match=r"^--pairs: t.csv: the column 'a' is there twice; keep one"):
        need_columns(Path("t.csv"), ["a", "a"], ["a"], "--pairs")


@pytest.mark.parametrize("value", [None, 3, "", "  ", ["a"], "nul \x00", "half \ud83d", "other half \udc36"])
def test_a_cell_that_is_no_text_is_refused_by_its_column(value):
    with pytest.raises(ValueError, match=r"^caption: ") as error:
        cell({"caption": value}, "caption")
    str(error.value).encode("utf-8")
    with pytest.raises(ValueError, match=r"^video: empty or not text"):
        cell({"caption": "a dog"}, "video")
    assert cell({"caption": " a dog 🐶"}, "caption") == " a dog 🐶"
