"""Processes beside this one: results under their names, Ctrl-C for the parent alone, a death in one line."""

import os
import signal

import pytest

from synvita.core.pool import in_processes


def square(number):
    if number == 13:
        os._exit(1)
    return number**2, os.environ.get("OMP_NUM_THREADS"), os.environ.get("CUDA_VISIBLE_DEVICES")


def deaf_to_ctrl_c(_):
    return signal.getsignal(signal.SIGINT) == signal.SIG_IGN, signal.SIGINT in signal.pthread_sigmask(0, [])


def test_each_call_gives_its_result_under_its_name_in_processes_with_their_share_of_cores_and_devices(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    work = ((f"n{i}", (i,)) for i in range(7))
    found = dict(in_processes(square, work, 2, devices=["5", "7"]))
    assert {name: value for name, (value, *_) in found.items()} == {f"n{i}": i**2 for i in range(7)}
    assert {threads for _, threads, _ in found.values()} == {"3"}
    assert {device for *_, device in found.values()} <= {"5", "7"}


def test_a_worker_never_hears_ctrl_c_not_even_before_it_has_begun():
    assert dict(in_processes(deaf_to_ctrl_c, [(i, (i,)) for i in range(3)], 2)) == dict.fromkeys(range(3), (True, True))
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_worker_that_dies_is_one_error():
    with pytest.raises(ValueError, match=r"^gone$"):
        list(in_processes(square, [(i, (i,)) for i in (1, 13)], 2, died="gone"))
