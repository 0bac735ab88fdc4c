"""`Run.compare`: what `synvita compare` computes, and the files it writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synvita.core import arguments
from synvita.core.records import Misalignment
from synvita.core.run_tasks import own_tasks
from synvita.core.store import write_atomic
from synvita.core.vocabulary import check_names, every_figure
from synvita.evaluate.compare import DRAWS, Question, compare
from synvita.evaluate.config import EvaluateConfig
from synvita.report.comparison import as_markdown, paper_beside, tables
from synvita.report.comparison_page import comparison_page

ENDINGS = (".html", ".json", ".md")


def question(
    runs: Sequence[Path],
    arms: Any = None,
    models: Any = None,
    tasks: Any = None,
    reference: Any = None,
    seed: Any = None,
    draws: Any = None,
) -> Question:
    """What is compared, from a flag's or an argument's values; None: all, or the default."""
    every = [*every_figure(), *(task for run in runs for task in own_tasks(run))]
    known = dict.fromkeys([*(task.name for task in every), *(f"per_type.{kind}" for kind in Misalignment)])
    chosen = arguments.names("tasks", tasks)
    return Question(
        arms=arguments.names("arms", arms),
        models=arguments.names("models", models),
        tasks=None if chosen is None else check_names(chosen, known, "--tasks"),
        reference=None if reference is None else arguments.text("reference", reference, "a run, a model or an arm"),
        seed=None if seed is None else arguments.whole("seed", seed, least=0),
        measure=EvaluateConfig(draws=DRAWS if draws is None else arguments.whole("draws", draws)),
    )


def compare_runs(runs: Sequence[Path], asked: Question, paper: bool = False, out: Path | None = None) -> dict[str, Any]:
    """Arms, base models or run folders side by side.

    Args:
        paper: put the paper's published numbers beside, under "paper".
        out: also written there, as a page, tables or figures, by its ending.
    Raises:
        ValueError: another ending; as `evaluate.compare.compare`.
    """
    if out is not None and out.suffix not in ENDINGS:
        raise ValueError(f"--out: {out}: give a file that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    computed = compare(runs, asked)
    if paper:
        computed["paper"] = paper_beside([row["task"] for one in computed["comparisons"] for row in one["tasks"]])
        if not computed["paper"]:
            computed["notes"].append("--against paper: none of these tasks is one of the paper's")
    if out is not None:
        write_atomic(out, as_file(out.suffix, computed))
    return computed


def as_file(ending: str, computed: dict[str, Any]) -> str:
    if ending == ".html":
        return comparison_page(computed)
    return (
        as_markdown(tables(computed), computed["notes"]) if ending == ".md" else json.dumps(computed, indent=1) + "\n"
    )
