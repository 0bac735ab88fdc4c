"""What a stage sets aside stays named, stage by stage."""

import json

import pytest

from synvita.core.set_aside import read_set_aside, set_aside


def test_a_run_without_trouble_has_no_such_file(tmp_path):
    set_aside(tmp_path, "weigh", {})
    assert read_set_aside(tmp_path) == [] and not list(tmp_path.iterdir())


def test_a_stage_replaces_its_own_rows_and_keeps_those_of_others(tmp_path):
    set_aside(tmp_path, "generate", {"t1": "no such file", "t2": "é"})
    set_aside(tmp_path, "weigh", {"c1": "NaN"})
    set_aside(tmp_path, "generate", {"t2": "é"})
    want = [{"stage": "weigh", "id": "c1", "reason": "NaN"}, {"stage": "generate", "id": "t2", "reason": "é"}]
    assert read_set_aside(tmp_path) == want
    lines = (tmp_path / "set_aside.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == want


def test_the_last_failure_mended_leaves_no_row_behind(tmp_path):
    set_aside(tmp_path, "weigh", {"c1": "NaN"})
    set_aside(tmp_path, "weigh", {})
    assert read_set_aside(tmp_path) == []


@pytest.mark.parametrize(
    "row",
    [
        '{"stage": "weigh", "id": "x"}',
        '{"stage": "a", "id": "b", "reason": 3}',
        '{"stage": "a", "id": "b", "reason": "c", "d": "e"}',
    ],
)
def test_a_row_edited_by_hand_is_named_by_file_and_line(tmp_path, row):
    path = tmp_path / "set_aside.jsonl"
    path.write_text('{"stage": "weigh", "id": "a", "reason": "b"}\n' + row + "\n")
    with pytest.raises(ValueError, match=f"^{path}:2: needs stage, id and reason, as text"):
        read_set_aside(tmp_path)
