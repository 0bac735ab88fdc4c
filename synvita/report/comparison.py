"""What `synvita compare` computed, as tables for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from synvita.core.run_tasks import with_own
from synvita.core.vocabulary import METRICS, find_task, main_figures
from synvita.report.paper import COLUMNS, ROWS, TITLE
from synvita.report.table import at, figure, gaps, interval, percent, signed, signed_interval

# The paper's benchmarks as tasks of the house -> the column of its tables.
PAPER_TASKS = {
    "videocon_llm": "LLM",
    "videocon_human": "Human",
    "videocon_human_hard": "Human-Hard",
    "ssv2_temporal": "SSv2-Temporal",
    "ssv2_events": "SSv2-Events",
    "atp_hard": "ATP-Hard",
}


@dataclass(frozen=True)
class Table:
    """The first column is text, the others are numbers. notes: below it, a line each."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)


def paper_beside(measured: Sequence[str]) -> dict[str, Any]:
    """The paper's published numbers (as fractions) of tasks that are measured; empty where none is one of the paper's.

    Returns:
        {"source", "same_task", "same_kind": task -> the paper's column, "rows": [{"table", "model", "arm", "values"}]}.
        `same_kind`: the task asks the same kind of question of other videos, so its numbers are not comparable.
    """
    same_task = {name: column for name, column in PAPER_TASKS.items() if name in measured}
    same_kind = {name: column for column, name in COLUMNS if name in measured}
    if not same_task and not same_kind:
        return {}
    columns = [column for column, _ in COLUMNS]
    rows = []
    for row in ROWS:
        published = dict(zip(columns, row.values, strict=True))
        values = {name: round(published[column] / 100, 6) for name, column in (same_task | same_kind).items()}
        rows.append({"table": row.table, "model": row.model, "arm": row.arm, "values": values})
    return {"source": TITLE, "same_task": same_task, "same_kind": same_kind, "rows": rows}


# ---- tables


def tables(found: dict[str, Any]) -> list[Table]:
    """Figures, the paper's beside them if they were asked for, and a table per comparison."""
    paper = found.get("paper") or {}
    done = [figures(found, paper)]
    if paper.get("same_kind"):
        done.append(same_kind(paper))
    return done + [comparison(one, found) for one in found["comparisons"]]


def column_of(name: str) -> str:
    task = find_task(name)
    return task.column if task else name.removeprefix("per_type.")


def figures(found: dict[str, Any], paper: dict[str, Any]) -> Table:
    arms = {side["name"]: side["figures"] for side in found["sides"]}
    tasks = [task for task in with_own(main_figures(), arms) if any(at(arm, task.name) for arm in arms.values())]
    rows, notes = [], []
    for name, arm in arms.items():
        cells = [f"{percent(figure(arm, task))} {interval(at(arm, task.name) or {})}".rstrip() for task in tasks]
        rows.append([name, *cells])
        notes += [f"{name}, {task.column}: {text}" for task in tasks if (text := gaps(arm, task))]
    if paper.get("same_task"):
        for row in paper["rows"]:
            values = [published(row, task.name) if task.name in paper["same_task"] else "" for task in tasks]
            rows.append([f"paper, Table {row['table']}: {row['model']}", *values])
        notes.append(f"paper: {paper['source']}")
    level = f"{100 * found['level']:g} %"
    header = ["", *(f"{task.column} {task.measure}" for task in tasks)]
    return Table(f"Figures in percent with {level} intervals, each of all its own pairs", header, rows, notes)


def published(row: dict[str, Any], task: str) -> str:
    """Percent with the two decimals that the paper prints."""
    return f"{100 * row['values'][task]:.2f}"


def same_kind(paper: dict[str, Any]) -> Table:
    header = ["", *(f"{column} ({column_of(name)})" for name, column in paper["same_kind"].items())]
    rows = [
        [
            f"Table {row['table']}: {row['model']} ({row['arm']})",
            *(published(row, name) for name in paper["same_kind"]),
        ]
        for row in paper["rows"]
    ]
    note = "other videos than this run's: only the order of the rows can be compared, not the numbers"
    return Table("The paper's numbers for the same kind of question", header, rows, [note, paper["source"]])


