"""Everybody's score files give the figures that the authors' scripts print, and what is wrong with one is named."""

import json
import os
from pathlib import Path

import benchmark_files as files
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from synvita.evaluate.benchmarks.measure import measure_scores
from synvita.evaluate.benchmarks.outcome import as_table, gaps
from synvita.evaluate.config import EvaluateConfig

QUICK = EvaluateConfig(draws=20)
PUBLISHED = os.environ.get("SYNVITA_PUBLISHED_SCORES")  # folder of VideoCon's published tables and score files


def measure(name, folder, scores, **more):
    return measure_scores(name, None, folder, scores, config=QUICK, **more)


def values(found):
    return {name: entry["value"] for name, entry in found["metrics"].items()}


@pytest.fixture(scope="module")
def temporal(tmp_path_factory):
    """SSv2-Temporal's form with a score per row, and these scores as rows."""
    folder = tmp_path_factory.mktemp("temporal")
    rows = files.read(files.ssv2(folder / "eval_ssv2_temporal.csv"))
    return folder, rows, files.scores_of([(row["videopath"], row["caption"]) for row in rows])


def by_caption(rows, scores):
    """The authors' way: all rows of a caption, sorted by score."""
    found = {}
    for row, (_, _, score) in zip(rows, scores, strict=True):
        found.setdefault(row["caption"], []).append((score, int(row["match"])))
    return [[label for _, label in sorted(some, reverse=True)] for some in found.values()]


def test_a_ranking_without_ties_is_the_authors(temporal):
    folder, rows, scores = temporal
    found = measure("ssv2_temporal", folder, files.videocon_scores(folder / "five.csv", scores))
    ranked = by_caption(rows, scores)
    precisions = [average_precision_score(labels, -np.arange(len(labels))) for labels in ranked]
    metrics = found["metrics"]
    assert metrics["map"]["value"] == pytest.approx(np.mean(precisions), rel=1e-12)
    for k in (1, 5, 10):
        entry = metrics[f"recall_at_{k}"]
        assert entry["value"] == pytest.approx(np.mean([any(labels[:k]) for labels in ranked]), rel=1e-12)
    for entry in metrics.values():
        assert entry["authors"] == entry["tie_low"] == pytest.approx(entry["tie_high"])
        assert entry["authors"] == pytest.approx(entry["value"], rel=1e-12)
        assert entry["low"] <= entry["value"] <= entry["high"]
    assert (found["benchmark"], found["n"], found["expected"], found["missing"]) == ("ssv2_temporal", 3888, 3888, 0)
    assert not gaps(found)


def test_ties_leave_the_authors_number_undefined_between_its_bounds(temporal):
    folder, rows, _ = temporal
    tied = files.scores_of([(row["videopath"], row["caption"]) for row in rows], ties=True)
    found = measure("ssv2_temporal", folder, files.videocon_scores(folder / "tied.csv", tied))
    entry = found["metrics"]["map"]
    assert entry["authors"] is None and entry["tie_low"] < entry["tie_mean"] < entry["tie_high"]
    table = as_table(found)
    assert "3,888 of 3,888 pairs" in table and f"{100 * entry['tie_low']:.2f} .. {100 * entry['tie_high']:.2f}" in table


def test_all_forms_of_a_score_file_say_the_same(temporal):
    folder, _, scores = temporal
    bare = [(p, c.split('"')[1:-1], s) for p, c, s in scores]
    bare = [(p, '"'.join(c), s) for p, c, s in bare]
    wanted = values(measure("ssv2_temporal", folder, files.videocon_scores(folder / "a.csv", scores)))
    moved = [(f"/data/x/{Path(p).stem}.webm", c, s) for p, c, s in bare]
    log_odds = [{"video": p, "caption": c, "log_odds": float(np.log(s / (1 - s)))} for p, c, s in bare]
    forms = {
        "three columns": files.synvita_scores(folder / "b.csv", scores),
        "numbered header": files.synvita_scores(folder / "c.csv", scores, ("0", "1", "2")),
        "header of its own": files.synvita_scores(folder / "d.csv", scores, ("path", "text", "entailment")),
        "unknown header": files.synvita_scores(folder / "e.csv", scores, ("x", "y", "z")),
        "bare captions elsewhere": files.synvita_scores(folder / "f.csv", moved),
        "ours": files.synvita_scores(folder / "g.csv", moved, ("file", "caption", "score")),
        "pairs": files.write_lines(folder / "h.jsonl", log_odds),
    }
    for form, path in forms.items():
        assert values(measure("ssv2_temporal", folder, path)) == pytest.approx(wanted, rel=1e-12), form


