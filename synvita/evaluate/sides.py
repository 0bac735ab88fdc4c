"""Whose scores are compared: the arms of run folders that were asked, and which of them with which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.reading import read_yaml
from synvita.core.vocabulary import BASELINE, IN_DISTRIBUTION, OPEN, UNTRAINED, check_names, find_task
from synvita.evaluate.pairs import Rows, read_pairs


@dataclass(frozen=True, eq=False)
class Side:
    """One arm of one base model in one run folder, with its pair files."""

    run: Path
    model: str
    arm: str
    seed: int
    pairs: dict[str, Rows]

    @property
    def folder(self) -> Path:
        return folder_of(self.run, self.model, self.arm, self.seed)


def folder_of(run: Path, model: str, arm: str, seed: int) -> Path:
    return run / "models" / model / "pairs" / arm / str(seed)


def sides_of(
    runs: Sequence[Path],
    arms: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    seed: int | None = None,
    tasks: Sequence[str] | None = None,
) -> list[Side]:
    """Every arm that was asked, in the order of the runs, then of the models, then of the configuration's arms.

    Raises:
        ValueError: no run folder; one that is given twice; an arm, a model or a task that no run has.
    """
    resolved = [run.resolve() for run in runs]
    twice = next((run for run, where in zip(runs, resolved, strict=True) if resolved.count(where) > 1), None)
    if twice is not None:
        raise ValueError(f"compare: {twice} is given twice; give a run once (its arms are compared with each other)")
    there = [(run, model, arm, number) for run in runs for model, arm, number in asked(run, seed)]
    if not there:
        of_seed = "" if seed is None else f" of seed {seed}"
        raise ValueError(f"compare: {', '.join(map(str, runs))}: no arm{of_seed} was asked; run synvita evaluate first")
    if models is not None:
        check_names(models, dict.fromkeys(model for _, model, _, _ in there), "--models")
        there = [one for model in models for one in there if one[1] == model]
    if arms is not None:
        check_names(arms, dict.fromkeys(arm for _, _, arm, _ in there), "--arms")
        there = [one for arm in arms for one in there if one[2] == arm]
    there.sort(key=lambda one: runs.index(one[0]))
    files = None if tasks is None else sorted({*map(file_of, tasks), *(extra for t in tasks for extra in more(t))})
    sides = [Side(*one, read_pairs(folder_of(*one), files)) for one in there]
    return [side for side in sides if side.pairs]


def asked(run: Path, seed: int | None) -> list[tuple[str, str, int]]:
    """(model, arm, seed) that have pair files."""
    if not (run / "config.yaml").exists():
        raise ValueError(f"compare: {run} is no run folder (no config.yaml)")
    train = read_yaml(run / "config.yaml").get("train") or {}
    number = seed if seed is not None else train.get("seed", 0)
    order = [UNTRAINED, *(train.get("arms") or {})]
    found = []
    for path in sorted(run.glob(f"models/*/pairs/*/{number}")):
        if any(path.glob("*.jsonl")):
            found.append((path.parent.parent.parent.name, path.parent.name, int(number)))
    return sorted(found, key=lambda one: (one[0], order.index(one[1]) if one[1] in order else len(order), one[1]))


def labels(sides: Sequence[Side]) -> dict[Side, str]:
    """As much of run, model and arm as tells them apart."""
    parts: list[Any] = [lambda s: str(s.run), lambda s: s.model, lambda s: s.arm]
    differing = [part for part in parts if len({part(side) for side in sides}) > 1] or parts[-1:]
    return {side: " ".join(part(side) for part in differing) for side in sides}


def against(sides: Sequence[Side], reference: str | None) -> tuple[list[tuple[Side, Side]], list[str]]:
    """(one, the one it is compared with), and notes on those that have nobody to be compared with.

    Of several runs, the same arm of each with the first run's; of one run with several base models, the same arm of
    each with the first model's; of one base model, each arm with `real_only` (else the first). `reference`: which run,
    model or arm takes that place.

    Raises:
        ValueError: a reference that is not there; nothing to compare.
    """
    runs = list(dict.fromkeys(str(side.run) for side in sides))
    models = list(dict.fromkeys(side.model for side in sides))
    if len(runs) > 1:
        one_each = all(len({s.model for s in sides if str(s.run) == run}) == 1 for run in runs)
        key = (lambda s: s.arm) if one_each else (lambda s: (s.model, s.arm))
        found, lonely = twins(sides, runs, lambda s: str(s.run), key, reference)
    elif len(models) > 1:
        found, lonely = twins(sides, models, lambda s: s.model, lambda s: s.arm, reference)
    else:
        arms = [side.arm for side in sides]
        first = first_of(arms, reference, BASELINE if BASELINE in arms else arms[0])
        base = next(side for side in sides if side.arm == first)
        found, lonely = [(side, base) for side in sides if side is not base], []
    if not found:
        text = ", ".join(labels(sides).values())
        raise ValueError(f"compare: nothing to compare ({text}); give another run, or --arms that both have")
    return found, [f"{side.folder} has no counterpart and is left out" for side in lonely]


def first_of(names: Sequence[str], reference: str | None, default: str) -> str:
    return default if reference is None else check_names([reference], names, "--reference")[0]


def twins(sides: Sequence[Side], groups: list[str], group: Any, key: Any, reference: str | None) -> Any:
    """Pairs of sides of one key, those of other groups with that of the first; and the sides in no pair."""
    first = first_of(groups, reference, groups[0])
    base = {key(side): side for side in sides if group(side) == first}
    others = [side for side in sides if group(side) != first]
    if len(base) == 1 and len(others) == len(groups) - 1:  # one arm each: whatever they are called
        only = next(iter(base.values()))
        return [(side, only) for side in others], []
    found = [(side, base[key(side)]) for side in others if key(side) in base]
    matched = {side for pair in found for side in pair}
    return found, [side for side in sides if side not in matched]


# ---- which files a figure needs


def file_of(task: str) -> str:
    """The pair file of a figure: `open` for those that are made of some of its pairs (types have dotted names)."""
    known = find_task(task)
    return OPEN if "." in task or (known is not None and known.part) else task


def more(task: str) -> list[str]:
    """Parts are made of the in-distribution test where a run has no open one."""
    return [IN_DISTRIBUTION] if file_of(task) == OPEN != task else []
