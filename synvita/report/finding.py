"""The page's first sentence, made from the numbers: no result is written into the code."""

from __future__ import annotations

from typing import Any

from synvita.core.vocabulary import BASELINE, IN_DISTRIBUTION, METHOD, OPEN, ORACLE_ARM, UNTRAINED, Task, find_task
from synvita.report.table import difference, figure, percent, sign_of, signed, signed_interval


def knows_truth(name: str, arm: dict[str, Any]) -> bool:
    """Its weights come from the simulator's truth: a ceiling and not a candidate."""
    return name == ORACLE_ARM or "world_truth" in arm.get("weights_from", "")


def finding(arms: dict[str, Any]) -> str:
    """Which arm is best, does it beat real videos alone, and do those help on concepts that training did not have."""
    parts = [best_arm(arms), method_beside_baseline(arms), baseline_on_unseen(arms)]
    text = "; ".join(part for part in parts if part)
    return f"{text[0].upper()}{text[1:]}." if text else "This run has no entailment figures yet."


def main_task(arms: dict[str, Any]) -> Task | None:
    """Open where the run has it, else in-distribution."""
    known = [task for name in (OPEN, IN_DISTRIBUTION) if (task := find_task(name))]
    return next((t for t in known if any(figure(a, t) is not None for a in arms.values())), None)


def best(arms: dict[str, Any], task: Task) -> str | None:
    """The arm with the highest AUC, of those that do not know the truth."""
    known = {n: v for n, a in arms.items() if not knows_truth(n, a) and (v := figure(a, task)) is not None}
    return max(known, key=lambda name: known[name]) if known else None


def best_arm(arms: dict[str, Any]) -> str:
    task = main_task(arms)
    name = best(arms, task) if task else None
    if task is None or name is None:
        return ""
    text = f"on the {task.title.lower()} test, {name} has the highest AUC ({percent(figure(arms[name], task))} %)"
    if name == BASELINE:
        candidates = {n: a for n, a in arms.items() if n != BASELINE and not knows_truth(n, a)}
        rest = {n: difference(a, task.name) for n, a in candidates.items()}
        level = [n for n, d in rest.items() if d and signed_interval(d) and not sign_of(d)]
        return text + (f", with no difference to {', '.join(level)}" if level else "")
    versus = difference(arms[name], task.name)
    return text + (f"; {compare(name, BASELINE, versus)}" if versus else "")


def compare(arm: str, other: str, versus: dict[str, Any]) -> str:
    """`versus` = `arm` minus `other`, in words; "no difference" where its interval covers 0."""
    if not signed_interval(versus):
        return f"{arm} minus {other} is {signed(versus['auc'])} points, without an interval"
    numbers = f"{signed(versus['auc'])} points {signed_interval(versus)}"
    words = {"better": "better than", "worse": "worse than"}
    sign = words.get(sign_of(versus))
    return f"{arm} is {sign} {other} ({numbers})" if sign else f"no difference between {arm} and {other} ({numbers})"


def flipped(versus: dict[str, Any]) -> dict[str, Any]:
    """The same difference seen from the other arm."""
    low, high = versus.get("low"), versus.get("high")
    interval = {} if low is None or high is None else {"low": -high, "high": -low}
    return {"auc": -versus["auc"], **interval}


def method_beside_baseline(arms: dict[str, Any]) -> str:
    task = main_task(arms)
    if task is None or METHOD not in arms or best(arms, task) == METHOD:
        return ""
    versus = difference(arms[METHOD], task.name)
    return f"there, {compare(METHOD, BASELINE, versus)}" if versus else ""


def baseline_on_unseen(arms: dict[str, Any]) -> str:
    versus = difference(arms.get(UNTRAINED, {}), "unseen")
    return f"on unseen concepts, {compare(BASELINE, UNTRAINED, flipped(versus))}" if versus else ""
