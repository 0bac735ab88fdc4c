"""`synvita study`: the miniature's experiment over seeds."""

from __future__ import annotations

import argparse
import sys

from synvita.cli.configuration import refuse
from synvita.cli.exits import left_out
from synvita.core.reading import read_json


def run_study(a: argparse.Namespace, flags: list[str]) -> int:
    from synvita import study
    from synvita.core.settings import build, override
    from synvita.core.store import write_atomic
    from synvita.recipes import RunConfig, recipe
    from synvita.report.study import render

    if a.out is not None and a.out.is_dir():
        raise ValueError(f"--out: {a.out} is a folder; give a file, e.g. {a.out / 'results.md'}")
    if a.name == "report":
        refuse(flags)
        if not [*a.run.glob("seed-*/figures/*.json"), *a.run.glob("seed-*/table_6/figures.json")]:
            raise ValueError(
                f"--run: {a.run} holds no figures of a study (seed-*/figures); run synvita study arms first"
            )
        found = study.collect(a.run)
    else:
        base = build(RunConfig, override(recipe(a.recipe).as_dict(), flags))
        found = study.run_study(a.run, a.name, a.seeds, a.workers, base, a.recipe)
    text = render(read_json(found))
    write_atomic(a.out or a.run / "results.md", text)
    sys.stdout.write(f"study: {found}, tables in {a.out or a.run / 'results.md'}\n")
    runs = [*a.run.glob("seed-*"), *(path.parent for path in a.run.glob("seed-*/*/config.yaml"))]
    return max((left_out(run, "study") for run in sorted(runs)), default=0)
