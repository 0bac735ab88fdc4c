"""The page of a run that was asked public benchmarks about real videos: nothing of it is only the miniature's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_runs import DECODER, difference, make_run
from small import HOME, MODEL

from synvita.core.store import write_records
from synvita.core.write_video import write_video
from synvita.report.asked import chosen, pairs_of, questions_of
from synvita.report.cases import Cases, find_cases
from synvita.report.embedded import SMALL_BYTES, Album
from synvita.report.measured import clips_text
from synvita.report.page import write_report
from synvita.report.pairs import find_answers
from synvita.report.rankings import find_rankings
from synvita.report.verdict import verdict

Rows = list[dict[str, Any]]


def row(query: str, caption: str, label: int, log_odds: float | None, video: str = "videos/0.mp4", **more: Any) -> dict:
    return {"query": query, "caption": caption, "video": video, "label": label, "log_odds": log_odds} | more


def videocon(sign: float) -> Rows:
    """As VideoCon publishes it: one right caption of a video with several wrong ones, of which a reader keeps the
    caption once; and a pair whose video is not there."""
    right = row("llm:1", "a man runs", 1, 0.0, part="object")
    wrong = [
        row(f"llm:{number}", f"a {noun} runs", 0, sign * number, part=part)
        for number, (noun, part) in enumerate((("dog", "object"), ("woman", "attribute"), ("boat", "event order")), 1)
    ]
    lost = [row("llm:9", text, label, None, "videos/gone.mp4") for text, label in (("a cat", 1), ("a cow", 0))]
    return [right, *wrong, *lost]


def atp_hard(first: float) -> Rows:
    """Three options, the second is right; `first`: the first one's log-odds."""
    query = "4010069381: what does he do: nothing?"
    values = {"He plays.": first, "He sleeps.": 1.0, "He eats.": 0.5}
    return [
        row(query, text, int(text == "He sleeps."), value, option=number, part="causal")
        for number, (text, value) in enumerate(values.items())
    ]


def ssv2(flip: bool) -> Rows:
    """Ten of eleven videos have a score; four right ones, first or last; the places around the eighth tie."""
    odds = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 2.0, 1.0, None]
    labels = [1] * 4 + [0] * 7
    values = [None if value is None else -value for value in odds] if flip else odds
    return [
        row("moving up", "moving up", label, value, f"videos/{number}.mp4")
        for number, (label, value) in enumerate(zip(labels, values, strict=True))
    ]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = make_run(tmp_path / "run")
    (run / "config.yaml").write_text("world: null\ntrain: {seed: 0}\n")
    for arm, sign in (("real_only", 1.0), ("synvita", -1.0)):
        folder = run / HOME / "pairs" / arm / "0"
        write_records(folder / "videocon_llm.jsonl", videocon(sign))
        write_records(folder / "atp_hard.jsonl", atp_hard(2.0 * sign))
        write_records(folder / "ssv2_temporal.jsonl", ssv2(flip=arm == "real_only"))
    return run


def cases_of(run: Path) -> Cases:
    answers = find_answers(run, MODEL, ["real_only", "synvita"])
    assert answers is not None
    found = find_cases(run, answers, DECODER)
    assert found is not None
    return found


def results() -> dict[str, Any]:
    """SynViTA is better on VideoCon, worse on SSv2-Temporal, and at chance on ATP-Hard as captions alone are."""

    def arm(source: str, auc: float, precision: float) -> dict[str, Any]:
        counts = {"expected": 400, "missing": 2}
        return {
            "weights_from": source,
            "videocon_llm": {"auc": auc, "low": auc - 0.02, "high": auc + 0.02, **counts},
            "ssv2_temporal": {
                "map": precision,
                "low": 0.1,
                "high": 0.4,
                "tie_low": 0.1165,
                "tie_high": 0.2187,
                **counts,
            },
            "atp_hard": {"accuracy": 0.21, "low": 0.17, "high": 0.25, "questions": 80, **counts},
        }

    arms = {"real_only": arm("none (no synthetic clips)", 0.80, 0.3), "synvita": arm("difference of llava", 0.86, 0.2)}
    arms["synvita"]["minus_real_only"] = {
        "videocon_llm": difference(0.06, 0.03, 0.09),
        "ssv2_temporal": {"map": -0.1, "low": -0.2, "high": -0.05},
    }
    return {"model": MODEL, "arms": arms}


