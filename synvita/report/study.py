"""Studies over seeds as Markdown tables: means, spreads, paired differences with intervals and p-values."""

from __future__ import annotations

from typing import Any

from synvita.core.holm import holm
from synvita.core.vocabulary import BASELINE, METHOD, ORACLE_ARM, study_figures
from synvita.report import paper, table_6
from synvita.report.seeds import difference, mean, mean_and_spread, row, spread, t_test

# The arms that a study's rows are compared with, seed by seed.
BASES = {
    "arms": (BASELINE, "uniform"),
    "criteria": ("uniform", "weighted"),
    "objective": ("uniform", "weighted"),
    "scorers": (BASELINE, ORACLE_ARM),
    "margin": (METHOD,),
    "lambda": (METHOD,),
    "misalignment": (BASELINE,),
    "bases": (BASELINE, f"{BASELINE}@mini-video-llava-shape-blind"),
    "generators": (BASELINE,),
    "best_of": (BASELINE, "uniform_mini-videocrafter2"),
}
TITLES = {
    "arms": "The arms (Tables 1 and 3)",
    "criteria": "Weighing criteria (Table 4)",
    "objective": "The objective's parts (Figure 4)",
    "scorers": "Who weighs the clips",
    "margin": "The margin m (Table 7)",
    "lambda": "The consistency weight lambda (Table 8)",
    "misalignment": "Synthetic clips of one misalignment type (Tables 2 and 9)",
    "bases": "On which base model clips help",
    "generators": "Which generator (Tables 1 and 5)",
    "best_of": "The best of N clips",
}
NOTES = {
    "criteria": "The truth is 0 or 1, so with it all criteria but uniform give the same weights: one row.",
    "objective": "The paper's Figure 4 has bars and no numbers. Its text: weights help on all three downstream tasks;\n"
    "the consistency loss adds on two of them and not on SSv2-Events.",
    "bases": "Both train on the same triplets, clips and weights. The shape-blind base was shipped first: it does not\n"
    "judge by shape words.",
    "best_of": "N clips of `mini-videocrafter2` per caption; `video_llm` chooses one, other scorers weigh it.",
}
Figures = dict[str, dict[str, float]]  # seed -> task -> figure; a task without a figure is not there


def paired(mine: Figures, other: Figures, task: str) -> list[float]:
    """Differences on the seeds that both have."""
    seeds = sorted(set(mine) & set(other), key=int)
    return [mine[s][task] - other[s][task] for s in seeds if task in mine[s] and task in other[s]]


def without_nulls(arms: dict[str, Any]) -> dict[str, Figures]:
    """A figure that could not be made of what was scored is null in the file, and no value of any mean."""
    return {
        arm: {seed: {task: v for task, v in figures.items() if v is not None} for seed, figures in seeds.items()}
        for arm, seeds in arms.items()
    }


def on_common_seeds(names: list[str], arms: dict[str, Figures]) -> dict[str, Figures]:
    """These arms' figures on the seeds that all of them have (those that have any), so that rows can be compared."""
    there = {name: arms[name] for name in names if arms.get(name)}
    common = set.intersection(*(set(found) for found in there.values())) if there else set()
    return {name: {s: f for s, f in found.items() if s in common} if common else found for name, found in there.items()}


def figure_table(rows: dict[str, str], arms: dict[str, Figures]) -> list[str]:
    """Mean and spread over seeds per row and task, in percent."""
    titles = [task.title for task in study_figures()]
    lines = [row(["", "seeds", *titles]), row(["---"] * (len(titles) + 2))]
    for label, arm in rows.items():
        if arm not in arms:
            continue
        cells = []
        for task in study_figures():
            cells.append(mean_and_spread([figures.get(task.name) for figures in arms[arm].values()]))
        lines.append(row([label, str(len(arms[arm])), *cells]))
    return lines


def difference_table(rows: dict[str, str], arms: dict[str, Figures], base: str) -> list[str]:
    """Paired differences to an arm, in points, with 95 % intervals over seeds, p by Student's t, and p corrected for
    all differences of the table."""
    tasks = study_figures()
    others = {
        label: arm
        for label, arm in rows.items()
        if arm != base and arm in arms and arm.partition("@")[2] == base.partition("@")[2]
    }
    points = {
        (label, task.name): [100 * v for v in paired(arms[arm], arms[base], task.name)]
        for label, arm in others.items()
        for task in tasks
    }
    known = [values for values in points.values() if values]
    corrected = iter(holm([t_test(values) for values in known]))
    shown = {cell: difference(values, next(corrected)) if values else "" for cell, values in points.items()}
    lines = [row([f"minus `{base}`", *(task.title for task in tasks)]), row(["---"] * (len(tasks) + 1))]
    for label, arm in others.items():
        common = len(set(arms[arm]) & set(arms[base]))
        cells = []
        for task in tasks:
            number = len(points[label, task.name])
            some = f" ({number} of {common} seeds)" if 0 < number < common else ""
            cells.append(f"{shown[label, task.name]}{some}")
        lines.append(row([label, *cells]))
    return lines


