"""Arms, base models and run folders side by side, on the pairs that both have scored: `synvita compare`.

A pure function of the pair files (`models/<model>/pairs/<arm>/<seed>/<task>.jsonl`); nothing is asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synvita.core.holm import holm
from synvita.core.identity import Digests
from synvita.core.progress import progress
from synvita.core.run_tasks import find_task_of, own_tasks
from synvita.core.vocabulary import main_figures
from synvita.evaluate.config import EvaluateConfig
from synvita.evaluate.difference import join, measure_of
from synvita.evaluate.pairs import Rows, subsets
from synvita.evaluate.results import arm_results
from synvita.evaluate.sides import Side, against, labels, sides_of
from synvita.evaluate.significance import BETTER, CANNOT_TELL, WORSE, verdict

TOO_FEW_PAIRS, TOO_FEW_VIDEOS, NO_FIGURE = "too few pairs", "too few videos", "no figure"
# Of questions: questions; of minimal pairs: groups. With fewer an interval is shown and no verdict given.
LEAST_PAIRS = 50
LEAST_VIDEOS = 20  # what is drawn; the bootstrap of a handful is far too sure
VERDICTS = (BETTER, WORSE, CANNOT_TELL, TOO_FEW_PAIRS, TOO_FEW_VIDEOS, NO_FIGURE)
DRAWS = 2000  # the smallest p is 2 / (draws + 1); corrected for ten tasks that is 0.01


@dataclass(frozen=True)
class Question:
    """What is compared. arms, models, tasks: these only. reference: the arm, model or run that others are compared
    with. seed: of training; default: of each run's configuration."""

    arms: Sequence[str] | None = None
    models: Sequence[str] | None = None
    tasks: Sequence[str] | None = None
    reference: str | None = None
    seed: int | None = None
    measure: EvaluateConfig = field(default_factory=lambda: EvaluateConfig(draws=DRAWS))


def compare(runs: Sequence[Path], question: Question = Question()) -> dict[str, Any]:
    """Every figure with its interval, and every difference with its interval, p and verdict; fractions.

    Returns:
        {"level", "draws", "sides": [{"name", "run", "model", "arm", "seed", "figures"}], "comparisons": [{"of",
        "minus", "tasks": [...]}], "notes"}; `figures` as in results.json, null where there is none.
    Raises:
        ValueError: no run folder, nothing to compare, nothing that two of them share; a bad row, as file:line; two
            pair files that disagree about what is right.
    """
    sides = sides_of(runs, question.arms, question.models, question.seed, question.tasks)
    pairs, notes = against(sides, question.reference)
    names = labels(sides)
    same, more = identities(sides)
    done: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []
    with progress("compare", len(pairs) + len(sides)) as tick:
        for of, minus in pairs:
            done.append({"of": names[of], "minus": names[minus], "tasks": differences(of, minus, same, question)})
            tick()
        compared: list[dict[str, Any]] = [row for one in done for row in one["tasks"]]
        if not any(row["pairs"] for row in compared):
            raise ValueError(nothing_shared(pairs, compared))
        for side in sides:
            told.append(side_told(side, names[side], question))
            tick()
    settings = {"level": question.measure.level, "draws": question.measure.draws, "correction": "holm"}
    return {**settings, "sides": told, "comparisons": done, "notes": notes + more}


def side_told(side: Side, name: str, question: Question) -> dict[str, Any]:
    found = {"name": name, "run": str(side.run), "model": side.model, "arm": side.arm, "seed": side.seed}
    figures = arm_results(side.pairs, question.measure, own_tasks(side.run))
    return found | {"figures": only_these(figures, question.tasks)}


def nothing_shared(pairs: Sequence[tuple[Side, Side]], compared: Sequence[dict[str, Any]]) -> str:
    of, minus = pairs[0]
    if any(row.get("without_score") for row in compared):
        return f"compare: no pair has a score in both {of.folder} and {minus.folder}; run synvita evaluate again"
    return (
        f"compare: {of.folder} and {minus.folder} share no pair of video and caption; compare runs that were asked "
        "the same test videos"
    )


# ---- two sides


