"""A folder's stamp: written once, each setting compared, refused with the way out; what a part takes of a machine."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from synvita.core.stage import Resources, check_stamp, claim_folder, resources_of


@dataclass
class Made:
    stamp: dict[str, Any] = field(default_factory=lambda: {"name": "a", "options": {"dtype": "half", "frames": 4}})
    folder: str = "scores/a"


def test_a_folder_is_claimed_with_its_stamp_and_is_the_same_stages_then(tmp_path):
    assert check_stamp(tmp_path, Made()) is False and list(tmp_path.iterdir()) == []
    assert claim_folder(tmp_path, Made()) == tmp_path / "scores/a"
    assert json.loads((tmp_path / "scores/a/stamp.json").read_text()) == Made().stamp
    (tmp_path / "scores/a/records.jsonl").write_text("{}\n")
    assert check_stamp(tmp_path, Made()) is True
    assert claim_folder(tmp_path, Made()) == tmp_path / "scores/a"


def test_each_difference_is_named_and_nothing_is_changed(tmp_path):
    claim_folder(tmp_path, Made())
    (tmp_path / "scores/a/records.jsonl").write_text("{}\n")
    other = Made({"name": "a", "options": {"dtype": "whole", "size": 2}})
    with pytest.raises(ValueError) as caught:
        claim_folder(tmp_path, other)
    assert str(caught.value) == (
        f"--run: {tmp_path / 'scores/a'} was made otherwise (options.dtype: half -> whole; options.frames: 4 -> None; "
        "options.size: None -> 2); go back to these settings, give it another name, or remove that folder"
    )
    assert json.loads((tmp_path / "scores/a/stamp.json").read_text()) == Made().stamp


@pytest.mark.parametrize(("number", "end"), [(5, "k4: None -> 4);"), (6, "k4: None -> 4; ...);")])
def test_five_differences_are_named_and_more_are_hinted_at(tmp_path, number, end):
    claim_folder(tmp_path, Made({}))
    (tmp_path / "scores/a/records.jsonl").write_text("{}\n")
    with pytest.raises(ValueError) as caught:
        check_stamp(tmp_path, Made({f"k{i}": i for i in range(number)}))
    assert end in str(caught.value) and f"k{number}" not in str(caught.value)


@pytest.mark.parametrize("beside", [None, "empty"])
def test_a_stamp_beside_nothing_binds_nobody(tmp_path, beside):
    claim_folder(tmp_path, Made())
    if beside:
        (tmp_path / "scores/a" / beside).touch()
    assert check_stamp(tmp_path, Made({"name": "b"})) is False
    claim_folder(tmp_path, Made({"name": "b"}))
    assert json.loads((tmp_path / "scores/a/stamp.json").read_text()) == {"name": "b"}


def test_what_a_stamp_says_is_compared_as_json_says_it(tmp_path):
    claim_folder(tmp_path, Made({"sizes": (1, 2)}))
    (tmp_path / "scores/a/records.jsonl").write_text("{}\n")
    assert check_stamp(tmp_path, Made({"sizes": [1, 2]})) is True


@pytest.mark.parametrize(
    ("options", "gpus"),
    [({}, 0.0), ({"device": "cpu"}, 0.0), ({"device": "cuda"}, 1.0), ({"device": "cuda:1"}, 1.0),
     ({"device_map": "auto"}, 1.0), ({"device_map": None, "device": "cpu:0"}, 0.0)],
)  # fmt: skip
def test_a_part_takes_a_whole_accelerator_or_none(options, gpus):
    assert resources_of(options) == Resources(gpus=gpus, cpus=1)
