"""The scorers themselves over seeds as Markdown tables (Table 6)."""

from __future__ import annotations

import textwrap
from typing import Any

from synvita.core.vocabulary import find_task
from synvita.report.seeds import difference, mean_and_spread, row

TITLE = "The scorers themselves (Table 6)"
Seeds = dict[str, dict[str, Any]]  # seed -> what `evaluate.scorers.scorer_figures` gives


def title(test: str) -> str:
    task = find_task(test)
    return task.title if task else test


def auc_table(seeds: Seeds, test: str) -> list[str]:
    """A row per scorer and group, a column for all pairs and per misalignment type."""
    every = [found["sets"].get(test, {}) for found in seeds.values()]
    groups = list(dict.fromkeys(who for one in every for who in one))
    kinds = list(dict.fromkeys(kind for one in every for figures in one.values() for kind in figures))
    lines = [row([f"{title(test)}, AUC", *kinds]), row(["---"] * (len(kinds) + 1))]
    for who in groups:
        entries = {kind: [one[who][kind] for one in every if kind in one.get(who, {})] for kind in kinds}
        lines.append(row([who, *(auc_cell(entries[kind]) for kind in kinds)]))
    return lines


def auc_cell(entries: list[dict[str, Any]]) -> str:
    if len(entries) == 1 and entries[0]["auc"] is not None:
        return f"{100 * entries[0]['auc']:.1f}{interval(entries[0], '.1f')}"
    return mean_and_spread([entry["auc"] for entry in entries])


def interval(entry: dict[str, Any], form: str) -> str:
    low, high = entry["low"], entry["high"]
    return "" if low is None or high is None else f" [{100 * low:{form}}, {100 * high:{form}}]"


def minus_table(seeds: Seeds) -> list[str]:
    """Is the mean of all better than each alone? Points of AUC."""
    differences = [found["mean_minus"] for found in seeds.values()]
    tests = list(dict.fromkeys(test for found in differences for test in found))
    names = list(dict.fromkeys(name for found in differences for of in found.values() for name in of))
    if not names:
        return []
    lines = [row(["the mean of all, minus", *map(title, tests)]), row(["---"] * (len(tests) + 1))]
    for name in names:
        entries = {test: [found[test][name] for found in differences if test in found] for test in tests}
        lines.append(row([name, *(minus_cell(entries[test]) for test in tests)]))
    return [*lines, ""]


def minus_cell(entries: list[dict[str, Any]]) -> str:
    known = [entry for entry in entries if entry["auc"] is not None]
    if not known:
        return ""
    if len(entries) == 1:
        return f"{100 * known[0]['auc']:+.1f}{interval(known[0], '+.1f')}"
    some = f" ({len(known)} of {len(entries)} seeds)" if len(known) < len(entries) else ""
    return difference([100 * entry["auc"] for entry in known]) + some


def pairs_line(seeds: Seeds, test: str) -> str:
    """How many pairs the figures are of, and how many they leave out."""
    entries = [next(iter(found["sets"][test].values()))["all"] for found in seeds.values() if test in found["sets"]]
    missing = sum(entry["missing"] for entry in entries)
    less = f"; {missing:,} of them lack a score of some scorer and are left out" if missing else ""
    over = f"{len(entries)} seeds" if len(entries) > 1 else "one seed"
    return f"{title(test)}: {sum(entry['expected'] for entry in entries):,} pairs over {over}{less}."


def section(seeds: Seeds, seconds: dict[str, float], recipe: str = "") -> list[str]:
    """Empty where the study was not run. `recipe`: the flag of its command."""
    if not seeds:
        return []
    tests = list(dict.fromkeys(test for found in seeds.values() for test in found["sets"]))
    quantities = {name: kind for found in seeds.values() for name, kind in found["quantities"].items()}
    apart = list(dict.fromkeys(who for found in seeds.values() for who in found["without_mean"]))
    told = ", ".join(f"the `{kind}` of {name}" for name, kind in quantities.items())
    one = "In brackets the 95 % interval over resampled videos."
    several = "Each seed's 95 % interval over resampled videos stands in `results.json`."
    minutes = sum(seconds.values()) / 60
    lines = [
        f"## {TITLE}",
        "",
        f"    synvita study table_6 {recipe}--seeds {len(seeds)} --run DIR        # {minutes:.0f} minutes of one core",
        "",
        "Real videos of the test triplets, each with its caption and its negative caption, scored as clips are: every",
        "scorer alone, the mean of every two, and of all. All are measured on the pairs that every scorer has scored.",
        *textwrap.wrap(f"A score is {told}.", 120),
        one if len(seeds) == 1 else several,
        *([f"No mean of two quantities: {'; '.join(apart)}."] if apart else []),
        *(pairs_line(seeds, test) for test in tests),
        "",
    ]
    for test in tests:
        lines += [*auc_table(seeds, test), ""]
    return [*lines, *minus_table(seeds)]
