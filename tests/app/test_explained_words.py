"""Which words carry a score: against a model that adds up known worths of words, and as the page shows it."""

import math
import re

import pytest

from synvita.app import shown
from synvita.app.page import answer
from synvita.app.words import Explained, Word, explain
from synvita.cli import main
from synvita.videollm.aligner import Aligner

WORTH = {"red": 2.0, "ring": 1.0, "left": -3.0, "a": 0.0, "<b>": 0.5}


class Additive:
    """The log-odds of a caption are the worths of its words; remembers what it was asked."""

    def __init__(self):
        self.calls = []

    def __call__(self, captions):
        self.calls.append(captions)
        return [sum(WORTH.get(word, 0.0) for word in caption.split()) for caption in captions]


def test_a_word_carries_what_it_is_worth_where_worths_add_up_and_the_model_is_asked_once():
    model = Additive()
    red, left = explain(model, ["a red ring", " left   ring "])
    assert (red.caption, red.log_odds) == ("a red ring", 3.0)
    assert red.words == [Word("a", 0.0), Word("red", 2.0), Word("ring", 1.0)]
    assert left == Explained("left ring", -2.0, [Word("left", -3.0), Word("ring", 1.0)])
    (asked,) = model.calls
    assert sorted(asked) == sorted({"a red ring", "red ring", "a ring", "a red", "left ring", "ring", "left"})


def test_a_word_that_stands_twice_is_left_out_where_it_stands_and_a_lone_word_carries_nothing_known():
    (twice,) = explain(Additive(), "red red")
    assert twice.words == [Word("red", 2.0), Word("red", 2.0)]
    (lone,) = explain(Additive(), ["ring"])
    assert lone == Explained("ring", 1.0, [Word("ring", None)])


@pytest.mark.parametrize(
    ("captions", "text"), [([], "none given"), (["a", " "], r"captions\[1\]: empty"), (3, "3 given")]
)
def test_what_is_no_caption_is_refused(captions, text):
    with pytest.raises(ValueError, match=text):
        explain(Additive(), captions)


def test_the_table_is_sorted_coloured_by_what_words_carry_and_shows_markup_as_text():
    html = shown.table(explain(Additive(), ["left ring", "a red <b>"]))
    assert html.index("red") < html.index("left") and "<b>&lt;" not in html and "&lt;b&gt;" in html
    colour = {m[2]: m[1] for m in re.finditer(r'background:rgba\(([^)]+)\)">([^<]+)<', html)}
    assert colour["left"] == f"{shown.MISFITS}, {shown.STRONGEST:.2f}"
    assert colour["red"] == f"{shown.FITS}, {shown.STRONGEST * 2 / 3:.2f}"
    assert f"<b>{1 / (1 + math.exp(-2.5)):.3f}</b> (+2.50)" in html
    assert shown.alignment(-800) == 0 and shown.alignment(800) == 1


def test_the_page_answers_with_the_scores_of_the_aligner_or_with_one_line():
    from pathlib import Path

    video = str(Path(__file__).parents[2] / "examples" / "videos" / "7.mp4")
    captions = ["a large red triangle moving up", "a large red circle moving up"]
    with Aligner.from_pretrained() as aligner:
        right, wrong = aligner.score(video, captions).alignment
        html = answer(aligner, video, "\n".join([captions[1], "", captions[0]]))
        assert re.findall(r"<b>([\d.]+)</b>", html) == [f"{right:.3f}", f"{wrong:.3f}"]
        for given, text in (
            ((None, "x"), "no clip yet"),
            ((video, " \n"), "no caption yet"),
            ((video, "x " * 61), "at most 20 captions of 60 words"),
            ((__file__, "a ring"), "not a readable video"),
        ):
            said = answer(aligner, *given)
            assert text in said and "synvita-error" in said


def test_without_gradio_or_with_a_port_that_is_none_the_command_says_so(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["app"]) == 2
    assert capsys.readouterr().err == "synvita: app: needs gradio; pip install 'synvita[app]'\n"
    assert main(["app", "--port", "70000"]) == 2
    assert "--port: 70000 is no port" in capsys.readouterr().err