def type_table(arms: dict[str, Figures], names: dict[str, str]) -> list[str]:
    """AUC per misalignment type of the test pairs."""
    kinds = sorted({task for a in names.values() for f in arms.get(a, {}).values() for task in f if "per_type" in task})
    lines = [row(["AUC by type", *(k.removeprefix("per_type.") for k in kinds)]), row(["---"] * (len(kinds) + 1))]
    for label, arm in names.items():
        if arm in arms:
            cells = [mean_and_spread([figures.get(kind) for figures in arms[arm].values()]) for kind in kinds]
            lines.append(row([label, *cells]))
    return lines


def weight_table(quality: dict[str, Any]) -> list[str]:
    """Per misalignment type: how well each scorer's weights find the right clips, and how large they are."""
    whose = list(next(iter(quality.values()), {}))
    if not whose:
        return []
    head = ["clips", "right", *(f"AUC, {who}" for who in whose), *(f"mean weight, {who}" for who in whose)]
    lines = [row(head), row(["---"] * len(head))]
    for kind in next(iter(quality.values()))[whose[0]]:
        entries = {who: [q[who][kind] for q in quality.values() if kind in q.get(who, {})] for who in whose}
        right = mean([100 * e["right"] / max(1, e["clips"]) for e in entries[whose[0]]])
        areas = [[100 * e["auc"] for e in entries[who] if e.get("auc") is not None] for who in whose]
        sizes = [[e["mean_weight"] for e in entries[who] if e["mean_weight"] is not None] for who in whose]
        cells = [f"{mean(v):.1f} ± {spread(v):.1f}" if v else "" for v in areas]
        cells += [f"{mean(v):.3f}" if v else "" for v in sizes]
        lines.append(row([kind, f"{right:.0f} %", *cells]))
    return [
        "The weights themselves: share of clips that show their own caption, ROC-AUC of the weight against it, mean",
        "weight.",
        "",
        *lines,
        "",
    ]


def paper_table(study: str) -> list[str]:
    """What the paper has for the same question, on its own tasks and at full size: compare orders, not values."""
    if study not in paper.STUDIES:
        return []
    source, rows = paper.STUDIES[study]
    names = [name for name, _ in paper.COLUMNS][: len(rows[0][1])]
    lines = [f"The paper's ({source}):", "", row(["", *names]), row(["---"] * (len(names) + 1))]
    return [*lines, *(row([label, *(f"{v:.2f}" for v in values)]) for label, values in rows), ""]


def render(results: dict[str, Any]) -> str:
    """The whole page; equal results give equal bytes."""
    every = without_nulls(results["arms"])
    recipe = f"--recipe {results['recipe']} " if results.get("recipe", "mini") != "mini" else ""
    parts = [
        "# Results over seeds",
        "",
        "Made by `synvita study report` from `results.json`; do not edit. Mean ± standard deviation over seeds, in",
        "percent (AUC, mAP, accuracy). Every seed draws scenes, captions, clips, LoRA's start and the data's order",
        "anew; the tiny checkpoints are the shipped ones. Differences are paired by seed: mean [95 % interval by",
        "Student's t], its p, and in brackets p corrected for all differences of the table (Holm). Studies share arms;",
        "a time is of those that the studies before it in DIR had not trained.",
        "",
    ]
    if "recipe" in results:
        parts += [f"Recipe: `{results['recipe']}`.", ""]
    if "note" in results:
        parts += [f"**{results['note']}**", ""]
    for name, rows in results["studies"].items():
        arms = on_common_seeds(list(dict.fromkeys((*rows.values(), *BASES[name]))), every)
        if not arms or name not in results["seconds"]:
            continue
        seconds = results["seconds"][name]
        minutes, seeds = sum(seconds.values()) / 60, f"--seeds {len(seconds)}"
        parts += [f"## {TITLES[name]}", ""]
        parts += [f"    synvita study {name} {recipe}{seeds} --run DIR        # {minutes:.0f} minutes of one core", ""]
        parts += [*figure_table(rows, arms), ""]
        for base in BASES[name]:
            if base in arms:
                parts += [*difference_table(rows, arms, base), ""]
        if name == "arms":
            parts += weight_table(results.get("weights", {}))
        if name in ("arms", "scorers", "misalignment", "bases"):
            parts += [*type_table(arms, rows), ""]
        if name in NOTES:
            parts += [NOTES[name], ""]
        parts += paper_table(name)
    if "table_6" in results:
        seconds = results["seconds"].get("table_6", {})
        parts += [*table_6.section(results["table_6"], seconds, recipe), *paper_table("table_6")]
    return "\n".join(parts).rstrip() + "\n"
