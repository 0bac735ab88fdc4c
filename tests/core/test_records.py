"""Records refuse what cannot be meant, by field and value."""

import dataclasses
import re
from typing import Any

import pytest

from synvita.core import records
from synvita.core.records import Clip, ClipWeight, Domain, Item, Misalignment, ScoredClip, Triplet, clip_id
from synvita.core.store import as_line, read_records, write_records

TRIPLET = {"id": "t", "video": "v.mp4", "caption": "a dog", "negative_caption": "a cat"}
ITEM = {"id": "i", "triplet": "t", "video": "v.mp4", "caption": "a dog", "answer": "Yes", "other": "a cat"}
CLIP = {
    "clip_id": "c",
    "caption": "a cat",
    "generator": "g",
    "revision": "1",
    "settings": {},
    "seed": 0,
    "file": "c.mp4",
}
SEEN = {"frames": 4, "rule": "both_ends", "size": [64, 64]}
SCORE = {"clip_id": "c", "caption": "a cat", "scorer": "llava", **SEEN, "score": 0.5}
WEIGHT = {"triplet_id": "t", "clip_id": "c", "criterion": "probability", "scorers": ["llava"], "weight": 0.5}
ALL: list[tuple[Any, dict[str, Any]]] = [
    (Triplet, TRIPLET), (Item, ITEM), (Clip, CLIP), (ScoredClip, SCORE), (ClipWeight, WEIGHT),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields"), ALL)
def test_a_record_comes_back_from_its_line(kind, fields, tmp_path):
    record = kind(**fields)
    write_records(tmp_path / "r.jsonl", [record])
    assert read_records(tmp_path / "r.jsonl", kind) == [record]
    assert as_line(kind(**dataclasses.asdict(record))) == as_line(record)


@pytest.mark.parametrize(
    ("kind", "fields", "name"),
    [
        (kind, fields, name)
        for kind, fields in ALL
        for name, value in fields.items()
        if isinstance(value, str) and name not in ("answer", "other")
    ],
)
def test_text_is_text_and_not_empty(kind, fields, name):
    for value in ("", " \n", None, 3, ["a"], "half \ud800"):
        with pytest.raises(ValueError, match=f"^{name}: "):
            kind(**{**fields, name: value})


@pytest.mark.parametrize(("kind", "fields", "name"), [(ScoredClip, SCORE, "score"), (ClipWeight, WEIGHT, "weight")])
def test_scores_and_weights_are_numbers_from_0_to_1(kind, fields, name):
    for value in (0, 1, 0.0, 1.0, 1e-9):
        assert getattr(kind(**{**fields, name: value}), name) == value
    for value in (float("nan"), float("inf"), -1e-9, 1.0000001, None, True, "0.5", [0.5]):
        with pytest.raises(ValueError, match=f"^{name}: .* is not a number in \\[0, 1\\]"):
            kind(**{**fields, name: value})


@pytest.mark.parametrize("split", ["train", "val", "test", "test_open"])
@pytest.mark.parametrize("kind", ["object", "action", "attribute", "count", "relation", "hallucination", "flip", None])
def test_the_seven_misalignments_and_four_splits_are_known(kind, split):
    triplet = Triplet(**TRIPLET, misalignment=kind, split=split)
    assert triplet.misalignment == kind and (kind is None or isinstance(triplet.misalignment, Misalignment))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"negative_caption": " a dog "}, "negative_caption: the same as caption ('a dog'); nothing to tell apart"),
        ({"misalignment": "colour"}, "misalignment: unknown type 'colour'; known: object, action, attribute"),
        ({"split": "tset"}, "split: unknown split 'tset'; known: train, val, test, test_open"),
    ],
)
def test_a_triplet_that_teaches_nothing_is_refused(change, says):
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        Triplet(**{**TRIPLET, **change})


@pytest.mark.parametrize(
    "change", [{"answer": "It is a cat"}, {"other": ""}, {"clips": [("c.mp4", 2.0)]}, {"clips": [("", 0.5)]}]
)
def test_an_items_clips_need_an_answer_another_caption_a_file_and_a_weight(change):
    assert Item(**ITEM, clips=[["c.mp4", 0.5]]).clips == [("c.mp4", 0.5)]
    with pytest.raises(ValueError, match=r"^clips: "):
        Item(**{**ITEM, "clips": [("c.mp4", 0.5)], **change})


def test_an_explanation_is_an_answer_of_an_item_without_clips():
    assert Item(**{**ITEM, "answer": "It is a cat", "other": ""}).clips == []


def test_the_other_domain_of_each_is_the_other():
    assert Domain.REAL.other_domain is Domain.SYNTHETIC and Domain.SYNTHETIC.other_domain is Domain.REAL


def test_a_clips_id_is_of_all_that_it_is_made_from_and_of_nothing_else():
    made_from = ("a cat", "g", "1", {"b": 1, "a": 2}, 0)
    ids = {clip_id(*made_from)} | {
        clip_id(*made_from[:place], other, *made_from[place + 1 :])
        for place, other in enumerate(["a dog", "h", "2", {"a": 2}, 1])
    }
    assert len(ids) == 6 and all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)
    assert clip_id("a cat", "g", "1", {"a": 2, "b": 1}, 0) == clip_id(*made_from)  # whatever the settings' order
    # printf '["a cat", "g", "1", {"a": 2, "b": 1}, 0]' | sha256sum
    assert clip_id(*made_from) == "bf148c8f64675472"


@pytest.mark.parametrize("value", [-1, True, 1.5, None, "3"])
def test_a_count_is_a_whole_number_from_0_on(value):
    with pytest.raises(ValueError, match=r"^frames: .* is not a whole number from 0 on"):
        records.require_whole("frames", value)
    records.require_whole("frames", 0)


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        (Clip, {**CLIP, "seed": -1}, "seed: -1 is not a whole number from 0 on"),
        (Clip, {**CLIP, "settings": ["fps"]}, "settings: expected an object like {...}, got ['fps']"),
        (ScoredClip, {**SCORE, "frames": 0.5}, "frames: 0.5 is not a whole number from 0 on"),
        (ClipWeight, {**WEIGHT, "scorers": ["llava", ""]}, "scorers: empty or not text ('')"),
        (ClipWeight, {**WEIGHT, "scorers": "llava"}, "scorers: "),
        (Item, {**ITEM, "other": None}, "other: not text (None)"),
        (Item, {**ITEM, "clips": [["c.mp4"]]}, "clips: expected a list of [file, weight], got [['c.mp4']]"),
        (Item, {**ITEM, "clips": "c.mp4"}, "clips: expected a list of [file, weight], got 'c.mp4'"),
    ],
)
def test_a_field_of_another_kind_is_named_with_its_value(kind, fields, says):
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        kind(**fields)


def test_what_a_record_need_not_say_is_empty():
    bare = {name: value for name, value in ITEM.items() if name != "other"}
    assert Item(**bare).other == "" and Item(**bare).clips == [] and Triplet(**TRIPLET).explanation == ""
    weight = ClipWeight("t", "c", "none")
    assert weight.scorers == [] and weight.weight == 0.0  # not trusted
