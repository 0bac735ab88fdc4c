"""The page's first screen in words, made from the numbers: no result is written into the code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synvita.core.vocabulary import (
    BASELINE,
    BENCHMARKS,
    IN_DISTRIBUTION,
    OPEN,
    UNTRAINED,
    Task,
    arm_title,
    every_figure,
    find_task,
    tasks,
)
from synvita.report.table import (
    DASH,
    at,
    difference,
    figure,
    knows_truth,
    percent,
    sign_of,
    signed,
    signed_interval,
    too_few,
)

Arms = dict[str, Any]  # name -> what `results.json` has of it
TILES = ("unseen", OPEN, "temporal", IN_DISTRIBUTION)
CHANCE, NEAR_CHANCE = 0.5, 0.02  # AUC; an arm so near, or whose interval covers it, tells nothing apart


@dataclass(frozen=True)
class Tile:
    """One task: the best arm's figure, and its difference to the baseline with interval and sign."""

    title: str
    measure: str
    value: str
    difference: str
    interval: str
    sign: str
    baseline: str
    few: str


@dataclass(frozen=True)
class Verdict:
    """`best`: the arm that the tiles are about, empty if there is none. `worse`, `notes`: sentences."""

    answer: str
    best: str
    tiles: list[Tile]
    worse: str
    notes: list[str]


def verdict(arms: Arms) -> Verdict:
    """Do clips help on the main task, what does it cost, and what stands at chance whatever is done."""
    best = best_candidate(arms)
    notes = [text for text in (bias(arms), *at_chance(arms)) if text]
    return Verdict(answer(arms, best), best, tiles(arms, best), what_got_worse(arms), notes)


def main_task(arms: Arms) -> Task | None:
    """Open where the run has it, else the first test of pairs, else the first of all: of benchmarks in their order."""
    order = sorted(tasks(), key=lambda task: (task.kind != "entailment", task.name != OPEN))
    return next((t for t in order if any(figure(a, t) is not None for a in arms.values())), None)


def with_clips(name: str, arm: dict[str, Any]) -> bool:
    """Whether it was trained with synthetic clips, and without being told which are right."""
    source = arm.get("weights_from", "")
    untrained = name in (BASELINE, UNTRAINED) or source.startswith(("none", "nothing trained"))
    return not untrained and not knows_truth(name, arm)


def candidates(arms: Arms) -> dict[str, dict[str, Any]]:
    """Arm with clips -> its difference to the baseline on the main task, where it has one."""
    task = main_task(arms)
    every = {name: difference(arm, task) for name, arm in arms.items() if with_clips(name, arm)} if task else {}
    return {name: versus for name, versus in every.items() if versus}


def best_candidate(arms: Arms) -> str:
    """The one with the largest difference; empty if there is none."""
    task, every = main_task(arms), candidates(arms)
    return max(every, key=lambda name: every[name][task.metric]) if task and every else ""


def quoted(name: str) -> str:
    return f"“{arm_title(name)}”"


def points(versus: dict[str, Any], metric: str = "auc") -> str:
    """+4.7 points [+3.8, +5.7]"""
    return f"{signed(versus[metric])} points {signed_interval(versus)}".rstrip()


def answer(arms: Arms, best: str) -> str:
    task = main_task(arms)
    if task is None:
        return "This run has no figures yet."
    where = f"on {task.test}"
    if not best:
        lacks = "trained on captions only" if BASELINE not in arms else "trained with synthetic clips"
        return f"Nothing to compare yet: this run has no arm {lacks} that was asked {where}."
    every = candidates(arms)
    versus, few = every[best], too_few(arms[best], task)
    told = f"{quoted(best)} against {quoted(BASELINE)} {points(versus, task.metric)}"
    if few:
        return f"Too few to tell: {few} {where} ({told})."
    signs = {name: sign_of(one) for name, one in every.items()}
    better = [name for name, sign in signs.items() if sign == "better"]
    if better:
        share = "" if len(better) == len(every) else f", with {len(better)} of {len(every)} ways of using them"
        gain = f"{quoted(best)} beats {quoted(BASELINE)} by {signed(versus[task.metric])[1:]} points {where}"
        return f"Yes{share}: {gain}{cost(arms[best], task)}."
    if "worse" in signs.values():
        return f"No: no way of using the clips is better than captions only {where} (at most {told})."
    return f"Cannot tell: no way of using the clips differs from captions only {where} (at most {told})."


