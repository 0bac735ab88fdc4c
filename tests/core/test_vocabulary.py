"""A task is one line in one table; names that nobody knows are refused with the nearest."""

import pytest
from run_files import write_records

from synvita.core import vocabulary
from synvita.core.records import Triplet
from synvita.core.vocabulary import (
    BENCHMARKS,
    FIGURES,
    Task,
    check_names,
    find_task,
    main_figures,
    study_figures,
    tasks,
)
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.pairs import read_pairs
from synvita.evaluate.results import arm_results
from synvita.evaluate.tasks import tasks as tasks_of
from synvita.report.study import figure_table
from synvita.report.table import arm_table
from synvita.report.terminal import terminal_table
from synvita.study import flat

NEW = {
    "retrieval": Task("films", "retrieval", "map", "Films", "films"),
    "questions": Task("riddles", "questions", "accuracy", "Riddles"),
    "entailment": Task("humans", "entailment", "auc", "Humans"),
}
FIGURE = {"retrieval": 1.0, "questions": 0.5, "entailment": 0.75}


def rows(kind):
    """Two queries of two videos, or one question with its options per video."""
    if kind == "questions":
        odds = {("v0", "a"): 2.0, ("v0", "b"): 1.0, ("v1", "a"): 0.0, ("v1", "b"): 1.0}
        return [row(v, c, v, c == "a", value) for (v, c), value in odds.items()]
    odds = {("v0", "q0"): 2.0, ("v1", "q0"): 1.5, ("v0", "q1"): 0.0, ("v1", "q1"): 1.0}
    return [row(v, q, q, v[1] == q[1], value) for (v, q), value in odds.items()]


def row(video, caption, query, right, value):
    return {"video": video, "caption": caption, "query": query, "label": int(right), "log_odds": value}


@pytest.mark.parametrize("kind", NEW)
def test_a_new_line_of_the_table_reaches_results_terminal_report_and_studies(tmp_path, monkeypatch, kind):
    task = NEW[kind]
    monkeypatch.setattr(vocabulary, "FIGURES", (*FIGURES, task))
    asked = [{key: row[key] for key in row if key != "log_odds"} for row in rows(kind)]
    write_records(tmp_path / "triplets.jsonl", [Triplet("t", "v0.mp4", "a", "b")])
    write_records(tmp_path / "benchmarks" / f"{task.name}.jsonl", asked)
    assert tasks_of(tmp_path) == {task.name: asked}
    write_records(tmp_path / "pairs" / f"{task.name}.jsonl", rows(kind))
    found = arm_results(read_pairs(tmp_path / "pairs"), EvaluateConfig(draws=10))
    assert found[task.name][task.metric] == FIGURE[kind]
    shown = f"{100 * FIGURE[kind]:.1f}"
    first, second, *_ = terminal_table({"mine": found}).splitlines()
    assert task.column in first and shown in second
    columns, (cells,) = arm_table({"mine": found})
    assert [column.title for column in columns] == [task.title] and cells["cells"][0].value == shown
    head, _, line = figure_table({"mine": "mine"}, {"mine": {"0": flat(found)}})
    assert task.title in head and shown in line


def test_what_is_asked_are_the_tasks_and_not_their_parts():
    assert [task.name for task in tasks()] == [
        "in_distribution", "open", "retrieval_temporal", "retrieval_events", "qa", *(task.name for task in BENCHMARKS)
    ]  # fmt: skip
    retrieval = ["retrieval_temporal", "retrieval_events", "ssv2_temporal", "ssv2_events"]
    assert [task.name for task in tasks("retrieval")] == retrieval
    assert "unseen" in {task.name for task in main_figures()}
    assert not any(task.name.startswith("per_type") for task in main_figures())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["opn"], r"^--tasks: unknown 'opn'; did you mean 'open'\? known: open, qa$"),
        (["qa", "zzz"], r"^--tasks: unknown 'zzz'; known: open, qa$"),
        ([], r"^--tasks: none given; known: open, qa$"),
    ],
)
def test_a_name_that_nobody_knows_is_named_with_the_nearest_and_all_known(names, message):
    with pytest.raises(ValueError, match=message):
        check_names(names, ["open", "qa"], "--tasks")


def test_names_count_once_in_the_order_given():
    assert check_names(["qa", "open", "qa"], ["open", "qa"], "--tasks") == ["qa", "open"]


def test_the_tables_read_as_people_know_the_tasks():
    """Titles stand in docs/results.md and in reports that people have."""
    assert [(t.name, t.kind, t.metric, t.measure, t.title, t.column, t.split, t.part) for t in FIGURES] == [
        ("in_distribution", "entailment", "auc", "AUC", "In-distribution", "in-dist", "test", False),
        ("open", "entailment", "auc", "AUC", "Open", "open", "test_open", False),
        ("unseen", "entailment", "auc", "AUC", "Unseen", "unseen", "", True),
        ("temporal", "entailment", "auc", "AUC", "Temporal", "temporal", "", True),
        ("per_type.relation", "entailment", "auc", "AUC", "Relation", "relation", "", True),
        ("per_type.flip", "entailment", "auc", "AUC", "Flip", "flip", "", True),
        ("retrieval_temporal", "retrieval", "map", "mAP", "Retrieval, temporal", "retr. temporal", "", False),
        ("retrieval_events", "retrieval", "map", "mAP", "Retrieval, events", "retr. events", "", False),
        ("qa", "questions", "accuracy", "accuracy", "Questions", "QA", "", False),
    ]
    assert Task("a", "retrieval", "map", "A") == Task("a", "retrieval", "map", "A", "", "", False)


def test_public_benchmarks_have_their_names_and_figures_and_are_no_columns_of_a_study():
    assert {task.name: task.measure for task in BENCHMARKS} == {
        "videocon_llm": "AUC", "videocon_human": "AUC", "videocon_human_hard": "AUC", "ssv2_temporal": "mAP",
        "ssv2_events": "mAP", "atp_hard": "accuracy", "vinoground": "group score", "timeblind": "group score",
        "velociti": "strict accuracy", "vitatecs": "accuracy",
    }  # fmt: skip
    assert study_figures() == [task for task in main_figures() if task not in BENCHMARKS]
    assert find_task("atp_hard") in BENCHMARKS


def test_a_task_is_found_by_its_name():
    assert find_task("qa") is FIGURES[-1] and find_task("qaa") is None
