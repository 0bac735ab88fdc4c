"""`synvita compare --out FILE.html` and `Run.compare`: the page says and draws what was computed."""

import html
import json
import re

import pytest
from chromium import DESKTOP, PHONE, chromium
from pair_files import better_by, entailment_rows, retrieval_rows, write_run

import synvita
from synvita.cli import main
from synvita.report.comparison_page import Axis, axis_of, comparison_page

ROWS = entailment_rows(60, 3, 0.5)
TAG = "<b>bold"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """B is better on open and worse on retrieval; in-distribution has too few pairs; its name is markup."""
    folder, retrieval, few = tmp_path_factory.mktemp("runs"), retrieval_rows(0, 0.9, queries=6), entailment_rows(20, 1)
    a = {"open": ROWS, "retrieval_temporal": retrieval, "in_distribution": few}
    b = {"open": better_by(ROWS, 2), "retrieval_temporal": better_by(retrieval, -3), "in_distribution": few}
    return write_run(folder / "A", {"real_only": a}), write_run(folder / TAG, {"real_only": b})


@pytest.fixture(scope="module")
def page(runs):
    path = runs[0].parent / "compared.html"
    assert main(["compare", *map(str, runs), "--draws", "200", "--against", "paper", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def computed(runs):
    return synvita.Run(runs[0]).compare(runs[1], draws=200, paper=True)


def text_of(page):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.split("<main>")[1])).split())


def test_from_python_comes_what_the_command_writes(runs, computed, tmp_path):
    file = tmp_path / "x.json"
    assert main(["compare", *map(str, runs), "--draws", "200", "--against", "paper", "--out", str(file)]) == 0
    assert computed == json.loads(file.read_text())
    of_runs = synvita.Run(runs[0]).compare(synvita.Run(runs[1]), draws=200, tasks="open")
    assert [row["task"] for row in of_runs["comparisons"][0]["tasks"]] == ["open"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"others": [3]}, r"^others\[0\]: 3 given; give a run folder"),
        ({"draws": 0}, "^draws: 0 given; give a whole number from 1 on"),
        ({"tasks": "opne"}, "did you mean 'open'"),
        ({"out": "x.csv"}, "give a file that ends in .html, .json or .md"),
    ],
)
def test_wrong_arguments_are_named(runs, arguments, text):
    others = arguments.pop("others", [runs[1]])
    with pytest.raises(ValueError, match=text):
        synvita.Run(runs[0]).compare(*others, **arguments)


def test_the_first_sentence_names_what_is_better_and_what_is_worse_and_counts_the_rest(page, computed, runs):
    rows = {row["task"]: row for row in computed["comparisons"][0]["tasks"]}
    assert [rows[task]["verdict"] for task in ("open", "retrieval_temporal")] == ["better", "worse"]
    differences = {task: f"{100 * rows[task]['difference']:+.1f}" for task in rows}
    answer = re.search(r'<p class="answer">(.*?)</p>', page.read_text())[1]
    assert html.unescape(answer) == (
        f"“{runs[1]}”, compared with “{runs[0]}”, is better on Open ({differences['open']}); worse on "
        f"Retrieval, temporal ({differences['retrieval_temporal']}); 1 of 3 tasks cannot be told."
    )
    assert "too few pairs" in text_of(page.read_text())


def test_every_difference_stands_with_its_interval_p_and_size_and_is_drawn_in_its_place(page, computed):
    text, source = text_of(page.read_text()), page.read_text()
    axis = axis_of(computed["comparisons"][0]["tasks"])
    for row in computed["comparisons"][0]["tasks"]:
        interval = f"[{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
        assert f"{100 * row['difference']:+.1f} {interval}".replace("-0.0", "+0.0") in text
        place = 100 * (100 * row["difference"] - axis.low) / (axis.high - axis.low)
        assert f'style="left:{round(place, 2)}%"></i></span>' in source
    assert "80.09" in text  # the paper's


def test_an_axis_holds_zero_and_all_intervals_and_ends_at_round_numbers():
    rows = [{"low": 0.021, "high": 0.048, "difference": 0.03}, {"low": None, "high": None, "difference": None}]
    assert axis_of(rows) == Axis(0, 5) and Axis(-5, 5).place(0.025) == 75 and Axis(-5, 5).zero == 50
    assert axis_of([{"low": -0.121, "high": 0.0, "difference": -0.1}]) == Axis(-15, 0)
    assert axis_of([]) == Axis(-1, 1)


def test_several_comparisons_are_summed_up_and_arms_have_peoples_names(tmp_path):
    arms = {"real_only": {"open": ROWS}, "uniform": {"open": better_by(ROWS, 2)}, "mine": {"open": ROWS}}
    computed = synvita.Run(write_run(tmp_path / "run", arms)).compare(draws=200)
    text = text_of(comparison_page(computed))
    assert "2 differences in 2 comparisons: 1 better, 0 worse, 1 cannot be told." in text
    assert "“+ clips, all trusted” minus “captions only”" in text and "“mine” minus “captions only”" in text


def test_names_are_text_and_the_page_asks_nothing_of_the_network(page):
    source = page.read_text()
    assert TAG not in source and html.escape(TAG) in source
    assert (
        "default-src 'none'" in html.unescape(source)
        and not re.search(r"https?://", source)
        and "<script" not in source
    )


def test_a_desktop_and_a_phone_show_it_without_sideways_scrolling(page):
    with chromium() as program:
        for size in (DESKTOP, PHONE):
            browser = program.new_page(viewport=size)
            faults = []
            browser.on("console", lambda message, faults=faults: faults.append(message.text))
            browser.set_default_timeout(90_000)
            browser.goto(page.as_uri())
            assert browser.evaluate("document.documentElement.scrollWidth") <= size["width"] and faults == []
            dots = browser.locator(".differences .dot")
            boxes = [(dot.bounding_box(), dot.locator("..").bounding_box()) for dot in dots.all()]
            assert len(boxes) == 3 and all(t["x"] - 5 <= d["x"] <= t["x"] + t["width"] + 5 for d, t in boxes)
            browser.close()