def comparison(one: dict[str, Any], found: dict[str, Any]) -> Table:
    header = ["task", "figure", one["of"], one["minus"], "difference", "p", "p (Holm)", "pairs", "verdict"]
    rows: list[list[str]] = []
    notes: list[str] = []
    for row in one["tasks"]:
        rows += task_rows(row)
        if text := left_out(row):
            notes.append(f"{column_of(row['task'])}: {text}")
    judged = sum(row["p_holm"] is not None for row in one["tasks"])
    words = ", ".join(f"{number} {name}" for name, number in tally(one["tasks"]).items())
    draws = f"p from {found['draws']} bootstrap draws of whole videos, the same for both"
    by_class = " (retrieval: the larger of by video and by class)" if any("by_query" in r for r in one["tasks"]) else ""
    rule = f"verdict where p corrected for {judged} tasks (Holm) is below {1 - found['level']:.2g}; {draws}{by_class}"
    rule = rule if judged else f"no task has enough pairs for a verdict; {draws}"
    return Table(f"{one['of']} minus {one['minus']}: {words}", header, rows, [*notes, rule])


def tally(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in ("better", "worse"):
        found[name] = sum(row["verdict"] == name for row in rows)
    for row in rows:
        if row["verdict"] not in ("better", "worse"):
            found[row["verdict"]] = found.get(row["verdict"], 0) + 1
    return found


def task_rows(row: dict[str, Any]) -> list[list[str]]:
    difference = f"{signed(row['difference'])} {signed_interval(row)}".rstrip()
    cells = [column_of(row["task"]), METRICS[row["metric"]], percent(row["of"]), percent(row["minus"]), difference]
    rows = [[*cells, p_text(row["p"]), p_text(row["p_holm"]), size_of(row).removesuffix(" pairs"), row["verdict"]]]
    each = row.get("by_query")
    if each:
        count = f"{each['better']} up, {each['worse']} down of {row['queries']} classes"
        rows.append(["  by class", "", "", "", signed_interval(each), p_text(each["p"]), "", "", count])
    return rows


def size_of(row: dict[str, Any]) -> str:
    """What the figure is a mean of: questions, groups of minimal pairs, else pairs."""
    unit = next((unit for unit in ("questions", "groups") if unit in row), "pairs")
    return f"{row[unit]:,} {unit}"


def p_text(p: float | None) -> str:
    return "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def left_out(row: dict[str, Any]) -> str:
    """What is not in a difference; empty where it has all pairs of both."""
    words = {
        "only_of": "pairs only the first was asked",
        "only_minus": "pairs only the second was asked",
        "without_score": "pairs without a score",
        "of_cut_questions": "pairs of questions that lack an option",
    }
    parts = [f"{row[key]} {text}" for key, text in words.items() if row.get(key)]
    reason = [row["why"]] if row.get("why") else []
    return "; ".join([*reason, f"left out: {', '.join(parts)}"] if parts else reason)


# ---- as text


def as_text(every: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """For the terminal: columns of one width each."""
    blocks = []
    for table in every:
        widths = [max(len(line[at]) for line in (table.header, *table.rows)) for at in range(len(table.header))]
        lines = [table.title]
        for line in (table.header, *table.rows):
            cells = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
            lines.append("  ".join(cells).rstrip())
        blocks.append("\n".join([*lines, *(f"  {note}" for note in table.notes)]))
    return "\n\n".join([*blocks, *(f"note: {note}" for note in notes)])


def as_markdown(every: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """Names are not markup: what Markdown would read as such is escaped."""
    blocks = ["# Comparison"]
    for table in every:
        lines = [
            "| " + " | ".join(map(escaped, table.header)) + " |",
            "|" + " --- |" * len(table.header),
            *("| " + " | ".join(map(escaped, row)) + " |" for row in table.rows),
        ]
        blocks += [f"## {escaped(table.title)}", "\n".join(lines), *(f"- {escaped(note)}" for note in table.notes)]
    return "\n\n".join([*blocks, *(f"Note: {escaped(note)}" for note in notes)]) + "\n"


def escaped(text: str) -> str:
    for letter in "\\|*_`<":
        text = text.replace(letter, f"\\{letter}")
    return " ".join(text.split())
