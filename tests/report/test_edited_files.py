"""Files of a run folder that somebody edited: one line that names the file and the place, and no half report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from report_runs import add_pairs, make_results, make_run
from small import HOME, MODEL

from synvita.report.page import write_report
from synvita.report.pairs import find_answers, read_task
from synvita.report.results_file import check_results


@pytest.fixture
def results() -> dict[str, Any]:
    return make_results()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: [], "expected an object like {...}, got list"),
        (lambda r: {"weights": {}}, "lacks 'arms'"),
        (lambda r: r | {"arms": []}, "arms: expected an object"),
        (lambda r: r | {"arms": {"a": 3}}, "arms.a: expected an object"),
        (lambda r: r | {"arms": {"a": {"open": {"auc": "high"}}}}, "arms.a.open.auc: 'high' is not a finite number"),
        (lambda r: r | {"arms": {"a": {"open": {"auc": float("nan")}}}}, "arms.a.open.auc: nan is not"),
        (lambda r: r | {"arms": {"a": {"per_type": {"flip": {"low": []}}}}}, "arms.a.per_type.flip.low: [] is not"),
        (lambda r: r | {"arms": {"a": {"open": {"missing": 1.5, "expected": 2}}}}, "open.missing: 1.5 is not a count"),
        (lambda r: r | {"arms": {"a": {"qa": {"missing": 1}}}}, "arms.a.qa: has 'missing' and lacks 'expected'"),
        (lambda r: r | {"arms": {"a": {"qa": {"queries_dropped": 1}}}}, "has 'queries_dropped' and lacks 'queries'"),
        (lambda r: r | {"arms": {"a": {"triplets": "many"}}}, "arms.a.triplets: 'many' is not a count"),
        (lambda r: r | {"arms": {"a": {"weights_from": None}}}, "arms.a.weights_from: None is not text"),
        (lambda r: r | {"arms": {"a": {"minus_real_only": 1}}}, "arms.a.minus_real_only: expected an object"),
        (lambda r: r | {"weights": {"all": {"clips": 3}}}, "weights.all: lacks 'right'"),
        (lambda r: r | {"weights": [1]}, "weights: expected an object"),
        (lambda r: r | {"other_weights": {"x": {"all": {}}}}, "other_weights.x.all: lacks 'clips'"),
        (lambda r: r | {"score_differences": {"flip": {"mean": 1}}}, "score_differences.flip: lacks 'values'"),
        (lambda r: r | {"score_differences": {"flip": {"mean": 1, "values": []}}}, "expected a mean and a list"),
        (lambda r: r | {"score_differences": {"flip": {"mean": 1, "values": ["x"]}}}, "expected a mean and a list"),
    ],
)  # fmt: skip
def test_results_that_evaluate_does_not_write_are_refused_in_one_line(
    tmp_path: Path, results: dict[str, Any], change: Any, message: str
) -> None:
    make_run(tmp_path)
    with pytest.raises(ValueError) as caught:
        write_report(tmp_path, change(results))
    assert str(caught.value).startswith(f"{tmp_path / 'results.json'}: ") and message in str(caught.value)
    assert "\n" not in str(caught.value) and not (tmp_path / "report").exists()


def test_results_that_evaluate_writes_are_passed_on_as_they_are(results: dict[str, Any]) -> None:
    assert check_results(results, "x") is results and results == make_results()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 2}, "label: 2 is not 1"),
        ({"log_odds": "0.1"}, "log_odds: '0.1' is not a finite number"),
        ({"log_odds": float("nan")}, "log_odds: nan is not"),
        ({"video": "a\x00b"}, "video: holds a NUL"),
        ({"caption": 3}, "caption: empty or not text"),
        ("[]", "expected an object"),
        ("{", "not JSON"),
    ],
)
def test_a_pair_that_cannot_be_shown_is_named_by_file_and_line(tmp_path: Path, change: Any, message: str) -> None:
    run = add_pairs(make_run(tmp_path), ["real_only", "synvita"])
    answers = find_answers(run, MODEL, ["real_only", "synvita"])
    assert answers is not None and len(read_task(answers, "open")["synvita"]) == 140
    path = run / HOME / "pairs" / "synvita" / "0" / "open.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[2] = change if isinstance(change, str) else json.dumps(json.loads(lines[2]) | change)
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"synvita/0/open\.jsonl:3: {message}"):
        write_report(run, {"model": MODEL, "arms": {"real_only": {}, "synvita": {}}})


def test_a_pair_file_without_its_last_newline_keeps_its_last_pair(tmp_path: Path) -> None:
    run = add_pairs(make_run(tmp_path), ["real_only", "synvita"])
    path = run / HOME / "pairs" / "synvita" / "0" / "open.jsonl"
    path.write_text(path.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    answers = find_answers(run, MODEL, ["real_only", "synvita"])
    assert answers is not None and len(read_task(answers, "open")["synvita"]) == 140


@pytest.mark.parametrize("text", ["- a\n- b\n", "train: [\n", "train: {seed: 1}\ntrain: {seed: 2}\n"])
def test_a_config_that_is_no_settings_is_named(tmp_path: Path, text: str) -> None:
    make_run(tmp_path)
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"config\.yaml"):
        write_report(tmp_path, {"arms": {}})


WEIGHTS = "weights/llava+clip_flant5-difference"


@pytest.mark.parametrize("name", ["triplets", WEIGHTS, "clips/sim/clips", "scores/llava/scores"])
def test_a_record_that_is_there_twice_is_named_by_file_and_line(tmp_path: Path, name: str) -> None:
    path = make_run(tmp_path) / f"{name}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines, lines[0]]), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{re.escape(name)}\.jsonl:{len(lines) + 1}: .*already in line 1"):
        write_report(tmp_path, {"arms": {}})
