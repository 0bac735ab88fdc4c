"""The losses against the authors' recorded values and naive loops."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from synvita.core.alignment import alignment, log_odds, vqa_score
from synvita.train.losses import answer_loss, consistency_loss, total_loss

DATA = Path(__file__).parent.parent / "data"
VALUES = json.loads((DATA / "scr.json").read_text())
TENSORS = load_file(DATA / "scr.safetensors")
YES, NO = VALUES["yes_id"], VALUES["no_id"]


def recorded_pairs(case, dtype):
    """The six arguments of `consistency_loss` from a recorded batch: shared rows follow their full rows."""
    name = f"case{case['id']:03d}"
    logits, labels = TENSORS[f"{name}.logits"].to(dtype), TENSORS[f"{name}.labels"]
    columns = [[] for _ in range(5)]
    shared = case["shared_semantic_indices"]
    for i in range(0, len(shared), 2):
        rows = {}
        for s in shared[i : i + 2]:
            answer = next(t for t in labels[s - 1].tolist() if t in (YES, NO))
            at = labels[s - 1].tolist().index(answer) - 1
            f = [alignment(log_odds(logits[row, at], YES, NO)) for row in (s - 1, s)]
            rows[answer] = f
            if case["domains"][s - 1] == "synthetic":
                weight = max(0.0, case["alignment_diffs"][s - 1])
        for column, value in zip(columns, [*rows[YES], *rows[NO], torch.tensor(weight, dtype=dtype)], strict=True):
            column.append(value)
    return [torch.stack(c) if c else torch.empty(0, dtype=dtype) for c in columns]


@pytest.mark.parametrize("case", VALUES["scr_cases"], ids=lambda c: f"case{c['id']}")
def test_the_consistency_loss_equals_the_authors(case):
    exact = consistency_loss(*recorded_pairs(case, torch.float64), margin=case["margin"])
    assert math.isclose(exact.item(), case["f64"]["scr"], rel_tol=1e-9, abs_tol=1e-12)
    single = consistency_loss(*recorded_pairs(case, torch.float32), margin=case["margin"])
    assert math.isclose(single.item(), case["f32"]["scr"], rel_tol=1e-5, abs_tol=1e-7)


def test_the_recorded_alignments_are_reproduced_and_never_nan():
    checked = nan = 0
    for case in VALUES["alignment_cases"]:
        if "raises" in str(case):  # a row without an answer: the authors raise
            continue
        name = f"align{case['id']:03d}"
        logits, labels = TENSORS[f"{name}.logits"], TENSORS[f"{name}.labels"]
        for row, want64, want32 in zip(range(len(labels)), case["f64"], case["f32"], strict=True):
            said = labels[row].tolist()
            answer = YES if YES in said else NO
            odds = log_odds(logits[row, said.index(answer) - 1].double(), YES, NO)
            assert torch.isfinite(alignment(odds))
            if want64 != "nan":
                assert math.isclose(alignment(odds).item(), want64, rel_tol=1e-9, abs_tol=1e-15)
                checked += 1
            nan += want32 == "nan"
    assert checked > 10 and nan > 0  # theirs underflows to NaN, ours does not


numbers = st.lists(st.floats(0, 1), min_size=5, max_size=5)


@settings(max_examples=100)
@given(st.lists(numbers, min_size=1, max_size=6), st.floats(0, 1))
def test_the_consistency_loss_equals_a_loop_over_pairs(pairs, margin):
    want = sum(w * (max(0, margin + b - a) + max(0, margin + c - d)) for a, b, c, d, w in pairs) / len(pairs)
    got = consistency_loss(*torch.tensor(pairs, dtype=torch.float64).T, margin=margin)
    assert math.isclose(got.item(), want, rel_tol=1e-12, abs_tol=1e-12)


def test_the_answer_loss_equals_a_loop_over_tokens_and_a_zero_weight_still_counts_as_a_token():
    torch.manual_seed(0)
    logits, targets = torch.randn(6, 11, dtype=torch.float64), torch.tensor([1, 2, 3, 4, 5, 6])
    weights = torch.tensor([1.0, 0.0, 0.5, 0.25, 0.0, 1.0])
    want = 0.0
    for row, target, weight in zip(logits.tolist(), targets.tolist(), weights.tolist(), strict=True):
        want += weight * (math.log(sum(math.exp(x) for x in row)) - row[target])
    assert math.isclose(answer_loss(logits, targets, weights, 8).item(), want / 8, rel_tol=1e-12)
    assert answer_loss(logits[:0], targets[:0]).item() == 0


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_losses_of_16_bit_logits_are_those_of_the_same_logits_in_32_bits(kind):
    """And so near the truth, fp64; in 16 bits the sums would be off by up to 1 part in 256."""
    torch.manual_seed(0)
    logits, targets = (torch.randn(64, 501) * 4).to(kind), torch.randint(501, (64,))
    weights = torch.rand(64)
    got = answer_loss(logits, targets, weights, 97)
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(answer_loss(logits.float(), targets, weights, 97).item(), rel=1e-6)
    exact = -torch.log_softmax(logits.double(), -1)[torch.arange(64), targets]
    assert got.item() == pytest.approx(float((exact * weights.double()).sum() / 97), rel=1e-6)
    half = logits[:32], logits[32:]
    f = [alignment(log_odds(part[:, i : i + 2], 0, 1)) for part in half for i in (0, 2)]
    truth = [
        torch.sigmoid((part[:, i] - part[:, i + 1]).double()) for part in (h.double() for h in half) for i in (0, 2)
    ]
    want = (weights[:32] * ((0.2 + truth[1] - truth[0]).clamp(0) + (0.2 + truth[2] - truth[3]).clamp(0))).mean()
    assert consistency_loss(*f, weights[:32]).item() == pytest.approx(want.item(), rel=1e-6)


def test_the_total_is_real_plus_synthetic_plus_lambda_times_consistency():
    parts = torch.tensor([0.5, 0.25, 2.0])
    assert total_loss(*parts, 0.1).item() == pytest.approx(0.95)


def test_the_vqa_score_is_the_geometric_mean_of_the_answers_token_probabilities():
    torch.manual_seed(0)
    logits = torch.randn(3, 2, 7)
    p = torch.softmax(logits, -1)
    want = (p[:, 0, 4] * p[:, 1, 2]).sqrt()
    torch.testing.assert_close(vqa_score(logits, torch.tensor([4, 2])), want)
