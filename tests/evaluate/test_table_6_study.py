"""`synvita study table_6`: the recipe's scorers on the test sets, asked once, whatever their number; gaps are said."""

import json
import sys

import pytest
from pair_files import naive_auc
from small import SMALL

from synvita.cli import main
from synvita.core.records import Triplet
from synvita.core.store import parse_lines, read_records
from synvita.report.study import render
from synvita.report.table_6 import section

TINY = [*SMALL, "--world.triplets", "7", "--world.test", "14", "--world.test-open", "14", "--world.questions", "1"]
SCORERS = '''
import hashlib
asked = []

class One:
    """Guesses, the same each time, a little better with its number of letters."""
    def score(self, video, captions):
        asked.append((type(self).__name__, len(captions)))
        seen = [hashlib.sha256(video.frames.tobytes() + (type(self).__name__ + text).encode()) for text in captions]
        return [int(one.hexdigest()[:6], 16) / 0xFFFFFF for one in seen]

class Two(One): ...

class Three(One): ...

class Other(One):
    quantity = "p_yes"
'''
THREE = [f"table_6_scorers:{name}" for name in ("One", "Two", "Three")]


@pytest.fixture
def scorers(tmp_path, monkeypatch):
    (tmp_path / "table_6_scorers.py").write_text(SCORERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    import table_6_scorers

    yield table_6_scorers
    sys.modules.pop("table_6_scorers", None)


def study(folder, *more, names=THREE):
    given = ["--weigh.scorers", ",".join(names), "--weigh.also", "[]", "--weigh.oracle", "false", "--workers", "1"]
    return main(["study", "table_6", "--run", str(folder), *TINY, *given, *more])


def scores_in(run, folder):
    rows = [fields for _, fields in parse_lines(run / "table_6" / folder / "scores.jsonl")]
    return {(row["clip_id"], row["caption"]): row["score"] for row in rows}


def rows_of(run, split):
    triplets = [t for t in read_records(run / "triplets.jsonl", Triplet) if t.split == split]
    return [(t, text, label) for t in triplets for text, label in ((t.caption, 1), (t.negative_caption, 0))]


def test_scorers_are_asked_once_alone_and_together_on_both_test_sets(tmp_path, scorers, capsys):
    assert study(tmp_path / "st", "--seeds", "1") == 0
    run = tmp_path / "st/seed-0"
    assert sorted({who for who, _ in scorers.asked}) == ["One", "Three", "Two"]
    assert sum(number for _, number in scorers.asked) == 3 * 2 * 28  # no training video, no clip
    scorers.asked.clear()
    results = json.loads((tmp_path / "st/results.json").read_text())
    found = results["table_6"]["0"]
    each = {name: scores_in(run, name.split(":")[1]) for name in THREE}
    groups = [(a,) for a in THREE] + [(THREE[0], THREE[1]), (THREE[0], THREE[2]), (THREE[1], THREE[2]), tuple(THREE)]
    for test, split in (("in_distribution", "test"), ("open", "test_open")):
        assert list(found["sets"][test]) == [" + ".join(group) for group in groups]
        for group in groups:
            for kind in ("all", "flip"):
                rows = [row for row in rows_of(run, split) if kind in ("all", row[0].misalignment)]
                values = [sum(each[name][t.video, text] for name in group) / len(group) for t, text, _ in rows]
                want = naive_auc([{"label": label} for _, _, label in rows], values)
                entry = found["sets"][test][" + ".join(group)][kind]
                assert entry["auc"] == pytest.approx(want, abs=1e-9) and entry["low"] <= want <= entry["high"]
                assert (entry["expected"], entry["missing"]) == (len(rows), 0)
    text = (tmp_path / "st/results.md").read_text()
    assert text == render(results) and "synvita study table_6 --seeds 1 --run DIR" in text
    assert f"| {' + '.join(THREE)} |" in text and "| CLIP-FlanT5 | 65.59 | 74.41 | 67.92 |" in text

    files = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and not p.name.startswith(".")}
    assert study(tmp_path / "st", "--seeds", "1") == 0
    assert not scorers.asked  # goes on where it was: nothing is left
    assert json.loads((tmp_path / "st/results.json").read_text())["seconds"] == results["seconds"]
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and not p.name.startswith(".")} == files
    assert study(tmp_path / "st", "--seeds", "2") == 0
    assert sum(number for _, number in scorers.asked) == 3 * 2 * 28
    two = json.loads((tmp_path / "st/results.json").read_text())
    assert two["table_6"]["0"] == found and sorted(two["table_6"]) == ["0", "1"] == sorted(two["seconds"]["table_6"])
    scorers.asked.clear()
    more = [*THREE, "table_6_scorers:Other"]  # a fourth is added beside; one of another quantity is in no mean
    assert study(tmp_path / "st", "--seeds", "1", names=more) == 0
    assert {who for who, _ in scorers.asked} == {"Other"}
    four = json.loads((tmp_path / "st/results.json").read_text())["table_6"]["0"]
    assert four["sets"]["open"].items() > {k: v for k, v in found["sets"]["open"].items() if k.count("+") < 2}.items()
    assert len(four["without_mean"]) == 4 and "No mean of two quantities: " in (tmp_path / "st/results.md").read_text()
    capsys.readouterr()
    assert main(["study", "report", "--run", str(tmp_path / "st")]) == 0


