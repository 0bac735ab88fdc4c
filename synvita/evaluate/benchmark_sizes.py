"""How much of each benchmark a run has: from `benchmarks/<task>.json`, which `evaluate` writes beside the pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synvita.core.reading import read_json
from synvita.core.run_tasks import own_tasks
from synvita.core.vocabulary import BENCHMARKS


def benchmark_sizes(run: Path) -> dict[str, dict[str, Any]]:
    """Task -> {n, of, unit}; `of`: a whole copy, without what the authors' script leaves out."""
    found = {}
    for task in (*BENCHMARKS, *own_tasks(run)):
        path = run / "benchmarks" / f"{task.name}.json"
        if path.exists():
            stamp = read_json(path, ["n", "expected", "unit", "excluded"])
            whole = stamp["expected"] - len(stamp["excluded"])
            found[task.name] = {"n": stamp["n"], "of": whole, "unit": stamp["unit"]}
    return found


def say_sizes(run: Path, of_model: dict[str, Any]) -> None:
    """Put them into the figures of every arm: base model's folder -> arm -> figures."""
    for name, size in benchmark_sizes(run).items():
        for figures in (arm[name] for arms in of_model.values() for arm in arms.values() if name in arm):
            figures["benchmark"] = size
