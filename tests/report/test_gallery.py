"""Which clips, test cases and rankings are shown follows rules that naive code finds again."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
from report_runs import DECODER, SCORERS, add_pairs, make_results, make_run
from small import HOME, MODEL

from synvita.core.artefacts import read_scores as read_all_scores
from synvita.core.records import Misalignment, ScoredClip, Triplet
from synvita.core.store import read_records, write_records
from synvita.report.asked import pairs_of
from synvita.report.cases import BOTH, FIRST, NEITHER, SECOND, Verdict, choose_cases, find_cases, outcome
from synvita.report.embedded import Album, embed
from synvita.report.gallery import gallery, kind_name, level
from synvita.report.page import write_report
from synvita.report.pairs import compared, find_answers, read_task
from synvita.report.rankings import average_precision, by_query, choose_queries, find_rankings, ranked

ARMS = ["off_the_shelf", "real_only", "synvita"]


def rows_of(run: Path, arm: str, task: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / HOME / "pairs" / arm / "0" / f"{task}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_pairs(make_run(tmp_path_factory.mktemp("run")), ARMS)


def test_the_arms_that_are_compared_are_the_baseline_and_the_method_where_they_exist() -> None:
    assert compared(["off_the_shelf", "synvita", "real_only", "uniform"]) == ("real_only", "synvita")
    assert compared(["off_the_shelf", "real_only", "uniform", "weighted_oracle"]) == ("real_only", "uniform")
    assert compared(["synvita", "off_the_shelf"]) == ("off_the_shelf", "synvita")
    assert compared(["real_only", "weighted_oracle"]) == ("real_only", "weighted_oracle")
    assert compared(["mine", "yours"]) == ("mine", "yours") and compared(["mine"]) == ("mine", "mine")
    assert compared(["synvita", "real_only", "uniform"], "uniform") == ("real_only", "uniform")


def test_answers_are_those_of_the_seed_of_the_run(tmp_path: Path) -> None:
    for arm, seed in (("a", 3), ("b", 3), ("c", 0)):
        (tmp_path / HOME / "pairs" / arm / str(seed)).mkdir(parents=True)
    answers = find_answers(tmp_path, MODEL, ["a", "b", "c"])
    assert answers is not None and (answers.seed, answers.arms) == ("0", ["c"])
    assert find_answers(tmp_path, MODEL, ["a", "b"]) is None
    (tmp_path / "config.yaml").write_text("train: {seed: 3}\n")
    answers = find_answers(tmp_path, MODEL, ["b", "c", "a", "../a"])
    assert answers is not None and (answers.seed, answers.arms) == ("3", ["b", "a"])


def test_a_bad_pair_is_named_with_file_and_line(run: Path, tmp_path: Path) -> None:
    answers = find_answers(run, MODEL, ARMS)
    assert answers is not None and read_task(answers, "in_distribution") == {}
    for arm in ARMS:
        (tmp_path / HOME / "pairs" / arm / "0").mkdir(parents=True)
        (tmp_path / HOME / "pairs" / arm / "0" / "open.jsonl").write_text(
            '{"video": "a.mp4", "caption": "x", "label": 1}\n'
        )
    answers = find_answers(tmp_path, MODEL, ARMS)
    assert answers is not None
    with pytest.raises(ValueError, match=r"open\.jsonl:1: no key 'query'"):
        read_task(answers, "open")


def test_right_is_higher_log_odds_for_the_true_caption_and_a_tie_is_wrong() -> None:
    assert [Verdict("a", *v).right for v in ((0.2, 0.1), (0.1, 0.1), (-1, 0), (None, 0.1))] == [
        True,
        False,
        False,
        None,
    ]
    assert [outcome(*m) for m in ((1, 1), (1, 0), (-1, 2), (0, 0))] == [BOTH, FIRST, SECOND, NEITHER]


def test_cases_are_the_largest_margins_of_each_type_and_outcome() -> None:
    draw = random.Random(0)
    margins = {f"q{i:03}": (draw.randint(-3, 3) / 2, draw.randint(-3, 3) / 2) for i in range(300)}
    kinds = {query: draw.choice([*map(str, Misalignment), "unknown"]) for query in margins}
    names = {(True, True): BOTH, (True, False): FIRST, (False, True): SECOND, (False, False): NEITHER}
    groups: dict[tuple[str, str], list[str]] = {}
    for query, (first, second) in sorted(margins.items(), key=lambda item: (-sum(map(abs, item[1])), item[0])):
        groups.setdefault((names[first > 0, second > 0], kinds[query]), []).append(query)
    naive, outcomes = [], [SECOND, FIRST, NEITHER]
    for place in range(4):
        for turn in range(3):
            for number, kind in enumerate([*map(str, Misalignment), "unknown"]):
                group = groups.get((outcomes[(number + turn) % 3], kind), [])
                naive += group[place : place + 1]
    assert choose_cases(margins, kinds, 4) == naive
    first_six = [(kinds[query], outcome(*margins[query])) for query in naive[:6]]
    assert len({kind for kind, _ in first_six}) == 6 and {result for _, result in first_six} == set(outcomes)


def test_cases_say_what_the_pair_files_say(run: Path) -> None:
    answers = find_answers(run, MODEL, ARMS)
    assert answers is not None
    cases = find_cases(run, answers, DECODER)
    assert cases is not None
    (section,) = cases.sections
    assert section.test.name == "open" and sum(section.totals.values()) == 70
    files = {arm: {(r["query"], r["label"]): r["log_odds"] for r in rows_of(run, arm, "open")} for arm in ARMS}
    counted = dict.fromkeys(section.totals, 0)
    for query in {query for query, _ in files["synvita"]}:
        right = [files[arm][query, 1] > files[arm][query, 0] for arm in ("real_only", "synvita")]
        counted[{(1, 1): BOTH, (1, 0): FIRST, (0, 1): SECOND, (0, 0): NEITHER}[tuple(right)]] += 1
    assert section.totals == counted
    for case in cases.cards:
        assert [(v.arm, v.true, v.negative) for v in case.verdicts] == [
            (arm, files[arm][case.query, 1], files[arm][case.query, 0]) for arm in ARMS
        ]
        assert case.outcome != BOTH and ("red", True) in case.caption and ("blue", True) in case.wrong[0]
    page = write_report(run, {"model": MODEL, "arms": {arm: {} for arm in ARMS}}).read_text()
    tags = re.findall(r'data-tags="(type-[^"]*outcome[^"]*)"', page)
    words = {True: "right", False: "wrong"}
    assert tags == [
        f"type-{case.kind} outcome-{case.outcome} "
        + " ".join(f"{words[bool(v.right)]}-{i}" for i, v in enumerate(case.verdicts, 1))
        for case in cases.cards
    ]


def test_pairs_without_a_score_or_a_partner_are_left_out(tmp_path: Path) -> None:
    run = add_pairs(make_run(tmp_path), ARMS)
    path = run / HOME / "pairs" / "synvita" / "0" / "open.jsonl"
    rows = rows_of(run, "synvita", "open")
    rows[0]["log_odds"] = None
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = find_answers(run, MODEL, ARMS)
    assert answers is not None
    cases = find_cases(run, answers, DECODER)
    assert cases is not None
    (section,) = cases.sections
    assert sum(section.totals.values()) == 69 and section.unscored == 1
    assert rows[0]["query"] not in {case.query for case in cases.cards}
    one = {"query": "q", "label": 1}
    assert pairs_of([one]) == {} and pairs_of([one, one]) == {}
    assert pairs_of([one | {"label": 0}, one]) == {"q": [one, one | {"label": 0}]}


def test_average_precision_is_the_naive_sum_over_thresholds() -> None:
    draw = random.Random(1)
    for _ in range(50):
        rows = [{"label": int(draw.random() < 0.4), "log_odds": draw.randint(0, 5)} for _ in range(12)] + [
            {"label": 1, "log_odds": 2}
        ]
        positives, value = sum(r["label"] for r in rows), 0.0
        for threshold in {r["log_odds"] for r in rows}:
            above = [r["label"] for r in rows if r["log_odds"] >= threshold]
            new = sum(r["label"] for r in rows if r["log_odds"] == threshold)
            value += new / positives * sum(above) / len(above)
        assert math.isclose(average_precision(rows), value)


def test_rankings_show_the_queries_on_which_the_arms_differ_most(run: Path) -> None:
    values = {"a": (0.1, 0.5), "b": (0.5, 0.1), "c": (0.3, 0.3), "d": (0.1, 0.2), "e": (0.1, 0.5), "f": (0.2, 0.1)}
    assert choose_queries(values, 2) == ["a", "b", "e", "f"] and choose_queries(values, 9) == ["a", "b", "e", "f", "d"]
    assert choose_queries({"a": (0.5, 0.549), "b": (0.5, 0.451), "c": (0.5, 0.55)}, 9) == ["c"]
    answers = find_answers(run, MODEL, ARMS)
    assert answers is not None
    rankings = find_rankings(run, answers, DECODER)
    assert 2 <= len(rankings) <= 12
    for item in rankings:
        for side in item.sides:
            rows = [r for r in rows_of(run, side.arm, f"retrieval_{item.task}") if r["query"] == item.query]
            best = sorted(rows, key=lambda r: (-r["log_odds"], r["video"]))[:8]
            assert [(p.video.name, p.hit, p.log_odds) for p in side.places] == [
                (r["video"], bool(r["label"]), r["log_odds"]) for r in best
            ]
            assert side.precision == average_precision(rows) and item.hits == sum(r["label"] for r in rows)
        first, second = (side.precision for side in item.sides)
        assert item.better == ("second" if second > first else "first") and abs(first - second) >= 0.05
    assert [item.task for item in rankings[:4]] == ["temporal", "events"] * 2


def test_only_videos_that_both_arms_scored_are_ranked() -> None:
    rows = [{"query": "q", "video": v, "label": int(v == "a"), "log_odds": 1.0} for v in "abc"]
    unscored = [row | {"log_odds": None if row["video"] == "b" else 1.0} for row in rows]
    first, second = by_query(rows, unscored)["q"]
    assert [r["video"] for r in first] == [r["video"] for r in second] == ["a", "c"]
    assert by_query(rows[1:], rows) == {}
    assert [r["video"] for r in ranked(list(reversed(rows)))] == ["a", "b", "c"]


def test_weights_are_zero_low_or_high_by_the_median_over_zero(run: Path) -> None:
    assert [level(w, 0.4) for w in (0.0, 0.39, 0.4, 1.0)] == ["zero", "low", "high", "high"]
    assert [kind_name(kind) for kind in (Misalignment.FLIP, "flip", None, "None", 'x" y')] == ["flip"] * 2 + [
        "unknown"
    ] * 3
    found = gallery(run, read_records(run / "triplets.jsonl", Triplet), DECODER)
    assert found is not None and found.clips == found.shown == len(found.cards) == 14
    assert math.isclose(found.middle, sorted(i / 20 for i in range(1, 14))[6])
    levels = {clip.weight: clip.level for card in found.cards for clip in card.clips}
    assert levels == {i / 20: level(i / 20, found.middle) for i in range(14)}


def test_a_section_embeds_videos_until_its_share_is_used_up(run: Path) -> None:
    size = len(embed(run, "videos/0.mp4", DECODER).data)
    album = Album(run, DECODER, share=size)
    assert album.embed("videos/0.mp4").data
    assert album.embed("videos/0.mp4").reason.endswith("of videos are used up")


def test_a_run_of_one_arm_shows_what_it_answers_wrongly_and_rightly_and_ranks_worst_and_best(run: Path) -> None:
    answers = find_answers(run, MODEL, ["real_only"])
    assert answers is not None and answers.alone
    cases = find_cases(run, answers, DECODER)
    assert cases is not None and {case.outcome for case in cases.cards} == {NEITHER, BOTH}
    assert all([v.right for v in case.verdicts] == [case.outcome == BOTH] for case in cases.cards)
    rankings = [item for item in find_rankings(run, answers, DECODER) if item.task == "temporal"]
    rows = rows_of(run, "real_only", "retrieval_temporal")
    by_query_ = {q: [r for r in rows if r["query"] == q] for q in {r["query"] for r in rows}}
    values = sorted(average_precision(of_query) for of_query in by_query_.values())
    shown = [item.sides[0].precision for item in rankings]
    assert len(shown) == 6 and shown[0::2] == values[:3] and shown[1::2] == values[:-4:-1]
    page = write_report(run, {"model": MODEL, "arms": {"real_only": make_results()["arms"]["real_only"]}}).read_text()
    assert "What “captions only” (seed 0) says" in page and 'id="ranking-cards"' in page


def test_a_run_without_answers_has_sentences_instead(tmp_path: Path) -> None:
    page = write_report(make_run(tmp_path), {"model": MODEL, "arms": {"real_only": {}}}).read_text()
    assert "no test pairs that an arm has answered" in page and "no retrieval rankings" in page
    assert 'id="clip-cards"' in page and 'id="case-cards"' not in page


def page_about(run: Path, scores: dict[str, tuple[float, float]]) -> str:
    """The page of a run with one test pair, whose captions each arm gives these log-odds."""

    def row(caption: str, label: int, value: float) -> dict[str, Any]:
        return {"video": "videos/0.mp4", "query": "q", "caption": caption, "label": label, "log_odds": value}

    for arm, (true, wrong) in scores.items():
        folder = run / HOME / "pairs" / arm / "0"
        folder.mkdir(parents=True)
        lines = [json.dumps(row("a ball", 1, true)), json.dumps(row("a cube", 0, wrong))]
        (folder / "open.jsonl").write_text("\n".join(lines))
    return write_report(run, {"model": MODEL, "arms": {arm: {} for arm in scores}}).read_text()


def test_a_margin_is_a_bar_and_a_near_tie_is_grey(tmp_path: Path) -> None:
    page = page_about(make_run(tmp_path), {"real_only": (0.0, 4.0), "uniform": (1.05, 1.0), "synvita": (1.0, -1.0)})
    rows = re.findall(
        r'<tr class="([^"]*)"><th scope="row">[^<]*</th>\s*<td>.*?<i style="([^"]*)".*?<td>([^<]*)<', page, re.S
    )
    assert rows == [
        ("compared worse", "right:50%;width:50.0%", "-4.00"),
        ("tie", "left:50%;width:0.6%", "+0.05"),
        ("compared better", "left:50%;width:25.0%", "+2.00"),
    ]


def test_an_outcome_that_hangs_on_a_near_tie_says_so(tmp_path: Path) -> None:
    sure = {"real_only": (0.0, 4.0), "uniform": (1.05, 1.0), "synvita": (1.0, -1.0)}
    assert "· only “SynViTA” is right</span>" in page_about(make_run(tmp_path / "sure"), sure)
    torn = page_about(make_run(tmp_path / "torn"), sure | {"synvita": (1.05, 1.0)})
    assert "· only “SynViTA” is right, by a near-tie</span>" in torn


def test_each_clip_has_both_scores_of_every_scorer_under_its_generators_name(tmp_path: Path) -> None:
    """Figure 5: what the cards say is what the score files say."""
    run = make_run(tmp_path)
    path = run / "scores" / SCORERS[0] / "scores.jsonl"
    rows = [vars(row) for row in read_records(path, ScoredClip)]
    draw = random.Random(0)
    write_records(path, [ScoredClip(**(row | {"score": draw.choice([0.111, 0.333, 0.999])})) for row in rows])
    scores = {(s.clip_id, s.caption, s.scorer): s.score for s in read_all_scores(run)}
    page = write_report(run, make_results()).read_text()
    cards = re.findall(r'<article aria-labelledby="clip-\d+".*?</article>', page, re.S)
    assert len(cards) == 14
    for card in cards:
        triplet = next(t for t in read_records(run / "triplets.jsonl", Triplet) if f"<code>{t.id}</code>" in card)
        clip = f"c{int(triplet.id[1:])}"
        tables = re.findall(r"<caption>Clip by sim</caption>(.*?)</table>", card, re.S)
        assert len(tables) == 1
        shown = [[re.sub(r"<[^>]+>|higher", "", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
                 for row in re.findall(r"<tr>(.*?)</tr>", tables[0], re.S)][1:]  # fmt: skip
        both = {name: [scores[clip, text, name] for text in (triplet.caption, triplet.negative_caption)]
                for name in sorted(SCORERS)}  # fmt: skip
        assert shown == [[f"{name}, score", *(f"{value:.3f}" for value in pair)] for name, pair in both.items()]
        own_is_higher = sum(own > real for real, own in both.values())
        assert f"fits its own caption better: {own_is_higher} of 2 scorers" in card
        assert tables[0].count("higher") == own_is_higher