def test_a_video_that_cannot_be_read_is_set_aside_and_its_pairs_are_in_no_figure(tmp_path, scorers, capsys):
    assert study(tmp_path / "st", "--seeds", "1", names=THREE[:2]) == 0
    run = tmp_path / "st/seed-0"
    before = json.loads((run / "table_6/figures.json").read_text())
    broken, gone = (row[0].video for row in (rows_of(run, "test_open")[0], rows_of(run, "test")[4]))
    (run / broken).write_bytes(b"no video")
    (run / gone).unlink()
    capsys.readouterr()
    for name in ("One", "Two"):
        (run / "table_6" / name / "scores.jsonl").unlink()
    assert study(tmp_path / "st", "--seeds", "1", names=THREE[:2]) == 3
    assert "synvita: 4 set aside, named with their reasons in " in capsys.readouterr().err
    aside = [(f["stage"], f["id"]) for _, f in parse_lines(run / "set_aside.jsonl")]
    assert sorted(aside) == sorted((f"study table_6 table_6/{n}", v) for n in ("One", "Two") for v in (broken, gone))
    found = json.loads((run / "table_6/figures.json").read_text())
    for test in ("in_distribution", "open"):
        missing = {who: one["all"]["missing"] for who, one in found["sets"][test].items()}
        assert set(missing.values()) == {2} and before["sets"][test].keys() == found["sets"][test].keys()
    assert "2 of them lack a score of some scorer and are left out" in (tmp_path / "st/results.md").read_text()


def entry(auc, low=None, high=None, expected=10, missing=0):
    return {"auc": auc, "low": low, "high": high, "expected": expected, "missing": missing}


def seed(one, both, difference):
    sets = {"open": {"a": {"all": one, "flip": entry(None)}, "a + b": {"all": both}}}
    told = {"quantities": {"a": "vqa_score"}, "without_mean": [], "mean_minus": {"open": {"a": difference}}}
    return told | {"sets": sets}


def test_one_seed_is_shown_with_its_intervals_and_several_with_their_spread():
    text = section({"0": seed(entry(0.5, 0.4, 0.6), entry(0.75), entry(0.25, -0.01, 0.3))}, {"0": 120})
    assert "    synvita study table_6 --seeds 1 --run DIR        # 2 minutes of one core" in text
    assert "| Open, AUC | all | flip |" in text and "| a | 50.0 [40.0, 60.0] |  |" in text
    assert "| a + b | 75.0 |  |" in text and "| a | +25.0 [-1.0, +30.0] |" in text
    assert "Open: 10 pairs over one seed." in text and "In brackets the 95 % interval over resampled videos." in text
    seeds = {"0": seed(entry(0.5), entry(0.75), entry(0.25)), "1": seed(entry(0.6), entry(0.75), entry(0.15))}
    seeds["1"]["sets"]["open"]["a"]["all"]["missing"] = 1
    text = section(seeds, {"0": 60, "1": 60})
    assert "| a | 55.0 ± 7.1 |  |" in text and "| a + b | 75.0 ± 0.0 |  |" in text
    assert "Open: 20 pairs over 2 seeds; 1 of them lack a score of some scorer and are left out." in text
    assert any(
        line.startswith("| a | +20.0 [") and line.endswith("p=0.156 |")  # t = 4, one degree of freedom
        for line in text
    )
    seeds["1"]["mean_minus"]["open"]["a"] = entry(None)
    assert "| a | +25.0 (1 of 2 seeds) |" in section(seeds, {})
    seeds["0"]["mean_minus"]["open"]["a"] = entry(None)
    assert "| a |  |" in section(seeds, {})
    assert section({}, {}) == []
