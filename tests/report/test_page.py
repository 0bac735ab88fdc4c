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

import numpy as np
import pytest
from report_runs import DECODER, SCRIPT, add_pairs, make_results, make_run

from synvita.core.records import Misalignment
from synvita.core.video import read_frames
from synvita.core.vocabulary import arm_title
from synvita.core.write_video import write_video
from synvita.report import page as page_module
from synvita.report import paper, preview
from synvita.report.embedded import MAX_BYTES, embed
from synvita.report.gallery import choose, marked_words
from synvita.report.page import write_report
from synvita.report.results_file import check_results
from synvita.report.table import number, percent, signed


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
        assert f'<th scope="row">{arm_title(name)}' in page and f"<small><code>{name}</code></small>" in page
        assert one["weights_from"] in page
        for e in entries:
            value = e.get("auc", e.get("map", e.get("accuracy")))
            low, high = percent(e["low"]), percent(e["high"])
            assert f"<b>{percent(value)}</b>" in page and f'<small class="interval">[{low}, {high}]' in page
    cell = '<b>68.8</b> <span class="difference better">▲+3.5</span>'
    assert f'{cell}<small class="interval">[66.7, 71.0]<br>[+1.2, +5.8]</small>' in page
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
    assert (
        "No scorer is blind to a type, as far as these figures tell."
        in write_report(make_run(tmp_path / "b"), results).read_text()
    )
    for wrong in ({"clips": -1}, {"own": "much"}, {"zero": None}):
        results["audit"]["scorers"]["x"]["types"]["flip"] = figures | wrong
        (key,) = wrong
        with pytest.raises(ValueError, match=rf"audit\.scorers\.x\.types\.flip\.{key}: "):
            check_results(results, "results.json")


def test_retrieval_and_questions_have_paired_differences(tmp_path: Path, results: dict[str, Any]) -> None:
    page = write_report(make_run(tmp_path), results).read_text()
    assert '<b>28.8</b> <span class="difference better">▲+4.1</span>' in page and "<br>[+1.3, +8.2]</small>" in page
    assert '<b>18.8</b> <span class="difference worse">▼-2.8</span>' in page and "<br>[-4.7, -1.1]</small>" in page
    assert '<b>48.8</b> <span class="difference">-0.3</span>' in page and "<br>[-4.7, +4.0]</small>" in page


def test_only_intervals_without_zero_are_marked(tmp_path: Path, results: dict[str, Any]) -> None:
    page = write_report(make_run(tmp_path), results).read_text()
    assert '<span class="difference better">▲+3.5</span>' in page
    assert '<span class="difference worse">▼-8.2</span>' in page
    assert '<span class="difference">+1.1</span>' in page and '<span class="difference">+0.0</span>' in page


def test_the_reference_and_the_ceiling_stand_out(tmp_path: Path, results: dict[str, Any]) -> None:
    page = write_report(make_run(tmp_path), results).read_text()
    for role, name in (("reference", "real_only"), ("ceiling", "weighted_oracle")):
        head = f'<th scope="row">{arm_title(name)} <em>{role}</em><small><code>{name}</code></small>'
        assert page.count(f'<tr class="{role}">{head}') == 2  # the dot plot and the table


def test_a_run_without_some_tasks_renders(tmp_path: Path, results: dict[str, Any]) -> None:
    for one in results["arms"].values():
        for task in ("open", "retrieval_temporal", "retrieval_events", "qa"):
            del one[task]
    del results["arms"]["uniform"]["unseen"]
    results["weights"], results["score_differences"] = {}, {}
    page = write_report(make_run(tmp_path), results).read_text()
    assert "Retrieval, events" not in page and ">Open<" not in page and "<b>–</b>" in page
    assert "In\u2011distribution" in page and "on the in-distribution test" in page
    assert "Do the clips show" not in page


def test_a_run_with_only_triplets_renders(tmp_path: Path) -> None:
    make_run(tmp_path)
    (tmp_path / "clip_of_triplet.jsonl").unlink()
    for kind in ("clips", "scores", "weights"):
        shutil.rmtree(tmp_path / kind)
    page = write_report(tmp_path, {"arms": {}, "weights": {}, "score_differences": {}}).read_text()
    assert "no evaluated arm" in page and "no weighed clips" in page
    assert "no test pairs that an arm has answered" in page and "no retrieval rankings" in page