def test_the_verdict_is_about_the_benchmarks_where_the_run_has_no_test_of_its_own() -> None:
    found = verdict(results()["arms"])
    assert found.answer == "Yes: “SynViTA” beats “captions only” by 6.0 points on VideoCon (LLM)."
    assert [(tile.title, tile.value, tile.sign) for tile in found.tiles] == [
        ("VideoCon (LLM)", "86.0", "better"),
        ("SSv2-Temporal", "20.0", "worse"),
        ("ATP-Hard", "21.0", ""),
    ]
    assert found.worse == "What got worse than captions only, in points: SSv2-Temporal -10.0 with “SynViTA”."
    assert found.notes == ["Questions of ATP-Hard stand at chance in every arm (guessing gives 20.0 %)."]
    ranked = {name: {k: v for k, v in arm.items() if k != "videocon_llm"} for name, arm in results()["arms"].items()}
    assert verdict(ranked).answer.startswith("No: no way of using the clips is better than captions only on SSv2-Temp")


def test_every_test_of_pairs_and_questions_has_cases_with_its_own_types(run: Path) -> None:
    found = cases_of(run)
    assert [(section.test.name, section.totals, section.unscored) for section in found.sections] == [
        ("videocon_llm", {"both": 0, "second": 3, "first": 0, "neither": 0}, 1),
        ("atp_hard", {"both": 0, "second": 1, "first": 0, "neither": 0}, 0),
    ]
    assert found.kinds == ["object", "attribute", "causal", "event order"]
    assert {card.test for card in found.cards[:2]} == {"VideoCon (LLM)", "ATP-Hard"}  # in turn
    page = write_report(run, results()).read_text()
    section = page[page.index('id="cases"') :]
    assert "VideoCon (LLM): of 3 pairs of captions both arms are right about 0, only “SynViTA” about 3" in section
    assert "1 more lacks a score." in section and "ATP-Hard: of 1 question both" in section
    for value in ("test-VideoCon-LLM-", "test-ATP-Hard", "type-event-order"):
        assert f'<option value="{value}">' in section and re.search(f'data-tags="[^"]*{value}[ "]', section)


def test_a_question_shows_its_options_and_what_an_arm_chose_wrongly(run: Path) -> None:
    (card,) = [card for card in cases_of(run).cards if card.test == "ATP-Hard"]
    assert (card.question, card.kind, card.outcome) == ("what does he do: nothing?", "causal", "second")
    assert card.caption == [("He sleeps.", False)]
    assert [text for words in card.wrong for text, _ in words] == ["He plays.", "He eats."]
    assert [(v.true, v.negative, v.choice) for v in card.verdicts] == [
        (1.0, 2.0, "He plays."),
        (1.0, 0.5, "He sleeps."),
    ]
    page = write_report(run, results()).read_text()
    assert page.count('<small class="soft">He plays.</small>') == 1 and "<dt>Asked</dt><dd>what does he do" in page
    tied = questions_of(atp_hard(1.0))
    assert chosen(next(iter(tied.values()))) == ""
    assert questions_of([row("q", "a", 1, 0.0), row("q", "b", 1, 0.0), row("q", "c", 0, 0.0)]) == {}