def cost(arm: dict[str, Any], main: Task) -> str:
    """What the best arm pays in distribution."""
    task = find_task(IN_DISTRIBUTION)
    versus = difference(arm, task) if task and task != main else None
    if versus is None:
        return ""
    plain = signed(versus["auc"])
    if sign_of(versus) == "worse":
        return f"; it costs {plain.lstrip('-')} points in distribution"
    gains = sign_of(versus) == "better"
    return f"; in distribution it {'gains' if gains else 'loses nothing that can be measured'} ({plain})"


def tiles(arms: Arms, best: str) -> list[Tile]:
    named = [task for name in TILES if (task := find_task(name))]
    known = [task for task in (*named, *BENCHMARKS) if best and figure(arms[best], task) is not None]
    found = []
    for task in known:
        versus, few = difference(arms[best], task) or {}, too_few(arms[best], task)
        found.append(
            Tile(
                title=task.title,
                measure=task.measure,
                value=percent(figure(arms[best], task)),
                difference=signed(versus[task.metric]) if versus else DASH,
                interval=signed_interval(versus),
                sign=sign_of(versus),
                baseline=percent(figure(arms.get(BASELINE, {}), task)),
                few=f"only {few}" if few else "",
            )
        )
    return found


def what_got_worse(arms: Arms) -> str:
    """One line: every figure in which an arm with clips is worse than the baseline. Empty if none was compared.

    Without intervals, which the table has: the line is short enough to be read.
    """
    losses, compared = [], 0
    named = {name: arm for name, arm in arms.items() if with_clips(name, arm)}
    for task in every_figure():
        of_task = []
        for name, arm in named.items():
            versus = difference(arm, task)
            compared += versus is not None and bool(signed_interval(versus))
            if versus and sign_of(versus) == "worse":
                of_task.append(f"{signed(versus[task.metric])} with {quoted(name)}")
        losses += [f"{task.spoken} {', '.join(of_task)}"] if of_task else []
    if losses:
        return f"What got worse than captions only, in points: {'; '.join(losses)}."
    return f"Nothing got worse than captions only, in {compared} comparisons." if compared else ""


def bias(arms: Arms) -> str:
    """Captions alone against the untrained model on concepts that training had only in wrong captions."""
    task = find_task("unseen")
    versus = difference(arms.get(UNTRAINED, {}), task) if task else None
    if versus is None or sign_of(versus) != "better":
        return ""
    low, high = -versus["high"], -versus["low"]
    fall = f"{signed(-versus['auc'])} points [{signed(low)}, {signed(high)}]"
    return f"Trained on captions only, the model is worse on unseen concepts than untrained: {fall}."


def at_chance(arms: Arms) -> list[str]:
    """Types of pairs, and questions, that no arm tells apart."""
    kinds = list(dict.fromkeys(kind for arm in arms.values() for kind in (at(arm, "per_type") or {})))
    found = []
    for kind in kinds:
        entries = [e for arm in arms.values() if (e := at(arm, f"per_type.{kind}")) and e.get("auc") is not None]
        if entries and all(near(entry["auc"], entry, CHANCE) for entry in entries):
            values = [entry["auc"] for entry in entries]
            span = f"AUC {percent(min(values))} to {percent(max(values))}"
            found.append(
                f"Pairs of the type {kind} stand at chance in every arm ({span}): no training told them apart."
            )
    return found + [text for task in tasks("questions") if (text := guessed(arms, task))]


def guessed(arms: Arms, task: Task) -> str:
    """Empty unless every arm answers these questions no better than guessing does."""
    answers = [e for arm in arms.values() if (e := at(arm, task.name)) and e.get("accuracy") is not None]
    if not answers or not all(e.get("questions") and e.get("expected") for e in answers):
        return ""
    guess = (answers[0]["questions"] + answers[0].get("questions_dropped", 0)) / answers[0]["expected"]
    if not all(near(entry["accuracy"], entry, guess) for entry in answers):
        return ""
    whose = f"Questions of {task.title}" if task in BENCHMARKS else "Questions"
    return f"{whose} stand at chance in every arm (guessing gives {percent(guess)} %)."


def near(value: float, entry: dict[str, Any], chance: float) -> bool:
    low, high = entry.get("low"), entry.get("high")
    return abs(value - chance) < NEAR_CHANCE or (low is not None and high is not None and low <= chance <= high)
