"""What is asked: test triplets and benchmark files."""

from synvita.core.records import Triplet
from synvita.core.store import write_records
from synvita.evaluate.tasks import rows_of, tasks, unseen_words


def test_unseen_words_are_those_that_training_has_only_in_negatives():
    triplets = [
        Triplet("a", "a.mp4", "A red ball", "a BLUE ball"),
        Triplet("b", "b.mp4", "a green cube", "a red cone"),
        Triplet("c", "c.mp4", "a cone of gold", "a pink ball", split="test"),
    ]
    assert unseen_words(triplets) == {"blue", "cone"}


def test_only_the_true_captions_words_make_a_pair_unseen(tmp_path):
    """`red` stands in a positive of training and `cone` only in a negative; test captions teach nothing."""
    write_records(tmp_path / "triplets.jsonl", [
        Triplet("a", "a.mp4", "a red ball", "a red cone"),
        Triplet("b", "b.mp4", "a red cone", "a red ball", split="test_open"),
        Triplet("c", "c.mp4", "a red ball", "a red cone", split="test_open"),
        Triplet("d", "d.mp4", "a gold star", "a cone", split="test_open"),
    ])  # fmt: skip
    rows = tasks(tmp_path)["open"]
    assert [(r["query"], r["label"], r["caption"], r["unseen"]) for r in rows] == [
        ("b", 1, "a red cone", True), ("b", 0, "a red ball", True),
        ("c", 1, "a red ball", False), ("c", 0, "a red cone", False),
        ("d", 1, "a gold star", False), ("d", 0, "a cone", False),
    ]  # fmt: skip


def test_a_task_alone_has_the_rows_that_it_has_among_all(tmp_path):
    write_records(tmp_path / "triplets.jsonl", [Triplet("a", "a.mp4", "x", "y", split="test")])
    pair = {"video": "b.mp4", "caption": "z", "label": 1, "query": "q"}
    write_records(tmp_path / "benchmarks" / "qa.jsonl", [pair])
    assert rows_of(tmp_path, "qa") == tasks(tmp_path)["qa"] == [pair]
    assert set(tasks(tmp_path)) == {"in_distribution", "qa"} and rows_of(tmp_path, "open") == []
