"""The report is one page that needs nothing else, says what the numbers say, and never runs a caption as markup."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_runs import SCRIPT, add_pairs, difference, make_results, make_run

from synvita.core.records import Misalignment
from synvita.report import page as page_module
from synvita.report import paper
from synvita.report.embedded import embed
from synvita.report.finding import finding
from synvita.report.gallery import choose, marked_words
from synvita.report.page import write_report
from synvita.report.results_file import check_results
from synvita.report.table import percent, signed


@pytest.fixture
def results() -> dict[str, Any]:
    return make_results()


class Tags(HTMLParser):
    """All tags with attributes, the open ones at the end, and duplicate ids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_fetches_nothing(tmp_path: Path, results: dict[str, Any]) -> None:
    page = write_report(add_pairs(make_run(tmp_path), list(results["arms"])), results).read_text()
    assert "http:" not in page and "https:" not in page and "@import" not in page
    tags = Tags(page).tags
    for tag, attributes in tags:
        assert tag not in ("iframe", "img", "object")
        for name in ("src", "href", "xlink:href", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value)
    videos = [a for t, a in tags if t == "video"]
    assert len(videos) > 200
    assert all("controls" in a and "muted" in a and "loop" in a and "playsinline" in a for a in videos)
    targets = set(re.findall(r"url\(([^)]*)\)", page))
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {target.removeprefix("#") for target in targets} <= set(ids)


