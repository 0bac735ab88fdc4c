"""The miniature's experiment over seeds: every study is a set of arms, every seed a run folder of its own.

    DIR/seed-0/            a run folder: data, clips, weights, adapters and pair scores all drawn anew for this seed
    DIR/seed-0/figures/    one file per arm: its figures on every task
    DIR/seed-0/generators/, best_of_2/, ...  run folders of studies that need other clips (`clip_studies.py`)
    DIR/seed-0/table_6/    the scorers themselves on the test sets: scores, figures.json
    DIR/study.json         the recipe that all seeds follow
    DIR/results.json       arm x seed x task, seconds of one core: what `docs/results.md` is made from

Studies share arms: what one has trained, another does not train again.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from synvita import stages
from synvita.arms.doing import run_arms
from synvita.clip_studies import by_clips, clip_studies
from synvita.core.artefacts import TRUTH
from synvita.core.reading import read_json
from synvita.core.records import Misalignment
from synvita.core.settings import build
from synvita.core.store import write_atomic
from synvita.core.vocabulary import BASELINE, CRITERIA, ORACLE_ARM, UNTRAINED, find_task, tasks
from synvita.how import How
from synvita.recipes import MINI_ARMS, THREE, RunConfig
from synvita.train.arms import Arm
from synvita.weigh.real import TABLE_6

TABLE_4 = ("uniform", "target", "product", "hard", "difference")
MARGINS = (0.2, 0.4, 0.6, 0.8)
LAMBDAS = (0.001, 0.01, 0.1, 1.0)
SHAPE_BLIND = "mini-video-llava-shape-blind"  # the base that was shipped first (docs/findings.md)
BOTH = (*THREE, "video_llm")  # single frames and the whole video
ON_BASES = (UNTRAINED, BASELINE, "uniform", "weighted_video", ORACLE_ARM)
DEFAULT_RECIPE = "mini"
assert set(TABLE_4) < set(CRITERIA)


def all_arms() -> dict[str, Arm]:
    """Every arm of every study by name; equal arms have one name."""
    found = dict(MINI_ARMS)
    for criterion in TABLE_4[1:-1]:  # uniform and difference are `uniform`, `weighted`, `weighted_oracle`
        found[f"learned_{criterion}"] = Arm("learned", criterion=criterion)
    found["synvita_oracle"] = Arm("oracle", 1.0)
    found["weighted_llava"] = Arm("learned", scorers=("llava",))
    found["weighted_both"] = Arm("learned", scorers=BOTH)
    found["synvita_both"] = Arm("learned", 1.0, scorers=BOTH)
    found |= {f"margin_{m}": Arm("learned", 1.0, margin=m) for m in MARGINS[1:]}
    found |= {f"lambda_{weight}": Arm("learned", weight) for weight in LAMBDAS[:-1]}
    for kind in Misalignment:
        found[f"uniform_{kind}"] = Arm("uniform", synthetic_types=(str(kind),))
        found[f"weighted_{kind}"] = Arm("learned", synthetic_types=(str(kind),))
    return found


def studies() -> dict[str, dict[str, str]]:
    """Study -> {row of its table: arm}."""
    kinds = [str(kind) for kind in Misalignment]
    return {
        "arms": {name: name for name in (UNTRAINED, *MINI_ARMS)},
        "criteria": {
            "uniform": "uniform",
            **{f"{c}, learned": f"learned_{c}" for c in TABLE_4[1:-1]},
            "difference, learned": "weighted",
            "the truth": "weighted_oracle",
        },
        "objective": {
            "language-model loss on all clips": "uniform",
            "+ weights": "weighted",
            "+ consistency": "synvita",
            "+ weights (oracle)": "weighted_oracle",
            "+ consistency (oracle)": "synvita_oracle",
        },
        "scorers": {
            "single frames, LLaVA": "weighted_llava",
            "single frames, three scorers": "weighted",
            "the whole video": "weighted_video",
            "both": "weighted_both",
            "the truth": "weighted_oracle",
            "single frames, three scorers, + consistency": "synvita",
            "the whole video, + consistency": "synvita_video",
            "both, + consistency": "synvita_both",
            "the truth, + consistency": "synvita_oracle",
        },
        "margin": {"0.2": "synvita", **{str(m): f"margin_{m}" for m in MARGINS[1:]}},
        "lambda": {**{str(weight): f"lambda_{weight}" for weight in LAMBDAS[:-1]}, "1.0": "synvita"},
        "misalignment": {
            BASELINE: BASELINE,
            **{f"{kind}, uniform": f"uniform_{kind}" for kind in kinds},
            **{f"{kind}, weighted": f"weighted_{kind}" for kind in kinds},
        },
        "bases": {
            **{arm: arm for arm in ON_BASES},
            **{f"{arm}, shape-blind base": f"{arm}@{SHAPE_BLIND}" for arm in ON_BASES},
        },
    }


def base_of(arm: str) -> str | None:
    """The base model of `arm@base`; None: the recipe's own."""
    return arm.partition("@")[2] or None