def test_atp_hard_takes_the_first_maximum_for_the_authors_and_misses_nothing(tmp_path):
    told = files.atp_hard(tmp_path)
    scores = files.scores_of([(row["videopath"], row["caption"]) for row in told], ties=True)
    found = measure("atp_hard", tmp_path, files.videocon_scores(tmp_path / "scores.csv", scores))
    groups, types = {}, {}
    for row in files.read(tmp_path / "nextqa-atphard.csv"):
        types[row["video"], row["question"]] = row["type"][0]
    for row, (_, _, score) in zip(told, scores, strict=True):
        groups.setdefault((row["videopath"], row["question"]), []).append((score, row["option"] == row["answer"]))
    right = {
        key: some[int(np.argmax([score for score, _ in some]))][1] for key, some in groups.items() if len(some) == 5
    }
    metrics = found["metrics"]
    assert metrics["accuracy"]["authors"] == pytest.approx(np.mean(list(right.values())), rel=1e-12)
    for letter, name in (("C", "accuracy_causal"), ("T", "accuracy_temporal")):
        some = [r for (path, question), r in right.items() if types[Path(path).stem, question] == letter]
        assert metrics[name]["authors"] == pytest.approx(np.mean(some), rel=1e-12)
    assert metrics["accuracy"]["tie_low"] < metrics["accuracy"]["value"] < metrics["accuracy"]["tie_high"]
    assert (found["n"], found["expected"], found["missing"], len(found["excluded"])) == (1844, 1846, 0, 2)
    assert not gaps(found), "what the authors leave out is no hole"


def test_entailment_is_scikit_learns_auc_also_for_the_hard_rows(tmp_path):
    path = files.videocon_human(tmp_path / "videocon_human.csv")
    pairs = [(r["video_url"], r[c], r["hard"] == "True", c == "caption")
             for r in files.read(path) for c in ("caption", "neg_caption")]  # fmt: skip
    scores = files.scores_of(
        [(f"v/{p.split('/')[-1].split('.')[0].replace('%20', ' ')}.mp4", c) for p, c, _, _ in pairs]
    )
    file = files.synvita_scores(tmp_path / "scores.csv", scores)
    for name, chosen in (("videocon_human", lambda hard: True), ("videocon_human_hard", lambda hard: hard)):
        some = [(label, s) for (_, _, hard, label), (_, _, s) in zip(pairs, scores, strict=True) if chosen(hard)]
        found = measure(name, tmp_path, file)
        assert found["metrics"]["auc"]["authors"] == pytest.approx(roc_auc_score(*zip(*some, strict=True)), rel=1e-12)
        assert not gaps(found), "scores for the rows that are not hard are no strays"


def test_minimal_pairs_of_a_perfect_scorer_are_all_right_and_of_a_constant_one_by_chance(tmp_path):
    files.vinoground(tmp_path / "vinoground.csv")
    grid = [(f"x/{i}_{v}.mp4", f"first {i} {'a, then b' if c == 'pos' else 'b, then a'}", float(c == v) * 0.5 + 0.2)
            for i in range(500) for c in ("pos", "neg") for v in ("pos", "neg")]  # fmt: skip
    found = measure("vinoground", tmp_path, files.synvita_scores(tmp_path / "right.csv", grid))
    assert values(found) == {"text": 1.0, "video": 1.0, "group": 1.0} and (found["n"], found["missing"]) == (500, 0)
    assert set(found["parts"]) == {"action", "object", "viewpoint"}
    constant = files.synvita_scores(tmp_path / "constant.csv", [(v, c, 0.5) for v, c, _ in grid])
    entry = measure("vinoground", tmp_path, constant)["metrics"]["group"]
    assert (entry["value"], entry["tie_low"], entry["tie_high"], entry["authors"]) == (pytest.approx(1 / 6), 0, 1, 0)


