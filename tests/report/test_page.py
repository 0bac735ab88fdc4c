"""The report is one page that needs nothing else, says what the numbers say, and never runs a caption as markup."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synvita.core.records import Clip, ClipWeight, Misalignment, ScoredClip, Triplet
from synvita.core.store import write_records
from synvita.core.video import write_video
from synvita.report import paper
from synvita.report.finding import finding
from synvita.report.gallery import choose, embed, marked_words
from synvita.report.page import write_report
from synvita.report.table import percent, signed

SCRIPT = "<script>alert(1)</script>"
SCORERS = ["llava", "clip_flant5"]


def entry(auc: float, low: float, high: float, missing: int = 0, key: str = "auc") -> dict[str, Any]:
    return {key: auc, "low": low, "high": high, "expected": 400, "missing": missing}


def arm(base: float, weights_from: str) -> dict[str, Any]:
    return {
        "weights_from": weights_from,
        "in_distribution": entry(base + 0.2, base + 0.181, base + 0.219),
        "open": entry(base, base - 0.021, base + 0.022),
        "unseen": entry(base - 0.05, base - 0.083, base - 0.011),
        "temporal": entry(base - 0.1, base - 0.132, base - 0.071),
        "per_type": {kind: entry(base + 0.01, base - 0.06, base + 0.05) for kind in ("object", "relation", "flip")},
        "retrieval_temporal": entry(base - 0.4, base - 0.43, base - 0.37, key="map"),
        "retrieval_events": entry(base - 0.5, base - 0.53, base - 0.47, key="map"),
        "qa": entry(base - 0.2, base - 0.24, base - 0.16, key="accuracy"),
    }


def difference(auc: float, low: float, high: float) -> dict[str, Any]:
    return {"auc": auc, "low": low, "high": high}


@pytest.fixture
def results() -> dict[str, Any]:
    arms = {
        "off_the_shelf": arm(0.571, "nothing trained"),
        "real_only": arm(0.653, "none (no synthetic clips)"),
        "uniform": arm(0.637, "uniform (1.0)"),
        "weighted": arm(0.664, "difference of llava + clip_flant5"),
        "synvita": arm(0.688, "difference of llava + clip_flant5") | {"triplets": 2000, "without_clip": 7},
        "weighted_oracle": arm(0.702, "difference of world_truth"),
    }
    arms["synvita"]["open"]["missing"] = 3
    for name, (mid, low, high) in {
        "off_the_shelf": (-0.082, -0.11, -0.051),
        "uniform": (-0.016, -0.039, 0.006),
        "weighted": (0.011, -0.004, 0.027),
        "synvita": (0.035, 0.012, 0.058),
        "weighted_oracle": (0.049, 0.021, 0.073),
    }.items():
        arms[name]["minus_real_only"] = {
            "open": difference(mid, low, high),
            "unseen": difference(-mid, -high, -low),
            "per_type": {"flip": difference(0.0, -0.02, 0.02)},
        }
    rng = np.random.default_rng(0)
    spreads = {str(k): [round(float(v), 6) for v in rng.normal(0.1, 0.1, 40)] for k in Misalignment}
    return {
        "arms": arms,
        "weights": {
            "all": {"clips": 1790, "right": 1204, "mean_weight": 0.1234, "auc": 0.813, "low": 0.79, "high": 0.834},
            "flip": {"clips": 40, "right": 0, "mean_weight": 0.021},
        },
        "score_differences": {k: {"mean": float(np.mean(v)), "values": v} for k, v in spreads.items()},
    }


def make_run(run: Path, caption: str = "a red ball rolls", negative: str = "a blue ball rolls") -> Path:
    """14 triplets, two of each type, with clips, scores of both captions, learned and true weights."""
    rng = np.random.default_rng(1)
    triplets, clips, links, scores, weights = [], [], [], [], []
    for i, kind in enumerate([*Misalignment, *Misalignment]):
        video, file = f"videos/{i}.mp4", f"clips/sim/{i}.mp4"
        for name in (video, file):
            write_video(run / name, rng.integers(0, 255, (2, 16, 16, 3), dtype=np.uint8), fps=4)
        triplet = Triplet(f"t{i:02}", video, f"{caption} {i}", f"{negative} {i}", kind)
        triplets.append(triplet)
        clips.append(Clip(f"c{i}", triplet.negative_caption, "sim", "1", {}, i, file))
        links.append({"triplet_id": triplet.id, "clip_id": f"c{i}"})
        for scorer in (*SCORERS, "world_truth"):
            scores.append(ScoredClip(f"c{i}", triplet.negative_caption, scorer, 4, 0.777))
            scores.append(ScoredClip(f"c{i}", triplet.caption, scorer, 4, 0.222))
        weights.append(ClipWeight(triplet.id, f"c{i}", "difference", SCORERS, i / 20))
        weights.append(ClipWeight(triplet.id, f"c{i}", "difference", ["world_truth"], float(i % 2)))
    write_records(run / "triplets.jsonl", triplets)
    write_records(run / "clips.jsonl", clips)
    write_records(run / "clip_of_triplet.jsonl", links)
    write_records(run / "scores.jsonl", scores)
    write_records(run / "weights.jsonl", weights)
    return run


class Tags(HTMLParser):
    """All tags with attributes, the open ones at the end, and duplicate ids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_fetches_nothing(tmp_path: Path, results: dict[str, Any]) -> None:
    page = write_report(make_run(tmp_path), results).read_text()
    assert "http:" not in page and "https:" not in page and "@import" not in page
    tags = Tags(page).tags
    for tag, attributes in tags:
        assert tag not in ("script", "iframe", "img", "object")
        for name in ("src", "href", "xlink:href", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value)
    videos = [a for t, a in tags if t == "video"]
    assert len(videos) == 24
    assert all("controls" in a and "muted" in a and "loop" in a and "playsinline" in a for a in videos)
    targets = set(re.findall(r"url\(([^)]*)\)", page))
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {target.removeprefix("#") for target in targets} <= set(ids)


