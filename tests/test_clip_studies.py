"""Studies of generators and of the best of N: which clips an arm is trained on; other studies stay as they are."""

import json

import pytest
from small import SMALL

from synvita import study
from synvita.cli import main
from synvita.clip_studies import JUDGE, by_clips, clip_studies, sets_of_clips
from synvita.core.artefacts import read_clips
from synvita.core.chosen import read_chosen
from synvita.core.store import parse_lines, write_atomic
from synvita.recipes import recipe
from synvita.report import paper
from synvita.report.study import BASES, TITLES

TINY = [*SMALL, "--world.triplets", "7", "--world.test", "7", "--world.test-open", "7", "--train.batch", "7",
        "--weigh.scorers", "[llava]", "--weigh.also", "[]"]  # fmt: skip


def test_every_row_has_one_run_folder_in_which_it_is_trained():
    rows = {arm for study_rows in clip_studies().values() for arm in study_rows.values()}
    trained = [arm for clips in sets_of_clips() for arm in clips.arms]
    assert sorted(trained) == sorted(rows)
    assert set(clip_studies()) <= set(BASES) & set(TITLES) and not set(clip_studies()) & set(study.studies())


def test_only_arms_without_clips_have_names_that_other_studies_have():
    others = study.all_arms()
    shared = [(name, arm) for clips in sets_of_clips() for name, arm in clips.trained.items() if name in others]
    assert shared and all(arm == others[name] and arm.weights == "none" for name, arm in shared)


def test_the_judge_of_the_best_of_n_weighs_none_of_its_arms():
    base = study.config_of(recipe("mini"), 3)
    for clips in sets_of_clips():
        config = clips.config(base)
        assert config.weigh.judge == (JUDGE if clips.best_of > 1 else "") and JUDGE not in config.weigh.scorers
        assert config.generate.best_of == clips.best_of and config.world == base.world and config.train.seed == 3
        assert all(not arm.scorers and not arm.criterion for arm in clips.arms.values())
    assert [clips.best_of for clips in sets_of_clips()] == [1, 2, 4]


def test_the_papers_rows_beside_the_generators_are_those_of_its_tables():
    table_1 = {row.model: row.values for row in paper.ROWS if row.table == 1}
    rows = dict(paper.STUDIES["generators"][1])
    for name in ("CogVideoX", "LaVie", "VideoCrafter2"):
        assert rows[f"naive, {name}"] == table_1[f"naive use of {name} clips"]
    synvita = next(row.values for row in paper.ROWS if row.model == "SynViTA (mPLUG-Owl 7B)")
    assert rows["SynViTA, CogVideoX"] == synvita


FEW = {
    "generators": {"captions only": "real_only", "uniform, all": "uniform_all_generators"},
    "best_of": {"captions only": "real_only", "uniform, N = 2": "uniform_best_of_2"},
}


def check_best_of_two(run):
    chosen = read_chosen(run)
    assert {clip.generator for clip in read_clips(run).values()} == {"mini-videocrafter2"}
    assert len(read_clips(run)) == 14 and len(chosen) == 7 and {tuple(one.judge) for one in chosen} == {(JUDGE,)}
    used = [f["clip_id"] for _, f in parse_lines(next(run.glob("weights/llava-*.jsonl")))]
    assert sorted(used) == sorted(one.clip_id for one in chosen)


def test_arms_of_the_best_of_two_are_trained_in_a_run_folder_that_has_these_clips(tmp_path, monkeypatch):
    asked = []

    def write_figures(run, arm, seed, config, name):
        write_atomic(run / "figures" / f"{name}.json", '{"open": {"auc": 0.75}}')

    few = FEW | {"best_of": {"uniform, N = 2": "uniform_best_of_2"}}
    monkeypatch.setattr(study, "clip_studies", lambda: few)
    monkeypatch.setattr(study, "run_arms", lambda run, config, seed, *_, only: asked.append((run.name, seed, only)))
    monkeypatch.setattr(study, "write_figures", write_figures)
    command = ["--run", str(tmp_path), *TINY, "--weigh.oracle", "false", "--seeds", "1", "--workers", "1"]
    assert main(["study", "best_of", *command]) == 0
    assert asked == [("best_of_2", 0, ["uniform_best_of_2"])]
    check_best_of_two(tmp_path / "seed-0/best_of_2")
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["arms"]["uniform_best_of_2"] == {"0": {"open": 0.75}}
    assert results["studies"] == study.studies() | {"best_of": few["best_of"]}
    assert main(["study", "best_of", *command]) == 0 and len(asked) == 1  # nothing is missing


@pytest.mark.slow
def test_the_studies_run_on_clips_of_their_own_and_leave_the_others_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "clip_studies", lambda: FEW)
    command = ["--run", str(tmp_path), *TINY, "--seeds", "1", "--workers", "1"]
    assert main(["study", "generators", *command]) == 0
    both = tmp_path / "seed-0" / "generators"
    assert {clip.generator for clip in read_clips(both).values()} == {"world_simulator", "mini-videocrafter2"}
    kept = (tmp_path / "seed-0/figures/real_only.json").stat().st_mtime_ns
    assert main(["study", "best_of", *command]) == 0
    assert (tmp_path / "seed-0/figures/real_only.json").stat().st_mtime_ns == kept
    check_best_of_two(tmp_path / "seed-0/best_of_2")
    assert (both / "triplets.jsonl").read_bytes() == (tmp_path / "seed-0" / "triplets.jsonl").read_bytes()
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["studies"] == study.studies() | FEW
    assert set(results["arms"]) == {"real_only", "uniform_all_generators", "uniform_best_of_2"}
    text = (tmp_path / "results.md").read_text()
    assert "## Which generator (Tables 1 and 5)" in text and "| uniform, N = 2 | 1 |" in text
    assert "| SynViTA, all three | 85.82 |" in text and not (tmp_path / "seed-0/clips").exists()


def test_where_an_arm_is_trained_is_found_by_its_name():
    found = by_clips(["uniform_best_of_4", "real_only"])
    assert [(clips.folder, some) for clips, some in found] == [
        ("generators", ["real_only"]),
        ("best_of_4", ["uniform_best_of_4"]),
    ]