def test_a_wrong_caption_that_stands_alone_belongs_to_the_likest_right_one_of_its_video() -> None:
    first, second = row("1", "a man cuts a tree", 1, 0.0), row("2", "two dogs run over a field", 1, 0.0)
    other = row("3", "a man cuts a tree down now", 1, 0.0, "videos/1.mp4")
    wrong = [row("4", "a man paints a tree", 0, 0.0), row("5", "two cats run over a field", 0, 0.0)]
    strange = row("6", "x", 0, 0.0, "videos/2.mp4")
    found = pairs_of([first, second, other, *wrong, strange])
    assert found == {"4": [first, wrong[0]], "5": [second, wrong[1]]}


def test_a_ranking_says_how_many_videos_have_no_score_and_where_ties_cut_it(run: Path) -> None:
    answers = find_answers(run, MODEL, ["real_only", "synvita"])
    assert answers is not None
    (found,) = find_rankings(run, answers, DECODER)
    assert (found.videos, found.asked, found.hits) == (10, 11, 4)
    assert [side.cut_ties for side in found.sides] == [False, True]
    page = write_report(run, results()).read_text()
    assert "4 hits among 10 of 11 videos, the others have no score" in page
    assert page.count("place 8 ties with others") == 1


def test_the_first_screen_speaks_of_real_videos_and_counts_benchmark_pairs(run: Path) -> None:
    page = write_report(run, results()).read_text()
    facts = page[page.index('<dl class="facts') : page.index("</dl>")]
    assert "<dt>Videos</dt> <dd>real ones, of your own</dd>" in facts and "World" not in facts
    assert "1,200 test pairs of 3 tests" in facts and "synvita study" not in facts
    assert "11.7 to 21.9 by the order of ties" in page
    assert "LLM, SSv2-Temporal, ATP-Hard: the tests that this run was asked, too." in page
    assert "other videos and other models" not in page
    untrained = {"model": MODEL, "arms": {"off_the_shelf": {"weights_from": "nothing trained"}}}
    assert "training seed" not in write_report(run, untrained).read_text()


def test_a_section_of_a_hundred_real_videos_stays_within_its_share(tmp_path: Path) -> None:
    """24 queries' places of two arms; each file is embedded as a preview, because all together would not fit."""
    frames = np.random.default_rng(0).normal(128, 6, (30, 36, 64, 3)).clip(0, 255).astype(np.uint8)
    write_video(tmp_path / "real.mp4", frames.repeat(4, 1).repeat(4, 2), fps=10)
    assert (tmp_path / "real.mp4").stat().st_size > SMALL_BYTES
    album = Album(tmp_path, DECODER, most=SMALL_BYTES)
    shown = [album.embed("real.mp4") for _ in range(192)]
    assert all(video.data and video.note.startswith("12 frames of") for video in shown)


def test_few_questions_are_few_however_many_options_they_have() -> None:
    arms = results()["arms"]
    for arm in arms.values():
        arm["atp_hard"]["questions"] = 12
        arm["vinoground"] = {"group": 0.1, "low": 0.0, "high": 0.2, "expected": 196, "missing": 0, "groups": 49}
    few = {tile.title: tile.few for tile in verdict(arms).tiles if tile.few}
    assert few == {"ATP-Hard": "only 12 questions", "Vinoground": "only 49 groups"}


def test_arms_that_rank_alike_are_said_to_and_a_run_without_retrieval_has_none(run: Path) -> None:
    for arm in ("real_only", "synvita"):
        write_records(run / HOME / "pairs" / arm / "0" / "ssv2_temporal.jsonl", ssv2(flip=False))
    assert "No query is ranked so differently by the two compared arms" in write_report(run, results()).read_text()
    without = results()
    for arm in without["arms"].values():
        del arm["ssv2_temporal"]
    assert "This run has no retrieval rankings." in write_report(run, without).read_text()


def test_clips_that_were_there_before_have_no_generator(run: Path) -> None:
    assert clips_text(run) == "14 by sim"
    path = run / "clips" / "sim" / "clips.jsonl"
    path.write_text(path.read_text().replace('"generator": "sim"', '"generator": "existing"'))
    assert clips_text(run) == "14 that were there before"