def test_captions_and_names_are_text(tmp_path: Path, results: dict[str, Any]) -> None:
    results["arms"][SCRIPT] = copy.deepcopy(results["arms"]["uniform"])
    run = make_run(tmp_path, f"{SCRIPT} & a $x$ ball", f"{SCRIPT} a 'cube' \" onload=x")
    page = write_report(run, results).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not any(tag == "script" or "onload" in attributes for tag, attributes in Tags(page).tags)


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
    assert "0.777" in page and "0.222" in page and "world_truth" not in page.split('id="clips"')[1]


def test_only_intervals_without_zero_are_marked(tmp_path: Path, results: dict[str, Any]) -> None:
    page = write_report(make_run(tmp_path), results).read_text()
    assert '<span class="difference better">▲ +3.5<br>[+1.2, +5.8]</span>' in page
    assert '<span class="difference worse">▼ -8.2<br>[-11.0, -5.1]</span>' in page
    assert '<span class="difference">+1.1<br>[-0.4, +2.7]</span>' in page
    assert '<span class="difference">+0.0<br>[-2.0, +2.0]</span>' in page


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
    for kind in ("clips", "clip_of_triplet", "scores", "weights"):
        make_run(tmp_path).joinpath(f"{kind}.jsonl").unlink()
    (tmp_path / "weights.jsonl").unlink(missing_ok=True)
    page = write_report(tmp_path, {"arms": {}, "weights": {}, "score_differences": {}}).read_text()
    assert "no evaluated arm" in page and "no weighed clips" in page


def test_the_same_run_gives_the_same_bytes(tmp_path: Path, results: dict[str, Any]) -> None:
    path = write_report(make_run(tmp_path), results)
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
    weights = {name: int(name[-1]) / 10 for name in kinds}
    links = {name: name for name in kinds}
    assert choose(weights, kinds, links, 4) == ["object2", "action0", "object0", "action2"]
    assert choose(weights, kinds, links, 99)[4:] == ["object1", "action1"]
    assert choose(weights, kinds, dict.fromkeys(kinds, "one clip"), 4) == ["object2"]
    assert choose({}, {}, {}, 4) == []


def test_words_that_differ_are_marked(tmp_path: Path, results: dict[str, Any]) -> None:
    assert marked_words("a red ball", "a blue ball") == [("a", False), ("red", True), ("ball", False)]
    assert marked_words("a ball", "a ball rolls") == [("a ball", False)]
    page = write_report(make_run(tmp_path), results).read_text()
    assert "<p>a <mark>red</mark> ball rolls 0</p>" in page and "<p>a <mark>blue</mark> ball rolls 0</p>" in page


def test_numbers_are_rounded_for_people() -> None:
    assert [percent(v) for v in (0.12345, 1.0, None, float("nan"))] == ["12.3", "100.0", "–", "–"]
    assert [signed(v) for v in (0.0123, -0.0001, -0.05)] == ["+1.2", "+0.0", "-5.0"]