def test_the_same_run_gives_the_same_bytes(tmp_path: Path, results: dict[str, Any]) -> None:
    path = write_report(add_pairs(make_run(tmp_path), list(results["arms"])), results)
    assert path == tmp_path / "report" / "index.html"
    first = path.read_bytes()
    assert write_report(tmp_path, copy.deepcopy(results)).read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]


def test_files_that_are_not_embedded_are_named_with_the_reason(tmp_path: Path, results: dict[str, Any]) -> None:
    run = make_run(tmp_path / "run")
    (run / "clips/sim/13.mp4").unlink()
    page = write_report(run, results).read_text()
    assert "<code>clips/sim/13.mp4</code><br>not embedded: file is missing" in page
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    assert embed(run, "../secret.mp4", DECODER).reason == "leads out of the run folder"
    other = embed(run, str(tmp_path / "secret.mp4"), DECODER)
    assert other.name == "secret.mp4" and other.reason.startswith("not a readable video") and not other.data


def test_a_large_video_has_a_small_preview_of_the_whole(tmp_path: Path) -> None:
    """Dark, then bright: the preview's first frame is dark, its last bright, and it is as wide as the original."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 60, (40, 120, 320, 3), dtype=np.uint8)
    frames[20:] += 190
    write_video(tmp_path / "big.mp4", frames, fps=10)
    assert (tmp_path / "big.mp4").stat().st_size > MAX_BYTES
    shown = embed(tmp_path, "big.mp4", DECODER)
    assert shown.note == f"12 frames of {(tmp_path / 'big.mp4').stat().st_size / 1e6:.1f} MB" and not shown.reason
    content = base64.b64decode(shown.data.removeprefix("data:video/mp4;base64,"))
    assert len(content) <= preview.MAX_BYTES
    (tmp_path / "small.mp4").write_bytes(content)
    small = read_frames(tmp_path / "small.mp4", range(12))
    assert small.shape == (12, 66, 176, 3) and small[0].mean() < 60 and small[-1].mean() > 180


def test_clips_are_chosen_by_type_in_turn_and_weight() -> None:
    kinds = {f"{kind}{i}": kind for kind in (Misalignment.OBJECT, Misalignment.ACTION) for i in range(3)}
    weights = {(name, name): int(name[-1]) / 10 for name in kinds}
    chosen = [triplet for triplet, _ in choose(weights, kinds, 99)]
    assert chosen == ["object2", "action0", "object0", "action2", "object1", "action1"]
    assert choose(weights, kinds, 4) == [(name, name) for name in chosen[:4]]
    assert choose({(name, "one clip"): weight for (name, _), weight in weights.items()}, kinds, 4) == [
        ("object2", "one clip")
    ]
    two = {("object1", "a"): 0.9, ("object1", "b"): 0.1, ("object0", "c"): 0.5}
    assert choose(two, kinds, 4) == [("object1", "a"), ("object0", "c")]  # a card shows both clips of object1
    assert choose({}, {}, 4) == []
    assert choose({("x", "y"): 0.5}, {"x": None}, 4) == [("x", "y")]


def test_words_that_differ_are_marked(tmp_path: Path, results: dict[str, Any]) -> None:
    assert marked_words("a red ball", "a blue ball") == [("a", False), ("red", True), ("ball", False)]
    assert marked_words("a ball", "a ball rolls") == [("a ball", False)]
    page = write_report(make_run(tmp_path), results).read_text()
    assert "<dd>a <mark>red</mark> ball rolls 0</dd>" in page and "<dd>a <mark>blue</mark> ball rolls 0</dd>" in page


def test_captions_that_share_hardly_a_word_are_not_marked() -> None:
    one, other = "a man is cooking soup in a small kitchen", "two dogs run across the field in the snow"
    assert marked_words(one, other) == [(one, False)] and marked_words(other, one) == [(other, False)]
    assert marked_words("a red ball", "a big cube") == [("a", False), ("red ball", True)]  # a third is shared
    assert marked_words("a red ball up", "a big cube down") == [("a red ball up", False)]


def test_numbers_are_rounded_for_people() -> None:
    assert [percent(v) for v in (0.12345, 1.0, None, float("nan"))] == ["12.3", "100.0", "–", "–"]
    assert [signed(v) for v in (0.0123, -0.0001, -0.05)] == ["+1.2", "+0.0", "-5.0"]
    assert [number(v, 2) for v in (-0.001, -0.006, 0.5, None, float("inf"))] == ["0.00", "-0.01", "0.50", "–", "–"]
    assert [number(v, 2, sign=True) for v in (-0.001, 0.004, 0.005001, -1)] == ["0.00", "0.00", "+0.01", "-1.00"]