def config_of(base: RunConfig, seed: int) -> RunConfig:
    """A recipe with everything re-drawn: scenes and captions, clips, LoRA's start, the order of the data."""
    if base.world is None:
        raise ValueError("study: needs the miniature's world (recipe mini)")
    world = replace(base.world, seed=seed)
    weigh = replace(base.weigh, criteria=("difference", *TABLE_4[:-1]), also=("video_llm", "llava", "+".join(BOTH)))
    train = replace(base.train, seed=seed, arms=all_arms())
    return replace(base, world=world, generate=replace(base.generate, seed=seed), weigh=weigh, train=train)


def run_study(folder: Path, name: str, seeds: int, workers: int, base: RunConfig, recipe: str = DEFAULT_RECIPE) -> Path:
    """Train and ask the arms of one study for seeds 0, 1, ..., or for `table_6` run the recipe's scorers on the test
    sets; returns `results.json`, with all that is there so far.

    Resumable: what is finished is kept, per arm and seed.

    Args:
        recipe: the name of `base`, for the commands in the tables.
    """
    from synvita.core.run_folder import only_one

    known = studies() | clip_studies() | {TABLE_6: {}}
    if name not in known:
        raise ValueError(f"study: unknown {name!r}; known: {', '.join(known)}")
    arms = list(dict.fromkeys(known[name].values()))
    with only_one(folder, "study"):
        check_recipe(folder, recipe)
        for seed in range(seeds):
            started, run, config = time.monotonic(), folder / f"seed-{seed}", config_of(base, seed)
            if name == TABLE_6:
                made = measure_scorers(run, config, [one for one in base.weigh.every if one not in TRUTH], workers)
                note_seconds(folder, name, seed, workers * (time.monotonic() - started) if made else 0.0)
                collect(folder)
                continue
            missing = [arm for arm in arms if not (run / "figures" / f"{arm}.json").exists()]
            if not missing:
                note_seconds(folder, name, seed, 0.0)  # other studies have trained them all
                continue
            begin(run, config, workers)
            if name in clip_studies():
                on_other_clips(run, config, seed, missing, workers)
                note_seconds(folder, name, seed, workers * (time.monotonic() - started))
                continue
            stages.make_clips(run, config, How(workers=workers))
            stages.make_weights(run, config, How(workers=workers))
            for model in dict.fromkeys(map(base_of, missing)):
                mine, there = config.of_model(model), [arm for arm in missing if base_of(arm) == model]
                trained = {arm: arm.partition("@")[0] for arm in there}
                run_arms(run, mine, seed, workers, only=list(trained.values()), model=model)
                for arm in there:
                    write_figures(run, trained[arm], seed, mine, arm)
            note_seconds(folder, name, seed, workers * (time.monotonic() - started))
            collect(folder)
    return collect(folder)


def check_recipe(folder: Path, recipe: str) -> None:
    """Write down what the tables' commands name. ValueError: the folder's figures are of another recipe."""
    path = folder / "study.json"
    there = read_json(path)["recipe"] if path.exists() else recipe
    if there != recipe:
        raise ValueError(
            f"--run: {folder} holds studies of the recipe {there}; give --recipe {there} or another folder"
        )
    write_atomic(path, json.dumps({"recipe": recipe}) + "\n")


def on_other_clips(run: Path, config: RunConfig, seed: int, arms: list[str], workers: int) -> None:
    """Arms that need other clips, each in the run folder that has them; their figures stand with the seed's others."""
    for clips, some in by_clips(arms):
        inner, mine = run / clips.folder, clips.config(config)
        begin(inner, mine, workers)
        stages.make_clips(inner, mine, How(workers=workers), clips.generators)
        stages.make_weights(inner, mine, How(workers=workers))
        run_arms(inner, mine, seed, workers, only=some)
        for arm in some:
            write_figures(inner, arm, seed, mine, arm)
            write_atomic(run / "figures" / f"{arm}.json", (inner / "figures" / f"{arm}.json").read_text())


