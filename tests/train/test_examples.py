"""Which clips an arm uses: all of them, those of some misalignment types, those of some generators, or none."""

import shutil
from pathlib import Path

import pytest
from run_files import write_clips, write_weights

from synvita.core.records import Clip, ClipWeight, Item, Triplet
from synvita.core.store import write_records
from synvita.train.arms import Arm
from synvita.train.examples import join

KINDS = {"t1": "action", "t2": "flip", "t3": "object"}
CLIPS = {"t1": ("lavie", "cogvideox"), "t2": ("lavie",), "t3": ("cogvideox",)}


@pytest.fixture
def run(tmp_path) -> Path:
    """Three triplets of three types; four clips of two generators."""
    triplets = [Triplet(t, f"{t}.mp4", f"{t} true", f"{t} false", kind, "train") for t, kind in KINDS.items()]
    names = [(t, g) for t, generators in CLIPS.items() for g in generators]
    clips = [Clip(f"{t}-{g}", f"{t} false", g, "1", {}, 0, f"{t}-{g}.mp4") for t, g in names]
    weights = [ClipWeight(t, f"{t}-{g}", "difference", ["llava"], 0.5) for t, g in names]
    write_clips(tmp_path, clips)
    write_records(tmp_path / "triplets.jsonl", triplets)
    write_weights(tmp_path, weights)
    return tmp_path


def used(joined):
    """Triplet -> the clips beside its real video."""
    return {e.id: sorted({line.video for line in e.lines if line.synthetic}) for e in joined.examples}


ALL = {"t1": ["t1-cogvideox.mp4", "t1-lavie.mp4"], "t2": ["t2-lavie.mp4"], "t3": ["t3-cogvideox.mp4"]}


@pytest.mark.parametrize(
    ("arm", "want", "missing"),
    [
        (Arm("learned"), ALL, []),
        (Arm("learned", synthetic_types=("flip", "object")), ALL | {"t1": []}, []),
        (Arm("uniform", synthetic_types=("action",)), {"t1": ALL["t1"], "t2": [], "t3": []}, []),
        (Arm("learned", generators=("lavie",)), {"t1": ["t1-lavie.mp4"], "t2": ["t2-lavie.mp4"], "t3": []}, ["t3"]),
        (
            Arm("learned", synthetic_types=("action", "object"), generators=("lavie",)),
            {"t1": ["t1-lavie.mp4"], "t2": [], "t3": []},
            ["t3"],
        ),
        (Arm(), {"t1": [], "t2": [], "t3": []}, []),
    ],
)
def test_types_and_generators_restrict_the_clips_and_leave_every_real_video(run, arm, want, missing):
    joined = join(run, arm)
    assert used(joined) == want
    assert joined.missing_ids == missing and joined.clips == sum(map(len, want.values()))
    for example in joined.examples:
        assert [line.answer for line in example.lines if not line.synthetic] == ["Yes", "No"]
        weight = 1.0 if arm.weights == "uniform" else 0.5
        assert {line.weight for line in example.lines if line.synthetic} <= {weight}


def test_the_authors_items_keep_their_own_weights_and_an_arm_without_clips_drops_them(tmp_path):
    items = [
        Item("i1", "s1", "r.mp4", "a man runs", "Yes", "a man walks", [("s.mp4", 0.3)]),
        Item("i2", "s1", "r.mp4", "a man walks", "No", "a man runs", [("s.mp4", 0.3)]),
        Item("i3", "i3", "q.mp4", "a cat eats", "The cat sleeps."),
    ]
    write_records(tmp_path / "items.jsonl", items)
    write_records(tmp_path / "triplets.jsonl", [])
    joined = join(tmp_path, Arm("learned"))
    assert joined.weights_from == "the table's own" and joined.alone == 3 and joined.clips == 1
    assert joined.missing == 0 and joined.missing_ids == [] and joined.explanations == 0
    (example,) = joined.examples
    assert [(line.video, line.caption, line.answer, line.weight) for line in example.lines] == [
        ("r.mp4", "a man runs", "Yes", 1.0), ("s.mp4", "a man runs", "No", 0.3),
        ("r.mp4", "a man walks", "No", 1.0), ("s.mp4", "a man walks", "Yes", 0.3),
    ]  # fmt: skip
    assert [(p.aligned, p.counterpart, p.weight) for p in example.pairs] == [(0, 1, 0.3), (3, 2, 0.3)]
    uniform = join(tmp_path, Arm("uniform"))
    assert [line.weight for line in uniform.examples[0].lines] == [1.0] * 4
    without = join(tmp_path, Arm())
    assert without.clips == 0 and [line.synthetic for line in without.examples[0].lines] == [False, False]
    explained = join(tmp_path, Arm("learned"), "item", explanations=True)
    assert explained.explanations == 1 and [e.id for e in explained.examples] == ["i1", "i2", "i3"]
    assert explained.examples[2].lines[0].answer == "The cat sleeps."


def test_an_arm_takes_the_weights_that_it_names_and_says_which(run):
    rows = [ClipWeight("t1", "t1-lavie", c, s, w) for c, s, w in (
        ("difference", ["llava"], 0.1), ("product", ["llava"], 0.2), ("difference", ["llava", "x"], 0.3),
        ("difference", ["world_truth"], 1.0),
    )]  # fmt: skip
    write_weights(run, rows)
    cases = {
        Arm("learned"): (0.1, "difference of llava"),
        Arm("learned", criterion="product"): (0.2, "product of llava"),
        Arm("learned", scorers=("llava", "x")): (0.3, "difference of llava + x"),
        Arm("oracle"): (1.0, "difference of world_truth"),
        Arm("uniform"): (1.0, "uniform (1.0)"),
    }
    for arm, (weight, words) in cases.items():
        joined = join(run, arm)
        assert joined.weights_from == words and joined.missing_ids == ["t2", "t3"] and joined.missing == 2
        assert {line.weight for e in joined.examples for line in e.lines if line.synthetic} == {weight}
    there = r"llava\+x-difference, llava-difference, llava-product, world_truth-difference"
    with pytest.raises(ValueError, match=rf"has no weights llava-hard \(there: {there}\); first run: synvita weigh"):
        join(run, Arm("learned", criterion="hard"))
    shutil.rmtree(run / "clips")
    with pytest.raises(ValueError, match=r"llava-difference\.jsonl: triplet t1: .* is not among the clips; .*weigh"):
        join(run, Arm("learned"))
    shutil.rmtree(run / "weights")
    with pytest.raises(ValueError, match=f"has no weights; first run: synvita weigh --run {run}"):
        join(run, Arm("learned"))
    assert join(run, Arm()).weights_from == "none (no synthetic clips)"


def test_a_run_without_training_triplets_is_refused(tmp_path):
    write_records(tmp_path / "triplets.jsonl", [Triplet("a", "a.mp4", "x", "y", split="test")])
    with pytest.raises(ValueError, match="no triplets of split 'train' to train on"):
        join(tmp_path, Arm())
