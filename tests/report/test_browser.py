"""The page in a real browser: it plays, filters, takes keys, fits a phone and asks the network nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser, find_chromium
from report_runs import SCRIPT, add_pairs, make_results, make_run

from synvita.report.page import write_report

FORMS = {  # the cards of a form: (a value of its first select, what the cards are called)
    "clip-cards": ("type-flip", "clips"),
    "case-cards": ("type-flip", "cases"),
    "ranking-cards": ("task-events", "queries"),
}
IN_VIEW = "[...document.querySelectorAll('#clip-cards video')].slice(0, 2)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go; SYNVITA_ARTEFACTS keeps them."""
    path = Path(os.environ.get("SYNVITA_ARTEFACTS") or tmp_path_factory.mktemp("screenshots"))
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    captions = f"a red ball {SCRIPT} rolls", f"a blue ball {SCRIPT} rolls"
    results = make_results()
    run = add_pairs(make_run(tmp_path_factory.mktemp("run"), *captions), list(results["arms"]), *captions)
    return write_report(run, results)


@pytest.fixture(scope="module")
def chromium(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium here")
    try:
        found = Browser(program, tmp_path_factory.mktemp("profile"))
    except OSError as error:
        pytest.skip(f"Chromium does not start: {error}")
    found.resize(1280, 900)
    found.open(page)
    yield found
    found.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """The page, unfiltered and at its top; up to the end of the test nothing was fetched and nothing went wrong."""
    chromium.resize(1280, 900)
    chromium.value("[...document.forms].forEach((form) => form.reset()); scrollTo(0, 0)")
    assert chromium.wait_for("document.querySelectorAll('.filters ~ div > [hidden]').length === 0")
    yield chromium
    said = [e for e in chromium.events if e["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled")]
    logged = [e["params"]["entry"] for e in chromium.events if e["method"] == "Log.entryAdded"]
    assert said + [entry for entry in logged if entry["level"] in ("error", "warning")] == []
    asked = [e["params"]["request"]["url"] for e in chromium.events if e["method"] == "Network.requestWillBeSent"]
    assert asked and all(url.startswith(("file:", "data:")) for url in asked)


def shown(browser: Browser, cards: str) -> int:
    return browser.value(f"[...document.getElementById('{cards}').children].filter((c) => c.offsetHeight > 0).length")


def form(cards: str) -> str:
    return f"document.querySelector('form[data-cards={cards}]')"


def pick(browser: Browser, cards: str, position: int, value: str) -> None:
    select = f"{form(cards)}.querySelectorAll('select')[{position}]"
    browser.value(f"{select}.value = '{value}'; {select}.dispatchEvent(new Event('change', {{bubbles: true}}))")
    assert browser.value(f"{select}.value") == value


def count_text(browser: Browser, cards: str) -> str:
    return browser.value(f"{form(cards)}.querySelector('[aria-live=polite]').textContent")


@pytest.mark.parametrize("cards", FORMS)
def test_filters_change_what_is_shown_and_reset_brings_it_back(browser: Browser, cards: str) -> None:
    value, noun = FORMS[cards]
    everything = shown(browser, cards)
    assert everything > 2 and count_text(browser, cards) == f"{everything} of {everything} {noun} shown"
    pick(browser, cards, 0, value)
    some = shown(browser, cards)
    assert 0 < some < everything and count_text(browser, cards) == f"{some} of {everything} {noun} shown"
    assert browser.value(f"document.querySelectorAll('#{cards} > [data-tags~={value}]:not([hidden])').length") == some
    browser.value(f"{form(cards)}.querySelector('button[type=reset]').click()")
    assert browser.wait_for(f"document.querySelectorAll('#{cards} > [hidden]').length === 0")
    assert count_text(browser, cards) == f"{everything} of {everything} {noun} shown"


def test_filters_are_combined(browser: Browser) -> None:
    everything = shown(browser, "case-cards")
    pick(browser, "case-cards", 2, "right-5")  # synvita
    right = shown(browser, "case-cards")
    pick(browser, "case-cards", 3, "wrong-1")  # off_the_shelf
    assert 0 < shown(browser, "case-cards") < right < everything
    pick(browser, "case-cards", 2, "right-1")
    assert shown(browser, "case-cards") == 0 and count_text(browser, "case-cards").startswith("0 of ")


def test_the_keyboard_reaches_and_changes_the_filters(browser: Browser) -> None:
    focused = "document.activeElement"
    for _ in range(60):
        browser.press("Tab", 9)
        if browser.value(f"{focused}.tagName") == "SELECT":
            break
    assert browser.value(f"{focused}.closest('form').dataset.cards") == "clip-cards"
    assert browser.value(f"getComputedStyle({focused}).outlineStyle") != "none"
    everything = shown(browser, "clip-cards")
    browser.press("f", 70)  # flip
    assert browser.wait_for(f"{focused}.value === 'type-flip'") and 0 < shown(browser, "clip-cards") < everything
    for _ in range(3):
        browser.press("Tab", 9)
    assert browser.value(f"{focused}.type") == "reset"
    browser.press(" ", 32)
    assert browser.wait_for("document.querySelectorAll('#clip-cards > [hidden]').length === 0")


def test_videos_play_in_view_and_let_go_out_of_view(browser: Browser) -> None:
    if not browser.value("document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.42E01E\"')"):
        pytest.skip("this Chromium has no H.264")
    browser.value("document.getElementById('clips').scrollIntoView()")
    assert browser.wait_for(f"{IN_VIEW}.every((v) => v.readyState >= 2)")
    button = "document.getElementById('play')"
    assert browser.wait_for(f"!{button}.hidden")
    browser.value(f"{button}.click()")
    assert browser.wait_for(f"{IN_VIEW}.every((v) => v.currentTime > 0 && !v.paused)")
    browser.value("document.getElementById('rankings').scrollIntoView()")
    assert browser.wait_for("document.querySelector('#ranking-cards video').currentTime > 0")
    browser.value(f"{button}.click()")
    assert browser.value("[...document.querySelectorAll('video')].every((v) => v.paused)")
    browser.value("window.scrollTo(0, 0)")
    assert browser.wait_for("[...document.querySelectorAll('#ranking-cards video')].every((v) => v.readyState === 0)")
    browser.value("document.getElementById('clips').scrollIntoView()")
    assert browser.wait_for(f"{IN_VIEW}.every((v) => v.readyState >= 2)")


def test_captions_are_shown_as_text(browser: Browser) -> None:
    for cards in FORMS:
        assert SCRIPT in browser.value(f"document.getElementById('{cards}').innerText.replaceAll('\\n', ' ')")
    assert browser.value("document.scripts.length") == 1


def test_a_phone_shows_one_column_without_sideways_scrolling(browser: Browser, folder: Path) -> None:
    for name, width, height in (("desktop", 1280, 900), ("phone", 390, 844)):
        browser.resize(width, height)
        assert browser.value("document.documentElement.scrollWidth") <= width
        for section in ("results", "clips", "cases", "rankings"):
            browser.value(f"document.getElementById('{section}').scrollIntoView()")
            first = f"document.querySelector('section[aria-labelledby={section}] video')"
            assert browser.wait_for(f"!{first} || {first}.readyState >= 2 || {first}.error")
            browser.screenshot(folder / f"{name}-{section}.png")
    left = "new Set([...document.querySelectorAll('#case-cards > *')].map((c) => c.offsetLeft)).size"
    assert browser.value(left) == 1