def begin(run: Path, config: RunConfig, workers: int) -> None:
    """A seed's run folder with its triplets and real videos."""
    from synvita.core.run_folder import claim_run

    claim_run(run, config.as_dict(), lambda stored: build(RunConfig, stored).as_dict())
    stages.make_triplets(run, config, workers)


def measure_scorers(run: Path, config: RunConfig, names: list[str], workers: int) -> int:
    """Score the real videos of the test sets with both captions and write `table_6/figures.json`; what is there is
    kept. Returns how many videos were scored now."""
    from synvita.evaluate.scorers import scorer_figures
    from synvita.evaluate.tasks import tasks as tasks_of
    from synvita.weigh.real import read_table_6, stages_of

    begin(run, config, workers)
    scoring = stages_of(names, config.scorers, config.weigh.decode_timeout)
    done = stages.score(run, scoring, How(workers=workers))
    pairs = tasks_of(run, [task.name for task in tasks("entailment")])
    quantities = {stage.part.name: stage.quantity for stage in scoring}
    found = scorer_figures(pairs, read_table_6(run, scoring), quantities, config.evaluate)
    write_atomic(run / TABLE_6 / "figures.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
    return sum(one.made for one in done)


def write_figures(run: Path, arm: str, seed: int, config: RunConfig, name: str) -> None:
    """One arm's figures with what they are of, in the study's file of that name; fractions, intervals over videos."""
    from synvita.evaluate.results import arm_results, read_pairs

    found = arm_results(read_pairs(run / config.train.home / "pairs" / arm / str(seed)), config.evaluate)
    write_atomic(run / "figures" / f"{name}.json", json.dumps(found, indent=1, allow_nan=False) + "\n")


def note_seconds(folder: Path, name: str, seed: int, seconds: float) -> None:
    """Add to `seconds.json`: seconds of one core, per study and seed."""
    path = folder / "seconds.json"
    known = read_json(path) if path.exists() else {}
    known.setdefault(name, {})[str(seed)] = round(known.get(name, {}).get(str(seed), 0) + seconds)
    write_atomic(path, json.dumps(known, indent=1) + "\n")


def collect(folder: Path) -> Path:
    """All figures of all seeds into `results.json`."""
    arms: dict[str, dict[str, dict[str, float]]] = {}
    quality: dict[str, Any] = {}
    for run in sorted(folder.glob("seed-*")):
        seed = run.name.removeprefix("seed-")
        for path in sorted((run / "figures").glob("*.json")):
            arms.setdefault(path.stem, {})[seed] = flat(read_json(path))
        if (run / "weights").exists():
            from synvita.evaluate.results import weight_quality

            who = {"single frames": THREE, "the whole video": ("video_llm",), "both": BOTH}
            quality[seed] = {name: found for name, some in who.items() if (found := weight_quality(run, list(some)))}
    seconds = read_json(folder / "seconds.json") if (folder / "seconds.json").exists() else {}
    about = read_json(folder / "study.json") if (folder / "study.json").exists() else {"recipe": DEFAULT_RECIPE}
    run_ones = {name: rows for name, rows in clip_studies().items() if name in seconds}
    out = {
        **about,
        "studies": studies() | run_ones,
        "seconds": seconds,
        "arms": dict(sorted(arms.items())),
        "weights": quality,
    }
    scorers = {path.parts[-3]: read_json(path) for path in sorted(folder.glob(f"seed-*/{TABLE_6}/figures.json"))}
    if scorers:
        out[TABLE_6] = {run.removeprefix("seed-"): figures for run, figures in scorers.items()}
    write_atomic(folder / "results.json", json.dumps(out, indent=1, allow_nan=False) + "\n")
    return folder / "results.json"


def flat(figures: dict[str, Any]) -> dict[str, float]:
    """Task -> its one figure (AUC, mAP or accuracy), rounded to what is meant; tasks without a figure are left out."""
    row: dict[str, float] = {}
    for name, entry in figures.items():
        parts = {f"per_type.{kind}": value for kind, value in entry.items()} if name == "per_type" else {name: entry}
        for part, value in parts.items():
            task = find_task(part)
            number = value[task.metric if task else "auc"]  # a misalignment type without a column of its own
            if number is not None:
                row[part] = round(number, 5)
    return row
