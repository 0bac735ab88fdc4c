"""The page in a real browser: it plays, filters, takes keys, fits a phone and asks the network nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import DESKTOP, PHONE, chromium, wait_for
from report_runs import SCRIPT, add_pairs, make_results, make_run

from synvita.report.page import write_report

FORMS = {  # the cards of a form: (a value of its first select, what the cards are called)
    "clip-cards": ("type-flip", "triplets"),
    "case-cards": ("type-flip", "cases"),
    "ranking-cards": ("task-events", "queries"),
}
SLOW = 90_000  # milliseconds for one step, on a machine that has much else to do
FIRST = 6  # cards of a gallery before "show more"
IN_VIEW = "[...document.querySelectorAll('#clip-cards video')].slice(0, 2)"
H264 = "document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.42E01E\"')"


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
def program() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def opened(program: Any, page: Path) -> tuple[Any, list[str]]:
    """The page, and what it should not do: errors, console lines, requests to elsewhere."""
    faults: list[str] = []
    browser = program.new_page(viewport=DESKTOP)
    browser.on("pageerror", lambda error: faults.append(str(error)))
    browser.on("console", lambda message: faults.append(message.text))
    browser.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else faults.append(r.url))
    browser.set_default_timeout(SLOW)
    browser.goto(page.as_uri())
    return browser, faults


@pytest.fixture
def browser(opened: tuple[Any, list[str]]) -> Iterator[Any]:
    """The page as it opens, at its top; up to the end of the test nothing was fetched and nothing went wrong."""
    browser, faults = opened
    browser.set_viewport_size(DESKTOP)
    browser.evaluate(
        "[...document.forms].forEach((form) => form.reset()); scrollTo(0, 0); document.activeElement.blur()"
    )
    wait_for(browser, f"document.querySelectorAll('.filters ~ div > :not([hidden])').length === {3 * FIRST}")
    yield browser
    assert faults == []


def shown(browser: Any, cards: str) -> int:
    return browser.locator(f"#{cards} > article:visible").count()


def pick(browser: Any, cards: str, position: int, value: str) -> None:
    browser.locator(f"#{cards}-filters select").nth(position).select_option(value)


def count_text(browser: Any, cards: str) -> str:
    return browser.locator(f"#{cards}-filters [aria-live=polite]").inner_text()


@pytest.mark.parametrize("cards", FORMS)
def test_filters_change_what_is_shown_and_reset_brings_it_back(browser: Any, cards: str) -> None:
    value, noun = FORMS[cards]
    everything = browser.locator(f"#{cards} > article").count()
    first = min(FIRST, everything)
    assert shown(browser, cards) == first > 2 and count_text(browser, cards) == f"{first} of {everything} {noun} shown"
    tagged = browser.locator(f"#{cards} > [data-tags~={value}]").count()
    pick(browser, cards, 0, value)
    assert 0 < tagged < everything and count_text(browser, cards).endswith(f" of {tagged} {noun} shown")
    assert browser.locator(f"#{cards} > [data-tags~={value}]:visible").count() == shown(browser, cards) > 0
    browser.locator(f"#{cards}-filters button[type=reset]").click()
    wait_for(browser, f"document.querySelectorAll('#{cards} > :not([hidden])').length === {first}")
    assert count_text(browser, cards) == f"{first} of {everything} {noun} shown"


@pytest.mark.parametrize("cards", FORMS)
def test_a_gallery_opens_with_six_cards_and_shows_more_until_all_are_there(browser: Any, cards: str) -> None:
    everything, more = browser.locator(f"#{cards} > article").count(), browser.locator(f"#{cards}-more")
    assert everything > FIRST and shown(browser, cards) == FIRST
    steps = [shown(browser, cards)]
    while more.is_visible():
        promised = int(more.inner_text().split()[1])
        more.click()
        steps.append(shown(browser, cards))
        assert steps[-1] - steps[-2] == promised > 0
    assert steps[-1] == everything


def test_a_filter_that_nothing_passes_says_so_and_offers_a_reset(browser: Any) -> None:
    empty = browser.locator("#case-cards-empty")
    assert not empty.is_visible()
    pick(browser, "case-cards", 2, "right-1")
    pick(browser, "case-cards", 3, "wrong-1")
    assert shown(browser, "case-cards") == 0 and count_text(browser, "case-cards") == "0 of 0 cases shown"
    assert empty.is_visible() and "No cases match these filters" in empty.inner_text()
    empty.get_by_role("button", name="Reset the filters").click()
    wait_for(browser, "document.getElementById('case-cards-empty').hidden")
    assert shown(browser, "case-cards") == FIRST
    assert browser.evaluate("document.activeElement.tagName") == "SELECT"  # the button that had it is gone


def test_filters_are_combined(browser: Any) -> None:
    pick(browser, "case-cards", 2, "right-5")  # synvita
    right = int(count_text(browser, "case-cards").split()[2])
    pick(browser, "case-cards", 3, "wrong-1")  # off_the_shelf
    both = int(count_text(browser, "case-cards").split()[2])
    assert 0 < both < right < browser.locator("#case-cards > article").count()
    assert both == browser.locator("#case-cards > [data-tags~=right-5][data-tags~=wrong-1]").count()


def test_the_keyboard_reaches_and_changes_the_filters(browser: Any) -> None:
    browser.reload()  # the Tab key goes on from where an earlier test has clicked
    focused = "document.activeElement"
    for _ in range(60):
        browser.keyboard.press("Tab")
        if browser.evaluate(f"{focused}.tagName") == "SELECT":
            break
    assert browser.evaluate(f"{focused}.closest('form').dataset.cards") == "clip-cards"
    assert browser.evaluate(f"getComputedStyle({focused}).outlineStyle") != "none"
    browser.keyboard.press("f")  # flip
    wait_for(browser, f"{focused}.value === 'type-flip'")
    assert 0 < shown(browser, "clip-cards") < FIRST
    for _ in range(3):
        browser.keyboard.press("Tab")
    assert browser.evaluate(f"{focused}.type") == "reset"
    browser.keyboard.press(" ")
    wait_for(browser, f"document.querySelectorAll('#clip-cards > :not([hidden])').length === {FIRST}")


def need_h264(browser: Any) -> None:
    if not browser.evaluate(H264):
        pytest.skip("this Chromium has no H.264")


def test_videos_play_in_view_without_controls_and_let_go_out_of_view(browser: Any) -> None:
    need_h264(browser)
    assert browser.evaluate("[...document.querySelectorAll('video')].every((v) => !v.controls && v.muted && v.loop)")
    browser.evaluate("document.getElementById('clips').scrollIntoView()")
    wait_for(browser, f"{IN_VIEW}.every((v) => v.currentTime > 0 && !v.paused)")
    browser.evaluate("document.getElementById('rankings').scrollIntoView()")
    wait_for(browser, "document.querySelector('#ranking-cards video').currentTime > 0")
    wait_for(browser, f"{IN_VIEW}.every((v) => v.readyState === 0)")
    browser.evaluate("document.getElementById('clips').scrollIntoView()")
    wait_for(browser, f"{IN_VIEW}.every((v) => v.currentTime > 0)")


def test_a_click_a_key_or_the_button_pauses_and_plays(browser: Any) -> None:
    need_h264(browser)
    browser.evaluate("document.getElementById('clips').scrollIntoView()")
    first, second = browser.locator("#clip-cards video").nth(0), browser.locator("#clip-cards video").nth(1)
    paused = "([...document.querySelectorAll('#clip-cards video')].slice(0, 2).map((v) => v.paused)).join()"
    wait_for(browser, f"{paused} === 'false,false'")
    first.click()
    wait_for(browser, f"{paused} === 'true,false'")
    browser.evaluate("scrollTo(0, 1e6)")
    wait_for(browser, f"{IN_VIEW}.every((v) => v.readyState === 0)")
    browser.evaluate("document.getElementById('clips').scrollIntoView()")
    wait_for(browser, f"{paused} === 'true,false'")  # it stays as it was left
    second.focus()
    browser.keyboard.press("Enter")
    wait_for(browser, f"{paused} === 'true,true'")
    first.click()
    wait_for(browser, f"{paused} === 'false,true'")
    button = browser.locator("#play")
    assert button.inner_text() == "Pause videos"
    button.evaluate("(b) => b.click()")  # playwright would scroll to it, and it moves along
    wait_for(browser, "[...document.querySelectorAll('video')].every((v) => v.paused)")
    assert button.inner_text() == "Play videos"
    button.evaluate("(b) => b.click()")
    wait_for(browser, f"{paused} === 'false,false'")


def test_intervals_are_shown_on_demand(browser: Any) -> None:
    interval = browser.locator(".arms .interval", has_text="[66.7, 71.0]")
    assert interval.count() == 1 and not interval.is_visible()
    browser.get_by_label("Show the intervals").check()
    assert interval.is_visible() and "[+1.2, +5.8]" in interval.inner_text()


def test_the_contents_bar_stays_and_its_links_lead_below_it(browser: Any) -> None:
    links = browser.locator("nav a")
    targets = [link.get_attribute("href") for link in links.all()]
    assert targets[:2] == ["#verdict", "#results"] and {"#clips", "#cases", "#rankings"} <= set(targets)
    for target in targets:
        browser.locator(f"nav a[href='{target}']").click()
        bar = browser.locator("nav").bounding_box()
        heading = browser.locator(target).bounding_box()
        assert bar["y"] == 0 and heading["y"] >= bar["height"], target


def test_captions_are_shown_as_text(browser: Any) -> None:
    for cards in FORMS:
        assert SCRIPT in browser.locator(f"#{cards}").inner_text().replace("\n", " ")
    assert browser.evaluate("document.scripts.length") == 1


def test_a_phone_shows_one_column_without_sideways_scrolling(browser: Any, folder: Path) -> None:
    for name, size in (("desktop", DESKTOP), ("phone", PHONE)):
        browser.set_viewport_size(size)
        assert browser.evaluate("document.documentElement.scrollWidth") <= size["width"]
        for section in ("verdict", "results", "clips", "cases", "rankings"):
            browser.evaluate(f"document.getElementById('{section}').scrollIntoView()")
            first = f"document.querySelector('section[aria-labelledby={section}] video')"
            wait_for(browser, f"!{first} || {first}.readyState >= 2 || {first}.error")
            browser.screenshot(path=folder / f"{name}-{section}.png")
    left = "new Set([...document.querySelectorAll('#case-cards > :not([hidden])')].map((c) => c.offsetLeft)).size"
    assert browser.evaluate(left) == 1


def test_the_first_screen_has_the_verdict_what_was_measured_and_the_tiles_on_a_phone_too(browser: Any) -> None:
    for size in (DESKTOP, PHONE):
        browser.set_viewport_size(size)
        for part in (".answer", ".verdict dl.facts", ".tiles"):
            box = browser.locator(part).bounding_box()
            assert box["y"] + box["height"] <= size["height"], (part, size, box)
    assert "2.1 million parameters" in browser.locator(".verdict dl.facts").inner_text()


def test_a_generators_name_is_never_cut(browser: Any) -> None:
    for size in (DESKTOP, PHONE):
        browser.set_viewport_size(size)
        name = browser.locator("#clip-cards article .pair p.id").first
        assert name.evaluate(
            "(p) => { p.textContent = 'by ' + 'long'.repeat(20); return p.scrollWidth <= p.clientWidth }"
        )
    name.evaluate("(p) => { p.textContent = 'by sim' }")


def test_on_a_phone_a_tables_first_column_stays_in_place(browser: Any) -> None:
    browser.set_viewport_size(PHONE)
    table, name = browser.locator(".scroll:has(> .arms)"), browser.locator(".arms tbody th").first
    assert browser.locator(".numbers .hint").is_visible()
    before = name.bounding_box()["x"]
    table.evaluate("(box) => { box.scrollLeft = 200 }")
    assert table.evaluate("(box) => box.scrollLeft") == 200
    assert abs(name.bounding_box()["x"] - before) <= 1


def test_without_script_every_card_is_there_and_a_video_has_its_own_controls(program: Any, page: Path) -> None:
    browser = program.new_page(java_script_enabled=False)
    browser.set_default_timeout(SLOW)
    browser.goto(page.as_uri())
    for cards in FORMS:
        assert shown(browser, cards) == browser.locator(f"#{cards} > article").count() > FIRST
    assert not browser.locator("form.filters").first.is_visible()
    assert browser.locator("video[controls]").count() == browser.locator("video").count() > 0
    browser.close()


def test_who_wants_less_motion_gets_videos_that_wait(program: Any, page: Path) -> None:
    browser = program.new_page(viewport=DESKTOP, reduced_motion="reduce")
    browser.set_default_timeout(SLOW)
    need_h264(browser)
    browser.goto(page.as_uri())
    browser.evaluate("document.getElementById('clips').scrollIntoView()")
    wait_for(browser, f"{IN_VIEW}.every((v) => v.readyState >= 2)")
    assert browser.evaluate(f"{IN_VIEW}.every((v) => v.paused)")
    browser.locator("#clip-cards video").first.click()
    wait_for(browser, f"!{IN_VIEW}[0].paused && {IN_VIEW}[1].paused")
    browser.close()
