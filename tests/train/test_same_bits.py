"""The switch for kernels that give the same bits, without a GPU: set within, given back, its errors in one line."""

import pytest
import torch

from synvita.train.same_bits import same_bits


@pytest.fixture
def cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_it_is_on_within_and_as_before_behind_even_after_an_error(cuda):
    with same_bits(True):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(KeyError), same_bits(True):
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(("wanted", "there"), [(False, True), (True, False)])
def test_it_stays_off_where_nobody_wants_it_or_no_gpu_is_there(monkeypatch, wanted, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    with same_bits(wanted):
        assert not torch.are_deterministic_algorithms_enabled()


def test_an_operation_without_such_a_kernel_is_one_line_with_the_way_out(cuda):
    with (
        pytest.raises(ValueError, match=r"^--train\.deterministic: .*cumsum.*; false trains without") as e,
        same_bits(True),
    ):
        raise RuntimeError("cumsum_cuda does not have a deterministic implementation\nsecond line")
    assert "\n" not in str(e.value)


def test_other_errors_pass_as_they_are(cuda):
    with pytest.raises(RuntimeError, match=r"^out of memory$"), same_bits(True):
        raise RuntimeError("out of memory")
