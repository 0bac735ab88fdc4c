"""Pair and benchmark files that somebody edited: read as they are, or refused by file and line."""

import json

import pytest
from pair_files import entailment_row

from synvita.evaluate.facts import arm_facts
from synvita.evaluate.pairs import KINDS, PAIR, SCORED, read_pairs, read_rows
from synvita.evaluate.tasks import tasks

ROW = entailment_row(0, 1, 0.25)
OTHER = entailment_row(0, 0, None)
EVERY = (*SCORED, *KINDS)


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_rows_come_back_as_they_were_written_and_the_last_needs_no_newline(tmp_path):
    path = write(tmp_path / "open.jsonl", ROW, "", OTHER)
    path.write_text(path.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    assert read_rows(path, EVERY) == [ROW, OTHER]
    assert read_pairs(tmp_path) == {"open": [ROW, OTHER]}


@pytest.mark.parametrize("key", EVERY)
def test_a_row_without_a_key_is_named_by_file_line_and_key(tmp_path, key):
    write(tmp_path / "open.jsonl", OTHER, {name: value for name, value in ROW.items() if name != key})
    with pytest.raises(ValueError, match=rf"open\.jsonl:2: no key '{key}'; a pair has video, caption"):
        read_pairs(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 2}, "label: 2 is not the number 1"),
        ({"label": "1"}, "label: '1' is not"),
        ({"label": True}, "label: True is not"),
        ({"label": None}, "label: None is not"),
        ({"log_odds": "0.3"}, "log_odds: '0.3' is not a finite number; a pair without a score has null"),
        ({"log_odds": float("nan")}, "log_odds: nan is not"),
        ({"log_odds": float("-inf")}, "log_odds: -inf is not"),
        ({"log_odds": 10**400}, "log_odds: 1000"),
        ({"log_odds": False}, "log_odds: False is not"),
        ({"video": ""}, "video: empty or not text"),
        ({"caption": None}, "caption: empty or not text"),
        ({"caption": "half \ud800"}, "caption: holds a NUL or half a surrogate pair"),
        ({"query": ["q"]}, "query: empty or not text"),
        ({"unseen": "no"}, "unseen: 'no' is not true or false"),
        ({"misalignment": ["flip"]}, r"misalignment: \['flip'\] is not text or null"),
    ],
)
def test_a_value_that_no_figure_can_be_made_of_is_named_by_file_and_line(tmp_path, change, message):
    write(tmp_path / "in_distribution.jsonl", OTHER, ROW | change)
    with pytest.raises(ValueError, match=rf"in_distribution\.jsonl:2: {message}") as caught:
        read_pairs(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1, 2]", "expected an object, got list"),
        ("3", "expected an object, got int"),
        ("not json", "not JSON"),
        ('{"video": ', "not JSON"),
    ],
)
def test_a_line_that_is_no_object_is_named_by_file_and_line(tmp_path, line, message):
    write(tmp_path / "qa.jsonl", ROW, line)
    with pytest.raises(ValueError, match=rf"qa\.jsonl:2: {message}"):
        read_pairs(tmp_path)


def test_the_same_pair_twice_is_refused_and_the_same_caption_in_another_query_is_not(tmp_path):
    path = write(tmp_path / "open.jsonl", ROW, OTHER, ROW | {"query": "t9"})
    assert len(read_rows(path, EVERY)) == 3
    write(path, ROW, OTHER, ROW | {"log_odds": 0.5})
    with pytest.raises(ValueError, match=r"open\.jsonl:3: video, caption and query as in .*open\.jsonl:1; remove one"):
        read_rows(path, EVERY)


def test_a_benchmark_row_is_checked_before_it_is_asked(tmp_path):
    write(tmp_path / "triplets.jsonl")
    row = {key: ROW[key] for key in PAIR}
    for name, message in (("retrieval_events", "no key 'label'"), ("qa", "label: 3 is not")):
        path = write(tmp_path / "benchmarks" / f"{name}.jsonl", row, row | {"query": "b"})
        assert len(tasks(tmp_path)[name]) == 2
        bad = row | {"query": "b", "label": 3} if name == "qa" else {k: v for k, v in row.items() if k != "label"}
        write(path, row, bad)
        with pytest.raises(ValueError, match=rf"{name}\.jsonl:2: {message}"):
            tasks(tmp_path)
        path.unlink()


@pytest.mark.parametrize("file", ["adapters/a/0/arm.json", "pairs/a/0/model.json"])
def test_facts_that_are_no_object_are_named_by_their_file(tmp_path, file):
    write(tmp_path / file, "[]")
    with pytest.raises(ValueError, match=rf"{file}: expected an object"):
        arm_facts(tmp_path, "a", 0)