def test_timeblind_counts_questions_with_the_words_that_its_script_adds(tmp_path):
    rows = files.read_lines(files.timeblind(tmp_path / "data.jsonl"))
    ends = {"yes_no": " Please output Yes or No.", "multiple_choice": " Please output A or B."}
    right = [
        (r["video_path"], r["question"] + ends[r["type"]], 0.9 if r["answer"] in ("Yes", "A") else 0.1) for r in rows
    ]
    always = [(path, question, 0.9) for path, question, _ in right]
    found = measure("timeblind", tmp_path, files.synvita_scores(tmp_path / "right.csv", right))
    assert values(found) == {"accuracy": 1, "text": 1, "video": 1, "group": 1} and found["n"] == 600
    always_yes = measure("timeblind", tmp_path, files.synvita_scores(tmp_path / "yes.csv", always))
    assert values(always_yes) == {"accuracy": 0.5, "text": 0, "video": 0, "group": 0}
    assert "instance accuracy" in as_table(found)


def test_velociti_wants_both_captions_right_and_vitatecs_the_order(tmp_path):
    rows = files.read_lines(files.velociti(tmp_path / "velociti.jsonl"))
    lenient = [(r["video_id"], r[c], 0.9 if c == "pos" else 0.6) for r in rows for c in ("pos", "neg")]
    found = measure("velociti", tmp_path, files.synvita_scores(tmp_path / "lenient.csv", lenient))
    assert values(found) == {"strict": 0.0, "accuracy": 1.0} and found["n"] == 8_792
    files.vitatecs(tmp_path)
    names = [(f"video{i}.mp4", f"{word} {i}", 0.9 if word == "fast" else 0.6)
             for i in range(2308) for word in ("fast", "slow")]  # fmt: skip
    found = measure("vitatecs", tmp_path, files.synvita_scores(tmp_path / "order.csv", names))
    assert values(found)["accuracy"] == 1.0 and found["n"] == 13_838 and len(found["parts"]) == 6


# ---- what is wrong with a file


def test_a_missing_score_is_named_and_counted_and_never_averaged_over(temporal):
    folder, rows, scores = temporal
    holes = [(p, c, "nan" if i == 5 else "" if i == 6 else s) for i, (p, c, s) in enumerate(scores) if i != 7]
    file = files.synvita_scores(folder / "holes.csv", holes)
    with pytest.raises(ValueError, match=r"3 of 3888 pairs of ssv2_temporal have no score; the first: .*csv:22: .*nan"):
        measure("ssv2_temporal", folder, file)
    found = measure("ssv2_temporal", folder, file, allow_missing=True)
    assert (found["n"], found["expected"], found["missing"]) == (3885, 3888, 3)
    assert "3,885 of 3,888" in as_table(found)
    told = "\n".join(gaps(found))
    assert "3 of 3,888 pairs have no score" in told and "score is empty" in told and "has no score for it" in told
    kept = [i for i in range(len(rows)) if i not in (5, 6, 7)]
    ranked = by_caption([rows[i] for i in kept], [scores[i] for i in kept])
    precisions = [average_precision_score(labels, -np.arange(len(labels))) for labels in ranked]
    assert values(found)["map"] == pytest.approx(np.mean(precisions), rel=1e-12)
    json.dumps(found, allow_nan=False)


