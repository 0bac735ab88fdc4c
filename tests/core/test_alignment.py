"""Answer logits -> scores: in fp32 whatever the logits' precision, against Python's own floats."""

import math

import pytest
import torch

from synvita.core.alignment import alignment, log_odds, vqa_score

HALF = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", HALF)
def test_log_odds_of_16_bit_logits_are_the_exact_difference(dtype):
    logits = torch.tensor([20.125, 0.0, 0.0078125], dtype=dtype)  # the difference has more digits than 16 bits hold
    found = log_odds(logits, 0, 2)
    assert found.dtype == torch.float32 and found.item() == 20.125 - 0.0078125


def test_log_odds_of_fp64_stay_fp64():
    logits = torch.tensor([1.0, 1e-12], dtype=torch.float64)
    assert log_odds(logits, 0, 1).item() == 1.0 - 1e-12


def test_log_odds_are_of_yes_against_no_whatever_stands_beside_them():
    logits = torch.tensor([[9.0, 1.5, 4.0, -2.0], [9.0, -3.0, 4.0, 0.25]])
    assert log_odds(logits, 1, 3).tolist() == [3.5, -3.25]
    assert log_odds(logits, 3, 1).tolist() == [-3.5, 3.25]


def test_alignment_is_the_share_of_yes_and_never_leaves_0_1():
    odds = torch.tensor([0.0, 2.0, -2.0, 1e4, -1e4])
    want = [0.5, math.exp(2) / (math.exp(2) + 1), 1 / (math.exp(2) + 1), 1.0, 0.0]
    assert alignment(odds).tolist() == pytest.approx(want, abs=1e-7)


def naive(rows: list[list[float]], answer: list[int]) -> float:
    """exp(-mean cross-entropy) in Python's floats."""
    logs = [row[token] - math.log(sum(math.exp(v) for v in row)) for row, token in zip(rows, answer, strict=True)]
    return math.exp(sum(logs) / len(logs))


@pytest.mark.parametrize("dtype", [*HALF, torch.float32])
def test_a_vqa_score_is_the_geometric_mean_of_the_answers_probabilities_in_fp32(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(5, 2, 400, generator=generator) * 3).to(dtype)
    answer = torch.tensor([7, 2])
    found = vqa_score(logits, answer)
    assert found.dtype == torch.float32 and found.shape == (5,)
    want = [naive(rows, answer.tolist()) for rows in logits.double().tolist()]
    assert found.tolist() == pytest.approx(want, rel=1e-5)


def test_the_end_token_counts_as_much_as_the_answer():
    logits = torch.zeros(1, 2, 4)
    logits[0, 1, 3] = 5.0  # the end is sure, the answer is one of four
    end = math.exp(5) / (math.exp(5) + 3)
    assert vqa_score(logits, torch.tensor([0, 3])).item() == pytest.approx(math.sqrt(0.25 * end), rel=1e-6)