def test_the_only_script_is_ours_and_holds_no_data(tmp_path: Path, results: dict[str, Any]) -> None:
    ours = (page_module.FOLDER / "gallery.js.j2").read_text()
    page = write_report(add_pairs(make_run(tmp_path), list(results["arms"])), results).read_text()
    assert page.count("<script") == 1 and f"<script>{ours}</script>" in page
    digest = base64.b64encode(hashlib.sha256(ours.encode()).digest()).decode()
    (policy,) = [a["content"] for _, a in Tags(page).tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None and f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_without_script_every_card_is_visible_and_no_control_is(tmp_path: Path, results: dict[str, Any]) -> None:
    tags = Tags(write_report(add_pairs(make_run(tmp_path), list(results["arms"])), results).read_text()).tags
    assert all("hidden" not in a for t, a in tags if t == "article")
    forms = [a for t, a in tags if t == "form"]
    assert len(forms) == 3 and all("hidden" in a and a["autocomplete"] == "off" for a in forms)
    assert all("hidden" in a for _, a in tags if a.get("id") == "play")


def test_captions_and_names_are_text(tmp_path: Path, results: dict[str, Any]) -> None:
    evil = f"{SCRIPT} & a $x$ ball", f"{SCRIPT} a 'cube' \" onload=x"
    for name in (SCRIPT, '"><i onload=x>'):
        results["arms"][name] = copy.deepcopy(results["arms"]["uniform"])
    run = add_pairs(make_run(tmp_path, *evil), list(results["arms"]), *evil)
    page = write_report(run, results).read_text()
    assert page.count("<script") == 1 and "<script>alert" not in page
    for section in ("clips", "cases", "rankings"):
        assert "&lt;script&gt;" in page.split(f'<h2 id="{section}">')[1].split("</section>")[0]
    tags = Tags(page).tags
    assert "&lt;i onload=x&gt;" in page.split('id="case-cards"')[1]
    assert [tag for tag, _ in tags].count("script") == 1
    assert not any("onload" in attributes or "alert" in str(attributes) for _, attributes in tags)


def test_every_number_of_the_table_is_there(tmp_path: Path, results: dict[str, Any]) -> None:
    page = write_report(make_run(tmp_path), results).read_text()
    for name, one in results["arms"].items():
        entries = [one[t] for t in ("in_distribution", "open", "unseen", "temporal", "qa")]
        entries += [one["retrieval_temporal"], one["retrieval_events"]]
        entries += [one["per_type"]["relation"], one["per_type"]["flip"]]
        assert f'<th scope="row">{name}<small>' in page
        assert one["weights_from"] in page
        for e in entries:
            value = e.get("auc", e.get("map", e.get("accuracy")))
            low, high = percent(e["low"]), percent(e["high"])
            assert f"<b>{percent(value)}</b><small>[{low}, {high}]</small>" in page
    assert "<b>68.8</b><small>[66.7, 71.0]</small>" in page
    assert "3 of 400 missing" in page and "2,000 triplets, 7 without a clip" in page
    for row in paper.ROWS:
        assert row.model in page
        assert all(f"<td>{value:.2f}</td>" in page for value in row.values)
    assert "<b>81.3</b><small>[79.0, 83.4]</small>" in page and "<td>1,790</td>" in page
    assert "<b>77.7</b>" in page.split("The same for weights from a_video_llm")[1] and "<td>1,791</td>" in page
    assert "0.777" in page and "0.222" in page and "world_truth" not in page.split('id="clips"')[1]


def test_the_page_says_what_a_score_is(tmp_path: Path, results: dict[str, Any]) -> None:
    run = make_run(tmp_path)
    for path in (run / "scores").glob("*/scores.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(line | {"quantity": "p_yes"}) + "\n" for line in lines))
    page = write_report(run, results).read_text()
    assert '<th scope="row">llava, p_yes</th>' in page
    assert "A score of llava is its <code>p_yes</code>, P(&#34;Yes&#34;) as the first token, over the whole" in page


def test_where_scorers_are_blind_stands_on_the_page(tmp_path: Path, results: dict[str, Any]) -> None:
    figures = {
        "clips": 9,
        "own": 0.61,
        "real": 0.72,
        "difference": -0.0001,
        "spread": 0.03,
        "weight": 0.25,
        "zero": 0.5,
    }
    text = "x <b> cannot be told from chance on type flip, by 9 clips: AUC 49.0 [42.0, 56.0]"
    results["audit"] = {"scorers": {"x": {"quantity": "p_yes", "types": {"flip": figures}, "blind": [text]}}}
    page = write_report(make_run(tmp_path / "a"), results).read_text()
    assert text.replace("<b>", "&lt;b&gt;") in page
    cells = ["9", "0.610", "0.720", "0.000", "0.030", "0.250", "50.0"]
    assert '<th scope="row">flip</th>' + "".join(f"<td>{cell}</td>" for cell in cells) in page
    results["audit"]["scorers"]["x"]["blind"] = []
    assert "To no type, as far as these figures tell." in write_report(make_run(tmp_path / "b"), results).read_text()
    for wrong in ({"clips": -1}, {"own": "much"}, {"zero": None}):
        results["audit"]["scorers"]["x"]["types"]["flip"] = figures | wrong
        (key,) = wrong
        with pytest.raises(ValueError, match=rf"audit\.scorers\.x\.types\.flip\.{key}: "):
            check_results(results, "results.json")


def test_only_intervals_without_zero_are_marked(tmp_path: Path, results: dict[str, Any]) -> None:
    page = write_report(make_run(tmp_path), results).read_text()
    assert '<span class="difference better">▲ +3.5<br>[+1.2, +5.8]</span>' in page
    assert '<span class="difference worse">▼ -8.2<br>[-11.0, -5.1]</span>' in page
    assert '<span class="difference">+1.1<br>[-0.4, +2.7]</span>' in page
    assert '<span class="difference">+0.0<br>[-2.0, +2.0]</span>' in page


def test_an_arm_that_was_told_the_truth_is_a_ceiling_whatever_its_name(results: dict[str, Any]) -> None:
    before = finding(results["arms"])
    results["arms"]["mine"] = results["arms"]["weighted_oracle"] | {"weights_from": "product of world_truth"}
    assert finding(results["arms"]) == before and "synvita has the highest AUC" in before


def test_the_finding_follows_the_numbers(results: dict[str, Any]) -> None:
    arms = results["arms"]
    assert finding(arms) == (
        "On the open test, synvita has the highest AUC (68.8 %); synvita is better than real_only "
        "(+3.5 points [+1.2, +5.8]); on unseen concepts, real_only is worse than off_the_shelf "
        "(-8.2 points [-11.0, -5.1])."
    )
    arms["synvita"]["minus_real_only"]["open"] = difference(0.035, -0.01, 0.058)
    arms["off_the_shelf"]["minus_real_only"]["unseen"] = difference(-0.03, -0.05, -0.01)
    text = finding(arms)
    assert "(68.8 %); no difference between synvita and real_only (+3.5 points [-1.0, +5.8]);" in text
    assert "real_only is better than off_the_shelf (+3.0 points [+1.0, +5.0])" in text
    arms["real_only"]["open"]["auc"] = 0.9
    assert "real_only has the highest AUC (90.0 %), with no difference to uniform, weighted, synvita;" in finding(arms)
    assert "there, no difference between synvita and real_only" in finding(arms)
    assert finding({}) == "This run has no entailment figures yet."


def test_a_run_without_some_tasks_renders(tmp_path: Path, results: dict[str, Any]) -> None:
    for one in results["arms"].values():
        for task in ("open", "retrieval_temporal", "retrieval_events", "qa"):
            del one[task]
    del results["arms"]["uniform"]["unseen"]
    results["weights"], results["score_differences"] = {}, {}
    page = write_report(make_run(tmp_path), results).read_text()
    assert "Retrieval, events" not in page and ">Open<" not in page and "<b>–</b>" in page
    assert "In-distribution" in page and "on the in-distribution test" in page.lower()
    assert "Do the clips show" not in page


def test_a_run_with_only_triplets_renders(tmp_path: Path) -> None:
    make_run(tmp_path)
    (tmp_path / "clip_of_triplet.jsonl").unlink()
    for kind in ("clips", "scores", "weights"):
        shutil.rmtree(tmp_path / kind)
    page = write_report(tmp_path, {"arms": {}, "weights": {}, "score_differences": {}}).read_text()
    assert "no evaluated arm" in page and "no weighed clips" in page
    assert "no test pairs of two arms" in page and "no retrieval rankings of two arms" in page


def test_the_same_run_gives_the_same_bytes(tmp_path: Path, results: dict[str, Any]) -> None:
    path = write_report(add_pairs(make_run(tmp_path), list(results["arms"])), results)
    assert path == tmp_path / "report" / "index.html"
    first = path.read_bytes()
    assert write_report(tmp_path, copy.deepcopy(results)).read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]


def test_files_that_are_not_embedded_are_named_with_the_reason(tmp_path: Path, results: dict[str, Any]) -> None:
    run = make_run(tmp_path / "run")
    (run / "clips/sim/13.mp4").unlink()
    with (run / "videos/7.mp4").open("ab") as big:
        big.truncate(2_500_000)
    page = write_report(run, results).read_text()
    assert "<code>clips/sim/13.mp4</code><br>not embedded: file is missing" in page
    assert "<code>videos/7.mp4</code><br>not embedded: 2.5 MB" in page
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    assert embed(run, "../secret.mp4").reason == "leads out of the run folder"
    assert embed(run, str(tmp_path / "secret.mp4")).reason == "not an MP4 file"


def test_clips_are_chosen_by_type_in_turn_and_weight() -> None:
    kinds = {f"{kind}{i}": kind for kind in (Misalignment.OBJECT, Misalignment.ACTION) for i in range(3)}
    weights = {(name, name): int(name[-1]) / 10 for name in kinds}
    chosen = [triplet for triplet, _ in choose(weights, kinds, 99)]
    assert chosen == ["object2", "action0", "object0", "action2", "object1", "action1"]
    assert choose(weights, kinds, 4) == [(name, name) for name in chosen[:4]]
    assert choose({(name, "one clip"): weight for (name, _), weight in weights.items()}, kinds, 4) == [
        ("object2", "one clip")
    ]
    assert choose({}, {}, 4) == []
    assert choose({("x", "y"): 0.5}, {"x": None}, 4) == [("x", "y")]


def test_words_that_differ_are_marked(tmp_path: Path, results: dict[str, Any]) -> None:
    assert marked_words("a red ball", "a blue ball") == [("a", False), ("red", True), ("ball", False)]
    assert marked_words("a ball", "a ball rolls") == [("a ball", False)]
    page = write_report(make_run(tmp_path), results).read_text()
    assert "<p>a <mark>red</mark> ball rolls 0</p>" in page and "<p>a <mark>blue</mark> ball rolls 0</p>" in page


def test_numbers_are_rounded_for_people() -> None:
    assert [percent(v) for v in (0.12345, 1.0, None, float("nan"))] == ["12.3", "100.0", "–", "–"]
    assert [signed(v) for v in (0.0123, -0.0001, -0.05)] == ["+1.2", "+0.0", "-5.0"]