def differences(of: Side, minus: Side, same: Same, question: Question) -> list[dict[str, Any]]:
    """A row per task that both have, with the verdict; p corrected over those rows that get one."""
    mine, theirs = parts(of.pairs, question.tasks), parts(minus.pairs, question.tasks)
    rows = []
    for name in (name for name in mine if name in theirs):
        task, other = (find_task_of(side.run, name) for side in (of, minus))
        kind = task.kind if task else "entailment" if "." in name else "unknown"  # a misalignment type has no column
        row = {"task": name, "metric": task.metric if task else "auc"}
        measure = measure_of(kind, task)
        if task != other or measure is None:
            apart = "the runs measure it by different figures" if task != other else ""
            why = apart or f"figures of kind {kind!r} are not compared"
            rows.append({**row, **EMPTY, "why": why, "pairs": 0, "videos": 0})
            continue
        try:
            both, told = join(same(of, mine[name]), same(minus, theirs[name]), kind)
        except ValueError as error:
            raise ValueError(f"{name}: {of.folder} and {minus.folder} disagree: {error}; ask one again") from None
        found = measure(both, question.measure.draws, question.measure.level) if both else EMPTY
        rows.append({**row, **found, **told, "videos": len({one["video"] for one, _ in both})})
    judge(rows, question.measure.level)
    return rows


EMPTY = {name: None for name in ("of", "minus", "difference", "low", "high", "p")} | {"why": "no shared pairs"}


def judge(rows: Sequence[dict[str, Any]], level: float) -> None:
    """`p_holm` and `verdict` of each row."""
    for row in rows:
        row["p_holm"], row["verdict"] = None, reason_for_none(row)
    judged = [row for row in rows if row["verdict"] is None]
    for row, p in zip(judged, holm([row["p"] for row in judged]), strict=True):
        row["p_holm"], row["verdict"] = p, verdict(row["difference"], p, level)


def reason_for_none(row: dict[str, Any]) -> str | None:
    """Why a row gets no verdict."""
    if row["difference"] is None:
        return NO_FIGURE
    if row.get("questions", row.get("groups", row["pairs"])) < LEAST_PAIRS:
        return TOO_FEW_PAIRS
    if row["videos"] < LEAST_VIDEOS:
        return TOO_FEW_VIDEOS
    return CANNOT_TELL if row["p"] is None else None


def parts(pairs: dict[str, Rows], only: Sequence[str] | None) -> dict[str, Rows]:
    """Figure -> its pairs, in the order of the columns; single misalignment types only if they are asked for."""
    every = {**pairs, **subsets(pairs)}
    known = [task.name for task in main_figures()]
    names = [name for name in known if name in every] + [name for name in every if name not in known]
    if only is None:
        return {name: every[name] for name in names if "." not in name}
    return {name: every[name] for name in names if name in only}


def only_these(figures: dict[str, Any], tasks: Sequence[str] | None) -> dict[str, Any]:
    """Figures of some tasks (default: all); a misalignment type's is `per_type.TYPE`."""
    if tasks is None:
        return figures
    found = {name: entry for name, entry in figures.items() if name in tasks}
    types = {kind: entry for kind, entry in figures.get("per_type", {}).items() if f"per_type.{kind}" in tasks}
    return found | ({"per_type": types} if types else {})


# ---- the same video in two folders

Same = Callable[[Side, Rows], Rows]


def identities(sides: Sequence[Side]) -> tuple[Same, list[str]]:
    """What gives the same text to `video` wherever the file is the same, and notes.

    In one run folder that is its name. In several it is the digest of its bytes: another world has other videos behind
    the same names. Where a video is not at hand, names have to do, and a note says so.
    """
    runs = {side.run for side in sides}
    if len(runs) == 1:
        return lambda side, rows: rows, []
    known: dict[Path, dict[str, str]] = {}
    for run in runs:
        files = {row["video"] for side in sides if side.run == run for rows in side.pairs.values() for row in rows}
        lacking = next((file for file in sorted(files) if not (run / file).is_file()), None)
        if lacking is not None:
            note = f"{run / lacking} is not there: videos of these runs are taken for the same where their names are"
            return lambda side, rows: rows, [note]
        known[run] = digests_of(run, files)
    return lambda side, rows: [row | {"video": known[side.run][row["video"]]} for row in rows], []


def digests_of(run: Path, files: Iterable[str]) -> dict[str, str]:
    digests = Digests(run)
    found = {file: digests.of(file) for file in sorted(files)}
    with contextlib.suppress(OSError):  # somebody else's folder, to read only: they are computed again next time
        digests.save()
    return found
