"""Progress is for people: on stderr, one line in a log, nothing in front of an error that came at once."""

import io
import sys

import pytest

from synvita.core.progress import progress, tick_parent


def test_a_log_gets_one_line_with_the_count(capsys):
    with progress("weigh", 3) as tick:
        for words in ("", "loss 0.1", "loss 0.2"):
            tick(words)
    out, err = capsys.readouterr()
    assert out == "" and err.count("weigh") == 1 and "3/3" in err


def test_a_stage_that_was_cut_says_how_far_it_came(capsys):
    with pytest.raises(KeyboardInterrupt), progress("weigh", 3) as tick:
        tick()
        raise KeyboardInterrupt
    assert "1/3" in capsys.readouterr().err


def test_words_stay_beside_the_bar_of_a_stage_that_was_cut(capsys):
    with pytest.raises(ValueError), progress("train", 3) as tick:
        tick("loss 0.25")
        tick()
        raise ValueError
    err = capsys.readouterr().err
    assert "loss 0.25" in err and "2/3" in err


def test_an_error_that_came_at_once_says_it_all(capsys):
    with pytest.raises(ValueError), progress("weigh", 3):
        raise ValueError
    assert "weigh" not in capsys.readouterr().err


def test_a_parent_gets_a_line_per_unit_at_once(monkeypatch):
    class Pipe(io.StringIO):
        arrived = ""

        def flush(self) -> None:
            self.arrived = self.getvalue()

    monkeypatch.setattr(sys, "stdout", Pipe())
    tick_parent("loss 0.1")
    tick_parent()
    assert sys.stdout.arrived == "loss 0.1\n\n"
