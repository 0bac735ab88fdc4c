"""Public benchmarks in a run: their difference to `real_only`, and what ties leave open, against naive loops."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pair_files import entailment_rows, middle, naive_auc, resampled, write_run

from synvita.core.vocabulary import find_task
from synvita.evaluate.compare import Question, compare
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.results import arm_results
from synvita.evaluate.to_baseline import differences
from synvita.report.table import cell
from synvita.report.terminal import terminal_table

CONFIG = EvaluateConfig(draws=40)
Rows = list[dict[str, Any]]


def grids(count: int, seed: int, signal: float) -> Rows:
    """Vinoground's form: two captions by two videos, of which the diagonal is right."""
    noise = np.random.default_rng(seed)
    return [
        {"query": str(g), "video": f"{g}_{v}.mp4", "caption": f"{g} {c}", "label": int(v == c)}
        | {"log_odds": float(noise.normal() + signal * (v == c))}
        for g in range(count)
        for c in range(2)
        for v in range(2)
    ]


def group_score(rows: Rows) -> float:
    score = {(row["caption"][-1], row["video"][-5]): row["log_odds"] for row in rows}
    right = score["0", "0"], score["1", "1"]
    return float(min(right) > max(score["0", "1"], score["1", "0"]))


def group_scores(rows: Rows) -> list[float]:
    return [group_score(rows[start : start + 4]) for start in range(0, len(rows), 4)]


@pytest.mark.parametrize("task", ["videocon_llm", "videocon_human_hard"])
def test_a_benchmark_of_pairs_has_a_difference_in_auc_over_the_same_drawn_videos(task: str) -> None:
    mine, theirs = (
        [
            {k: v for k, v in row.items() if k not in ("misalignment", "unseen")}
            for row in entailment_rows(40, 1, signal)
        ]
        for signal in (1.5, 0.3)
    )
    found = differences({task: mine}, {task: theirs}, CONFIG)[task]
    assert found["auc"] == pytest.approx(naive_auc(mine) - naive_auc(theirs)) and found["left_out"] == 0
    drawn = []
    for chosen in resampled([row["video"] for row in mine], CONFIG.draws):
        drawn.append(naive_auc([mine[i] for i in chosen]) - naive_auc([theirs[i] for i in chosen]))
    assert (found["low"], found["high"]) == pytest.approx(middle(drawn))


def test_a_group_score_has_a_difference_over_whole_groups() -> None:
    mine, theirs = grids(60, 1, 2.0), grids(60, 2, 0.5)
    naive = float(np.mean(group_scores(mine)) - np.mean(group_scores(theirs)))
    found = differences({"vinoground": mine}, {"vinoground": theirs}, CONFIG)["vinoground"]
    assert found["group"] == pytest.approx(naive) and found["low"] < naive < found["high"]
    theirs[0]["log_odds"] = None
    naive = float(np.mean(group_scores(mine)[1:]) - np.mean(group_scores(theirs[4:])))
    found = differences({"vinoground": mine}, {"vinoground": theirs}, CONFIG)["vinoground"]
    assert found["group"] == pytest.approx(naive) and found["left_out"] == 1


def test_compare_judges_minimal_pairs_by_their_groups(tmp_path: Path) -> None:
    arms = {"real_only": {"vinoground": grids(60, 5, 0.0)}, "synvita": {"vinoground": grids(60, 5, 3.0)}}
    (row,) = compare([write_run(tmp_path / "run", arms)], Question())["comparisons"][0]["tasks"]
    assert (row["groups"], row["metric"], row["verdict"]) == (60, "group", "better")
    naive = [float(np.mean(group_scores(grids(60, 5, signal)))) for signal in (3.0, 0.0)]
    assert [row["of"], row["minus"]] == pytest.approx(naive)
    arms = {arm: {"vinoground": grids(49, 5, 1.0)} for arm in arms}
    (row,) = compare([write_run(tmp_path / "fewer", arms)], Question())["comparisons"][0]["tasks"]
    assert row["verdict"] == "too few pairs"  # 196 pairs, but 49 groups


# ---- ties


def naive_precisions(labels: list[int], scores: list[float]) -> list[float]:
    """Average precision under every order of the rows that the scores allow."""
    found = []
    for order in itertools.permutations(range(len(labels))):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            ranked = [labels[i] for i in order]
            hits = [sum(ranked[: place + 1]) / (place + 1) for place, label in enumerate(ranked) if label]
            found.append(sum(hits) / len(hits))
    return found


def ranking(query: str, labels: list[int], scores: list[float]) -> Rows:
    return [
        {"query": query, "caption": query, "video": f"{i}.mp4", "label": label, "log_odds": score}
        for i, (label, score) in enumerate(zip(labels, scores, strict=True))
    ]


def test_a_ranking_with_ties_says_how_far_their_order_moves_it() -> None:
    tied, plain = (
        ([1, 0, 0, 1, 0, 0], [2.0, 2.0, 1.0, 1.0, 1.0, 0.0]),
        ([0, 1, 0, 0, 1, 0], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]),
    )
    entry = arm_results({"ssv2_temporal": ranking("a", *tied) + ranking("b", *plain)}, CONFIG)["ssv2_temporal"]
    orders, fixed = naive_precisions(*tied), naive_precisions(*plain)[0]
    bounds = [(fixed + value) / 2 for value in (min(orders), max(orders), sum(orders) / len(orders))]
    assert [entry[name] for name in ("tie_low", "tie_high", "tie_mean")] == pytest.approx(bounds)
    task = find_task("ssv2_temporal")
    assert task is not None
    told = f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f} by the order of ties, {100 * bounds[2]:.1f} on average"
    assert cell({task.name: entry}, task).ties == told and told in terminal_table({"mine": {task.name: entry}})
    untied = arm_results({"ssv2_temporal": ranking("b", *plain)}, CONFIG)["ssv2_temporal"]
    assert not any(name.startswith("tie") for name in untied) and cell({task.name: untied}, task).ties == ""


def test_questions_pairs_and_groups_say_it_too() -> None:
    options = ranking("q", [0, 1, 0], [1.0, 1.0, 0.0]) + ranking("r", [1, 0, 0], [1.0, 0.5, 0.0])
    grid = grids(1, 0, 5.0)
    for row in grid:
        row["log_odds"] = 1.0 if row["label"] or row["query"] == "0" else 0.0
    pairs = ranking("p", [1, 0, 1, 0], [2.0, 2.0, 1.0, 0.0])
    found = arm_results({"atp_hard": options, "vinoground": grid, "videocon_human": pairs}, CONFIG)
    assert [found["atp_hard"][name] for name in ("tie_low", "accuracy", "tie_high")] == [0.5, 0.75, 1.0]
    assert [found["vinoground"][name] for name in ("tie_low", "tie_high")] == [0.0, 1.0]
    assert [found["videocon_human"][name] for name in ("tie_low", "auc", "tie_high")] == [0.5, 0.625, 0.75]
