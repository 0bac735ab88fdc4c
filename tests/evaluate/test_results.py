"""Figures of one arm from its pair files."""

import numpy as np
import pytest

from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.results import question_answering, retrieval


def retrieval_rows(seed, signal):
    """7 templates x 84 videos, 12 right ones each; scores are noise plus `signal` for the right ones."""
    rng = np.random.default_rng(seed)
    return [
        {"query": str(q), "video": f"{v}.mp4", "label": int(v // 12 == q), "log_odds": float(noise)}
        for q in range(7)
        for v in range(84)
        for noise in [rng.normal() + signal * (v // 12 == q)]
    ]


def test_retrieval_intervals_hold_their_own_figure_and_cover_the_true_one_as_often_as_they_say():
    """The truth is the mean over many draws of the scores; the interval resamples videos, so it is about as wide."""
    config = EvaluateConfig(draws=60)
    found = [retrieval(retrieval_rows(seed, 1.0), config) for seed in range(16)]
    truth = np.mean([f["map"] for f in found])
    assert all(f["low"] <= f["map"] <= f["high"] for f in found)
    assert np.mean([f["low"] <= truth <= f["high"] for f in found]) >= 0.8


def test_a_perfect_ranking_has_map_one_and_a_hit_on_top():
    found = retrieval(retrieval_rows(0, 100.0), EvaluateConfig(draws=20))
    assert found["map"] == found["high"] == found["recall_at_1"] == 1.0 and found["missing"] == 0


def test_questions_with_a_missing_answer_are_counted_not_averaged():
    options = [{"query": str(q), "video": f"{q}.mp4", "label": int(o == 0), "log_odds": 1.0 if o == q % 2 else 0.0}
               for q in range(4) for o in range(5)]  # fmt: skip
    options[0]["log_odds"] = None
    found = question_answering(options, EvaluateConfig(draws=50))
    assert found["expected"] == 20 and found["missing"] == 1
    assert found["accuracy"] == pytest.approx(1 / 3)
