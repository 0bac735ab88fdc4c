"""Studies over seeds: resumable, re-drawn per seed, and rendered the same from the same results."""

import json
import re
import shutil
from pathlib import Path

import pytest
from run_files import weight_rows
from scipy import stats
from small import SMALL

from synvita import study
from synvita.cli import main
from synvita.report.seeds import half_width, mean, spread, t_test
from synvita.report.study import difference_table, on_common_seeds, paired, render
from synvita.study import flat

DOCS = Path(__file__).parent.parent / "docs"
TINY = [*SMALL, "--world.triplets", "14", "--world.test", "14", "--world.test-open", "14"]


def test_a_study_draws_everything_anew_per_seed_and_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    few = {"arms": {"off_the_shelf": "off_the_shelf", "uniform": "uniform"}}
    few["objective"] = {"language-model loss on all clips": "uniform"}
    shape_blind = f"off_the_shelf@{study.SHAPE_BLIND}"
    few["bases"] = {"off_the_shelf": "off_the_shelf", "off_the_shelf, shape-blind base": shape_blind}
    monkeypatch.setattr(study, "studies", lambda: few)
    command = ["study", "arms", "--run", str(tmp_path), *TINY, "--workers", "1"]
    assert main([*command, "--seeds", "1"]) == 0
    first = (tmp_path / "seed-0" / "figures" / "uniform.json").stat().st_mtime_ns
    assert main([*command, "--seeds", "2"]) == 0
    assert (tmp_path / "seed-0" / "figures" / "uniform.json").stat().st_mtime_ns == first  # kept
    triplets = [(tmp_path / f"seed-{s}" / "triplets.jsonl").read_text() for s in (0, 1)]
    clips = [(tmp_path / f"seed-{s}" / "clips/world_simulator/clips.jsonl").read_text() for s in (0, 1)]
    assert triplets[0] != triplets[1] and clips[0] != clips[1]
    results = json.loads((tmp_path / "results.json").read_text())
    assert {arm: sorted(seeds) for arm, seeds in results["arms"].items()} == {arm: ["0", "1"] for arm in few["arms"]}
    assert {"in_distribution", "open", "qa", "retrieval_temporal"} <= results["arms"]["uniform"]["0"].keys()
    text = (tmp_path / "results.md").read_text()
    assert "synvita study arms --seeds 2 --run DIR" in text and "| uniform | 2 |" in text
    assert text == render(results)
    assert main(["study", "objective", "--run", str(tmp_path), *TINY, "--seeds", "2"]) == 0  # nothing to train
    assert (tmp_path / "seed-0" / "figures" / "uniform.json").stat().st_mtime_ns == first
    assert "| language-model loss on all clips | 2 |" in (tmp_path / "results.md").read_text()
    assert main(["study", "bases", "--run", str(tmp_path), *TINY, "--seeds", "1", "--workers", "1"]) == 0
    both = json.loads((tmp_path / "results.json").read_text())["arms"]
    assert both["off_the_shelf"]["0"] == results["arms"]["off_the_shelf"]["0"] != both[shape_blind]["0"]
    assert (tmp_path / "seed-0" / "models" / study.SHAPE_BLIND / "pairs" / "off_the_shelf").exists()
    capsys.readouterr()
    assert main(["study", "ablation", "--run", str(tmp_path)]) == 2
    assert "study: unknown 'ablation'; known: arms" in capsys.readouterr().err
    for knob, value in (("--workers", "0"), ("--seeds", "-1"), ("--seeds", "two")):
        with pytest.raises(SystemExit, match="2"):
            main([*command, knob, value])
        assert f"argument {knob}: '{value}' is not a positive number" in capsys.readouterr().err
    assert main(["study", "report", "--run", str(tmp_path / "nowhere")]) == 2
    assert "nowhere holds no figures of a study" in capsys.readouterr().err
    assert main(["study", "report", "--run", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert f"--out: {tmp_path} is a folder; give a file" in capsys.readouterr().err


def test_a_folder_of_studies_keeps_to_its_recipe_and_its_commands_name_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "studies", lambda: {"arms": {"untrained": "off_the_shelf"}})
    figures = tmp_path / "seed-0" / "figures"
    figures.mkdir(parents=True)
    (figures / "off_the_shelf.json").write_text('{"open": {"auc": 0.75}}')
    command = ["study", "arms", "--run", str(tmp_path), "--seeds", "1"]
    assert main([*command, "--recipe", "mini_simulator"]) == 0
    assert "synvita study arms --recipe mini_simulator --seeds 1" in (text := (tmp_path / "results.md").read_text())
    assert main(command) == 2
    assert "holds studies of the recipe mini_simulator; give --recipe mini_simulator or" in capsys.readouterr().err
    assert main(["study", "report", "--run", str(tmp_path)]) == 0
    assert (tmp_path / "results.md").read_text() == text


def test_with_the_truth_all_criteria_but_uniform_are_one(small_run, tmp_path):
    from synvita.weigh.config import WeighConfig
    from synvita.weigh.weigh import weigh

    for name in ("clips", "scores"):
        shutil.copytree(small_run / name, tmp_path / name)
    for name in ("triplets.jsonl", "clip_of_triplet.jsonl"):
        (tmp_path / name).write_bytes((small_run / name).read_bytes())
    weigh(tmp_path, WeighConfig(criteria=study.TABLE_4))
    rows = [r for r in weight_rows(tmp_path) if r.scorers == ["world_truth"]]
    found = {c: [(r.triplet_id, r.weight) for r in rows if r.criterion == c] for c in study.TABLE_4}
    assert found["target"] == found["product"] == found["hard"] == found["difference"] != found["uniform"]
    assert {w for _, w in found["difference"]} == {0.0, 1.0}


def test_the_studies_are_the_papers_tables_and_name_known_arms():
    known = study.all_arms()
    for name, rows in study.studies().items():
        assert all(arm.partition("@")[0] in known or "off_the_shelf" in arm for arm in rows.values()), name
    assert [known[a].margin for a in study.studies()["margin"].values()] == [0.2, 0.4, 0.6, 0.8]
    assert [known[a].consistency_weight for a in study.studies()["lambda"].values()] == [0.001, 0.01, 0.1, 1.0]
    criteria = {known[a].criterion for a in study.studies()["criteria"].values()}
    assert criteria == {"", "target", "product", "hard"}
    assert len(set(map(str, known.values()))) == len(known)  # equal arms are not trained twice


VALUES = [0.9, -0.3, 1.4, 0.2, 0.8]


def test_spread_interval_and_t_test_are_the_textbooks():
    deviation = (sum((v - 0.6) ** 2 for v in VALUES) / 4) ** 0.5  # their mean is 0.6
    assert spread(VALUES) == pytest.approx(deviation)
    assert half_width(VALUES) == pytest.approx(2.776 * deviation / 5**0.5, rel=1e-3)  # t with 4 degrees of freedom
    assert half_width([0.0, 1.0] * 15) == pytest.approx(2.045 * spread([0.0, 1.0] * 15) / 30**0.5, rel=1e-3)  # 29
    assert t_test(VALUES) == pytest.approx(float(stats.ttest_1samp(VALUES, 0).pvalue))
    edge = [v - mean(VALUES) + half_width(VALUES) for v in VALUES]  # 0 lies on the interval's end
    assert t_test(edge) == pytest.approx(0.05)
    assert (t_test([1.0, 1.0]), t_test([0.0, 0.0]), t_test([3.0])) == (0.0, 1.0, 1.0)
    assert spread([1.0]) == 0 and half_width([1.0]) == float("inf")


def test_differences_are_taken_seed_by_seed():
    mine, other = {"0": {"open": 0.8}, "1": {"open": 0.9}, "2": {"open": 1.0}}, {"1": {"open": 0.5}, "0": {"open": 0.7}}
    assert paired(mine, other, "open") == pytest.approx([0.1, 0.4])


def test_a_table_of_differences_corrects_each_p_for_all_of_them():
    """Of two arms one differs by 1 with a spread of 0.1 points, the other by nothing: Holm doubles the smaller p."""
    figures = {
        "real_only": {s: {"open": 0.5} for s in "012"},
        "uniform": {s: {"open": 0.51 + d} for s, d in zip("012", (0.0, 0.001, -0.001), strict=True)},
        "weighted": {s: {"open": 0.5 + d} for s, d in zip("012", (0.0, 0.01, -0.01), strict=True)},
    }
    p = float(stats.ttest_1samp([1.0, 1.1, 0.9], 0).pvalue)
    _, _, uniform, weighted = difference_table({"u": "uniform", "w": "weighted"}, figures, "real_only")
    assert f"p={p:.3f} ({2 * p:.2f})" in uniform and "+1.0 [" in uniform
    assert "p=1.000 (1.00)" in weighted


def test_rows_of_a_table_are_means_over_the_same_seeds():
    arms = {
        "a": {"0": {"open": 1}, "1": {"open": 2}},
        "b": {"1": {"open": 3}, "2": {"open": 4}},
        "c": {"7": {"open": 5}},
    }
    assert on_common_seeds(["a", "b", "nobody"], arms) == {"a": {"1": {"open": 2}}, "b": {"1": {"open": 3}}}
    assert on_common_seeds(["a", "c"], arms) == {"a": arms["a"], "c": arms["c"]}  # nothing in common: all, and counted


@pytest.mark.parametrize("name", ["results", "results_simulator", "results_former"])
def test_the_committed_tables_are_those_of_the_committed_results_and_say_what_they_are_of(name):
    results = json.loads((DOCS / f"{name}.json").read_text())
    assert (DOCS / f"{name}.md").read_text() == render(results)
    former = "Made with the former checkpoints" in (DOCS / f"{name}.md").read_text()
    assert former == (name == "results_former")


def test_every_committed_study_has_todays_rows_and_at_least_three_seeds():
    for file, recipe, names in (
        ("results", "mini", ("arms", "generators")),
        ("results_simulator", "mini_simulator", ("arms", "bases")),
    ):
        results = json.loads((DOCS / f"{file}.json").read_text())
        on_other_clips = {name: rows for name, rows in study.clip_studies().items() if name in names}
        assert (results["recipe"], results["studies"]) == (recipe, study.studies() | on_other_clips)
        for name in names:
            for arm in results["studies"][name].values():
                assert len(results["arms"][arm]) >= 3, (file, name, arm)
        assert all("per_type.object" in figures for figures in results["arms"]["off_the_shelf"].values())


def test_the_base_that_is_shipped_judges_by_shapes():
    results = json.loads((DOCS / "results_simulator.json").read_text())["arms"]
    assert all(figures["per_type.object"] > 0.8 for figures in results["off_the_shelf"].values())
    blind = results[f"off_the_shelf@{study.SHAPE_BLIND}"]
    assert all(0.45 < figures["per_type.object"] < 0.55 for figures in blind.values())


def test_the_readmes_rows_are_committed_ones():
    lines = (DOCS.parent / "README.md").read_text().splitlines()
    committed = [cells(line) for line in (DOCS / "results.md").read_text().splitlines() if "±" in line]
    rows = [cells(line) for line in lines if line.startswith("|") and "±" in line]
    assert len(rows) == 4
    for title, *figures in rows:
        arm = re.findall(r"`(\w+)`", title)[0]
        assert [arm, "3", *figures] in [row[:6] for row in committed]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_task_without_a_figure_has_no_row_in_a_study():
    figures = {"open": {"auc": 0.5, "low": None}, "qa": {"accuracy": None}, "retrieval_events": {"map": 0.25}}
    figures |= {"per_type": {"flip": {"auc": None}, "action": {"auc": 0.123456}}}
    assert flat(figures) == {"open": 0.5, "retrieval_events": 0.25, "per_type.action": 0.12346}