def test_scores_for_other_videos_are_refused_and_stray_ones_are_set_aside(temporal):
    folder, _, scores = temporal
    other = files.synvita_scores(folder / "other.csv", [(f"else/x{i}.mp4", c, s) for i, (_, c, s) in enumerate(scores)])
    with pytest.raises(ValueError, match=r"--scores: .*other.csv: scores for other videos or captions; .*other.csv:1"):
        measure("ssv2_temporal", folder, other)
    stray = files.synvita_scores(folder / "stray.csv", [*scores, ("else.mp4", "a caption", 0.5)])
    found = measure("ssv2_temporal", folder, stray)
    assert found["scores"]["of_no_pair"] == 1 and "'a caption' of else.mp4" in "\n".join(gaps(found))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: [*s, (*s[0][:2], 0.123)], r"csv:15553: 0.123 here, .* in .*csv:1, of the same video and caption"),
        (lambda s: [line[:2] for line in s], r"csv:1: 2 columns; a score file has path, caption, score"),
        (lambda s: [(*line, 1) for line in s], r"csv:1: 4 columns without a header; VideoCon's have 5, SynViTA's 3"),
        (lambda s: [*s[:3], (*s[3], 1)], r"csv:13: 4 fields where the first row has 3"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named_by_its_line(temporal, change, message):
    folder, _, scores = temporal
    rows = change(scores)
    path = folder / "wrong.csv"
    with path.open("w", newline="") as out:
        files.csv.writer(out, lineterminator="\n").writerows(rows)
    with pytest.raises(ValueError, match=message):
        measure("ssv2_temporal", folder, path)


def test_one_id_of_two_videos_needs_more_of_the_path(tmp_path):
    rows = [
        {"video_url": f"{place}/1.mp4", "caption": "a", "label": label, "hard": 0}
        for place, label in (("x", 1), ("y", 0))
    ]
    files.write(tmp_path / "videocon_human.csv", rows)
    scores = [("x/1.mp4", "a", 0.9), ("/other/y/1.webm", "a", 0.1)]
    found = measure("videocon_human", tmp_path, files.synvita_scores(tmp_path / "s.csv", scores), allow_missing=True)
    assert values(found) == {"auc": 1.0}
    with pytest.raises(ValueError, match=r"s.csv:1: '1.mp4' may be x/1.mp4 or y/1.mp4; write more of the path"):
        one = files.synvita_scores(tmp_path / "s.csv", [("1.mp4", "a", 0.9)])
        measure("videocon_human", tmp_path, one, allow_missing=True)


def test_numbers_without_a_middle_cannot_answer_yes_or_no(tmp_path):
    rows = files.read_lines(files.timeblind(tmp_path / "data.jsonl"))
    scores = [(r["video_path"], r["question"], 7.0) for r in rows]
    with pytest.raises(ValueError, match=r"its numbers leave \[0, 1\], so nobody knows where yes begins"):
        measure("timeblind", tmp_path, files.synvita_scores(tmp_path / "s.csv", scores))


# ---- the published files


@pytest.mark.skipif(not PUBLISHED, reason="SYNVITA_PUBLISHED_SCORES names no folder with VideoCon's published files")
def test_the_published_files_give_the_authors_numbers(tmp_path):
    folder = Path(PUBLISHED)
    lines = files.csv.reader((folder / "eval_ssv2_temporal_scores.csv").open(newline=""))
    free = [(p, c, float(s) + 1e-7 * i) for i, (p, c, s, *_) in enumerate(lines)]
    found = measure("ssv2_temporal", folder, files.synvita_scores(tmp_path / "free.csv", free))["metrics"]
    recorded = {"map": 16.334221543525768, "recall_at_1": 16.67, "recall_at_5": 61.11, "recall_at_10": 66.67}
    assert 100 * found["map"]["authors"] == pytest.approx(recorded["map"], rel=1e-12)
    assert {k: round(100 * found[k]["authors"], 2) for k in recorded if k != "map"} == {
        k: v for k, v in recorded.items() if k != "map"
    }
    tied = measure("ssv2_temporal", folder, folder / "eval_ssv2_temporal_scores.csv")["metrics"]["map"]
    assert tied["authors"] is None and (round(100 * tied["tie_low"], 2), round(100 * tied["tie_high"], 2)) == (
        11.65,
        21.87,
    )
    atp = measure("atp_hard", folder, folder / "atphard_scores.csv")["metrics"]
    assert 100 * atp["accuracy"]["authors"] == pytest.approx(41.052060737527114, rel=1e-12)
    assert 100 * atp["accuracy_causal"]["authors"] == pytest.approx(43.77470355731225, rel=1e-12)
    assert 100 * atp["accuracy_temporal"]["authors"] == pytest.approx(37.74038461538461, rel=1e-12)
