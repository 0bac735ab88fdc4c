"""Table 6's figures: against naive loops, with up to four scorers, with holes, and no mean of two quantities."""

import copy
import json

import numpy as np
import pytest
from pair_files import entailment_rows, middle, naive_auc, resampled

from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.scorers import groups, scorer_figures

CONFIG = EvaluateConfig(draws=40)
NAMES = ("llava", "instructblip", "clip_flant5", "video_llm")
KINDS = ("object", "action", "flip")


def pairs(count=24, seed=0):
    rows = entailment_rows(count, seed)
    return [
        {key: value for key, value in row.items() if key != "log_odds"} | {"misalignment": KINDS[(i // 2) % 3]}
        for i, row in enumerate(rows)
    ]


def scores_of(rows, names, seed=1):
    """Every scorer is right by chance and a little more, on a scale of its own."""
    rng = np.random.default_rng(seed)
    return {
        name: {(r["video"], r["caption"]): float(rng.beta(2 + r["label"], 2 + i)) for r in rows}
        for i, name in enumerate(names)
    }


def means(rows, scores, group):
    return [float(np.mean([scores[name][row["video"], row["caption"]] for name in group])) for row in rows]


@pytest.mark.parametrize(
    ("number", "want"),
    [(1, ["a"]), (2, ["a", "b", "ab"]), (3, ["a", "b", "c", "ab", "ac", "bc", "abc"])],
)
def test_scorers_stand_alone_in_every_pair_and_all_together(number, want):
    assert ["".join(group) for group in groups("abc"[:number])] == want
    assert len(groups("abcde")) == 5 + 10 + 1


@pytest.mark.parametrize("number", [2, 3, 4])
def test_every_figure_is_the_auc_of_a_mean_score_with_an_interval_over_videos(number):
    names = NAMES[:number]
    tests = {"in_distribution": pairs(18, 4), "open": pairs()}
    scores = scores_of([row for rows in tests.values() for row in rows], names)
    found = scorer_figures(tests, scores, dict.fromkeys(names, "vqa_score"), CONFIG)
    assert found["without_mean"] == [] and found["quantities"] == dict.fromkeys(names, "vqa_score")
    assert list(found["sets"]) == list(found["mean_minus"]) == list(tests)
    for test, rows in tests.items():
        assert list(found["sets"][test]) == [" + ".join(group) for group in groups(names)]
        for group in groups(names):
            entry = found["sets"][test][" + ".join(group)]
            assert set(entry) == {"all", *KINDS}
            for kind, one in entry.items():
                some = [row for row in rows if kind in ("all", row["misalignment"])]
                assert one["auc"] == pytest.approx(naive_auc(some, means(some, scores, group)), abs=1e-12)
                assert (one["expected"], one["missing"]) == (len(some), 0)
            values = means(rows, scores, group)
            drawn = [
                naive_auc([rows[i] for i in draw], [values[i] for i in draw])
                for draw in resampled([row["video"] for row in rows], CONFIG.draws)
            ]
            assert (entry["all"]["low"], entry["all"]["high"]) == pytest.approx(middle(drawn), abs=1e-12)


def test_the_mean_of_all_is_compared_with_each_on_the_same_draws():
    rows = pairs()
    scores = scores_of(rows, NAMES[:3])
    found = scorer_figures({"open": rows}, scores, dict.fromkeys(NAMES[:3], "q"), CONFIG)["mean_minus"]["open"]
    every = means(rows, scores, NAMES[:3])
    for name in NAMES[:3]:
        alone = means(rows, scores, [name])
        drawn = []
        for draw in resampled([row["video"] for row in rows], CONFIG.draws):
            some = [rows[i] for i in draw]
            drawn.append(naive_auc(some, [every[i] for i in draw]) - naive_auc(some, [alone[i] for i in draw]))
        assert found[name]["auc"] == pytest.approx(naive_auc(rows, every) - naive_auc(rows, alone), abs=1e-12)
        assert (found[name]["low"], found[name]["high"]) == pytest.approx(middle(drawn), abs=1e-12)


def test_all_figures_are_of_the_pairs_that_every_scorer_has_scored():
    rows = pairs()
    scores = scores_of(rows, NAMES[:3])
    del scores["llava"][rows[0]["video"], rows[0]["caption"]]
    del scores["clip_flant5"][rows[9]["video"], rows[9]["caption"]]
    left = [row for i, row in enumerate(rows) if i not in (0, 9)]
    before = copy.deepcopy(rows)
    found = scorer_figures({"open": rows}, scores, dict.fromkeys(NAMES[:3], "q"), CONFIG)["sets"]["open"]
    for group in groups(NAMES[:3]):
        entry = found[" + ".join(group)]["all"]
        assert (entry["expected"], entry["missing"]) == (len(rows), 2)
        assert entry["auc"] == pytest.approx(naive_auc(left, means(left, scores, group)), abs=1e-12)
    assert rows == before


def test_two_quantities_have_no_mean_and_it_is_said():
    rows = pairs()
    scores = scores_of(rows, NAMES[:3])
    kinds = {"llava": "vqa_score", "instructblip": "p_yes", "clip_flant5": "vqa_score"}
    found = scorer_figures({"open": rows}, scores, kinds, CONFIG)
    assert list(found["sets"]["open"]) == ["llava", "instructblip", "clip_flant5", "llava + clip_flant5"]
    apart = ["llava + instructblip", "instructblip + clip_flant5", "llava + instructblip + clip_flant5"]
    assert found["without_mean"] == apart and found["mean_minus"] == {}


def test_one_scorer_and_a_set_without_scores_give_strict_json():
    rows = pairs()
    scores = scores_of(rows, ["llava"])
    found = scorer_figures({"open": rows}, scores, {"llava": "q"}, CONFIG)
    assert list(found["sets"]["open"]) == ["llava"] and found["mean_minus"] == {}
    nothing = scorer_figures({"open": rows}, {"a": {}, "b": {}}, {"a": "q", "b": "q"}, CONFIG)
    entry = nothing["sets"]["open"]["a + b"]["all"]
    assert entry == {"auc": None, "low": None, "high": None, "expected": len(rows), "missing": len(rows)}
    assert nothing["mean_minus"]["open"]["a"]["auc"] is None
    json.dumps([found, nothing], allow_nan=False)
