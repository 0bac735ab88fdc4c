"""What `synvita compare` computed, as one page in the report's style: it opens from a file and needs no network."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synvita.core.vocabulary import METRICS, arm_title, find_task
from synvita.report.comparison import Table, left_out, p_text, same_kind, size_of, tally
from synvita.report.dots import Scale
from synvita.report.page import environment, policy
from synvita.report.table import arm_table, percent, signed, signed_interval

SIGNS = ("better", "worse")  # the verdicts that have a colour; the others are in grey and in words
WIDE, NARROW = 5, 1  # points: an axis ends at a multiple of WIDE, or of NARROW where all differences are small


@dataclass(frozen=True)
class Axis(Scale):
    """Of the differences of one comparison, in points; 0 is on it. `zero`: where, in percent of the width."""

    @property
    def zero(self) -> float:
        return self.place(0.0)


@dataclass(frozen=True)
class TaskRow:
    """A task of a comparison. mark: (low, at, high) in percent of the axis' width; None: nothing to draw."""

    title: str
    measure: str
    difference: str
    interval: str
    by_class: str
    mark: tuple[float, float, float] | None
    of: str
    minus: str
    p: str
    p_holm: str
    size: str
    verdict: str
    sign: str


@dataclass(frozen=True)
class Shown:
    """One comparison. notes: what is left out."""

    of: str
    minus: str
    answer: str
    axis: Axis
    rows: list[TaskRow]
    notes: Sequence[str]


def comparison_page(computed: dict[str, Any]) -> str:
    """The HTML of `evaluate.compare.compare`'s result, with the paper's numbers if they were put beside."""
    titles = side_titles(computed["sides"])
    every = [shown(one, titles) for one in computed["comparisons"]]
    paper = computed.get("paper") or {}
    figures = {side["name"]: side["figures"] for side in computed["sides"]} | published(paper)
    tasks, rows = arm_table(figures)
    beside: list[Table] = [same_kind(paper)] if paper.get("same_kind") else []
    page: str = (
        environment()
        .get_template("comparison.html.j2")
        .render(
            answer=answer(every, computed["comparisons"]),
            comparisons=every,
            facts=facts(computed),
            notes=computed["notes"],
            tasks=tasks,
            rows=[row | {"title": titles.get(row["arm"], row["arm"]), "role": ""} for row in rows],
            tables=beside,
            made_by=shlex.join(["synvita", "compare", *dict.fromkeys(side["run"] for side in computed["sides"])]),
            policy=policy(),
        )
    )
    return page


def side_titles(sides: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Name of a side -> the same with the arm as people say it."""
    return {
        side["name"]: side["name"].removesuffix(side["arm"]) + arm_title(side["arm"])
        if side["name"].endswith(side["arm"])
        else side["name"]
        for side in sides
    }


def published(paper: dict[str, Any]) -> dict[str, Any]:
    """The paper's rows as figures, of tasks that are its own."""
    names = paper.get("same_task", {})
    return {
        f"paper, Table {row['table']}: {row['model']}": {
            task.name: {task.metric: row["values"][task.name]} for name in names if (task := find_task(name))
        }
        for row in (paper.get("rows", []) if names else [])
    }


# ---- in words


def answer(every: Sequence[Shown], comparisons: Sequence[dict[str, Any]]) -> str:
    """The page's first sentence: of one comparison its own, of several how the differences came out."""
    if len(every) == 1:
        return every[0].answer
    counts = tally([row for one in comparisons for row in one["tasks"]])
    differences = sum(counts.values())
    rest = differences - counts["better"] - counts["worse"]
    told = f"{differences} differences in {len(every)} comparisons"
    return f"{told}: {counts['better']} better, {counts['worse']} worse, {rest} cannot be told."


def sentence(of: str, minus: str, rows: Sequence[TaskRow]) -> str:
    """“B”, compared with “A”, is better on Open (+3.9); 4 of 5 tasks cannot be told."""
    parts = {sign: [f"{row.title} ({row.difference})" for row in rows if row.sign == sign] for sign in SIGNS}
    rest = len(rows) - sum(map(len, parts.values()))
    if not any(parts.values()):
        return f"No task tells “{of}” from “{minus}”."
    told = "; ".join(f"{sign} on {', '.join(some)}" for sign, some in parts.items() if some)
    others = f"; {rest} of {len(rows)} tasks cannot be told" if rest else ""
    return f"“{of}”, compared with “{minus}”, is {told}{others}."


def facts(computed: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, value): what was compared, and how."""
    runs = dict.fromkeys(side["run"] for side in computed["sides"])
    models = dict.fromkeys(side["model"] for side in computed["sides"])
    seeds = dict.fromkeys(str(side["seed"]) for side in computed["sides"])
    by_class = any("by_query" in row for one in computed["comparisons"] for row in one["tasks"])
    retrieval = " (of retrieval by video and by class, the larger p counts)" if by_class else ""
    rule = f"better or worse where p, corrected over a comparison's tasks (Holm), is below {1 - computed['level']:.2g}"
    draws = f"from {computed['draws']:,} bootstrap draws of whole videos, the same for both sides{retrieval}"
    method = f"{rule}; {100 * computed['level']:g} % intervals and p are {draws}"
    return [
        ("Runs" if len(runs) > 1 else "Run", ", ".join(runs)),
        ("Models" if len(models) > 1 else "Model", ", ".join(models)),
        ("Training seeds" if len(seeds) > 1 else "Training seed", ", ".join(seeds)),
        ("Verdicts", method),
    ]


# ---- one comparison


def shown(one: dict[str, Any], titles: dict[str, str]) -> Shown:
    axis = axis_of(one["tasks"])
    rows = [task_row(row, axis) for row in one["tasks"]]
    notes = [f"{row.title}: {text}" for row, entry in zip(rows, one["tasks"], strict=True) if (text := left_out(entry))]
    of, minus = titles[one["of"]], titles[one["minus"]]
    return Shown(of, minus, sentence(of, minus, rows), axis, rows, notes)


def axis_of(rows: Sequence[dict[str, Any]]) -> Axis:
    ends = [100 * row[key] for row in rows for key in ("low", "high", "difference") if row[key] is not None]
    lowest, highest = min([0.0, *ends]), max([0.0, *ends])
    step = WIDE if highest - lowest > WIDE else NARROW
    low, high = step * math.floor(round(lowest / step, 6)), step * math.ceil(round(highest / step, 6))
    return Axis(low, high) if low < high else Axis(-step, step)


def task_row(row: dict[str, Any], axis: Axis) -> TaskRow:
    task = find_task(row["task"])
    ends = [row["low"], row["difference"], row["high"]]
    mark = None if None in ends else (axis.place(ends[0]), axis.place(ends[1]), axis.place(ends[2]))
    each = row.get("by_query")
    by_class = f"{each['better']} up, {each['worse']} down of {row['queries']} classes" if each else ""
    return TaskRow(
        title=task.title if task else row["task"].removeprefix("per_type."),
        measure=METRICS[row["metric"]],
        difference=signed(row["difference"]),
        interval=signed_interval(row),
        by_class=f"{by_class} {signed_interval(each)}" if each else "",
        mark=mark,
        of=percent(row["of"]),
        minus=percent(row["minus"]),
        p=p_text(row["p"]),
        p_holm=p_text(row["p_holm"]),
        size=size_of(row),
        verdict=row["verdict"],
        sign=row["verdict"] if row["verdict"] in SIGNS else "",
    )
