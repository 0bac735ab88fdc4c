"""What the shipped checkpoints are worth, and that synthetic clips help because of what they show."""

import json
import random
import shutil

import numpy as np
import pytest
from run_files import weight_rows, write_weights
from small import HOME

from synvita import stages
from synvita.cli import main
from synvita.core.records import ClipWeight
from synvita.core.store import parse_lines
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.metrics import roc_auc
from synvita.evaluate.scorers import scorer_figures
from synvita.evaluate.tasks import tasks as tasks_of
from synvita.how import How
from synvita.recipes import MINI_SCORERS, THREE
from synvita.weigh.real import read_table_6, stages_of

SIZES = ["--world.per-template", "1", "--world.questions", "5"]


def open_auc(run, arm, of_type=None):
    rows = [fields for _, fields in parse_lines(run / HOME / "pairs" / arm / "0" / "open.jsonl")]
    rows = [r for r in rows if of_type in (None, r["misalignment"])]
    return roc_auc([r["label"] for r in rows], [r["log_odds"] for r in rows])


@pytest.fixture(scope="module")
def open_run(tmp_path_factory):
    """A run folder whose open test holds 30 pairs of every type, and the settings to make it."""
    run = tmp_path_factory.mktemp("finding") / "run"
    sizes = ["--world.triplets", "7", "--world.test", "7", "--world.test_open", "210", *SIZES]
    assert main(["triplets", "make", "--run", str(run), *sizes]) == 0
    return run, sizes


def test_the_shipped_checkpoint_knows_appearance_but_not_relations(open_run):
    """At most 0.88 on hard negatives with relations near chance, as models that never saw hard negatives."""
    run, sizes = open_run
    assert main(["arm", "--run", str(run), "--arm", "off_the_shelf", *sizes]) == 0
    assert 0.76 <= open_auc(run, "off_the_shelf") <= 0.88
    for kind in ("object", "attribute", "count"):
        assert open_auc(run, "off_the_shelf", kind) > 0.80
    assert 0.45 <= open_auc(run, "off_the_shelf", "relation") <= 0.60


def test_every_shipped_scorer_of_frames_sees_what_a_frame_shows_and_none_sees_relations(open_run):
    run, _ = open_run
    scoring = stages_of(THREE, MINI_SCORERS, 60.0)
    stages.score(run, scoring, How(workers=1))
    figures = scorer_figures(
        tasks_of(run, ["open"]), read_table_6(run, scoring), dict.fromkeys(THREE, "vqa_score"), EvaluateConfig()
    )["sets"]["open"]
    for name in (*THREE, " + ".join(THREE)):
        assert figures[name]["attribute"]["auc"] > 0.80 and figures[name]["count"]["auc"] > 0.75, name
        assert 0.4 < figures[name]["relation"]["auc"] < 0.65, name


@pytest.mark.slow
def test_shuffling_the_clips_among_triplets_removes_the_gain_of_weighted_oracle(tmp_path):
    """Same weights, same number of clips, only each triplet gets another one's clip."""
    true, shuffled = tmp_path / "true", tmp_path / "shuffled"
    options = ["--world.test", "7", "--world.test_open", "1400", *SIZES]
    assert main(["demo", "--run", str(true), "--arms", "real_only,weighted_oracle", *options]) == 0
    shutil.copytree(true, shuffled, ignore=shutil.ignore_patterns("models", "report", "results.json"))
    rows = weight_rows(shuffled)
    oracle = [r for r in rows if r.scorers == ["world_truth"]]
    clips = [r.clip_id for r in oracle]
    random.Random(0).shuffle(clips)
    moved = [ClipWeight(r.triplet_id, c, r.criterion, r.scorers, r.weight) for r, c in zip(oracle, clips, strict=True)]
    write_weights(shuffled, moved)
    assert main(["arm", "--run", str(shuffled), "--arm", "weighted_oracle", *options]) == 0

    base, gained, without = (
        open_auc(true, "real_only"), open_auc(true, "weighted_oracle"), open_auc(shuffled, "weighted_oracle")
    )  # fmt: skip
    print(json.dumps({"real_only": base, "weighted_oracle": gained, "weighted_oracle, clips shuffled": without}))
    assert np.isfinite([base, gained, without]).all()
    assert gained - base > 0.02
    assert without - base < (gained - base) / 3
