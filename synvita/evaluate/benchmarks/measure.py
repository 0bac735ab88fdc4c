"""A benchmark by its name, or one's own table, with a file of scores -> its outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synvita.core.tables import READERS
from synvita.evaluate.benchmarks import own
from synvita.evaluate.benchmarks.outcome import Asked, outcome
from synvita.evaluate.benchmarks.registry import Copy, benchmark_of, load
from synvita.evaluate.benchmarks.scores import KNOB, join, read_scores
from synvita.evaluate.config import EvaluateConfig


def measure_scores(
    benchmark: str,
    metric: str | None,
    data: Path | None,
    scores: Path,
    column: str | None = None,
    allow_missing: bool = False,
    config: EvaluateConfig | None = None,
) -> dict[str, Any]:
    """The outcome (`outcome.outcome`) of a file of scores.

    Args:
        benchmark: a name of the registry, or the path of one's own table. metric: of the table. data: folder with the
            benchmark's files. column: of the scores, in a file with a header.
    Raises:
        ValueError: bad input, by file:line; a pair without a score, unless `allow_missing`.
    """
    asked = _asked(benchmark, metric, data, allow_missing)
    given = read_scores(scores, column)
    joined = join(asked.loaded.entries, given, asked.loaded.beside)
    if joined.missing and not allow_missing:
        number, first = len(joined.missing), joined.missing[0]
        which = f"{number} of {len(joined.rows)} pairs of {asked.name} have no score; the first: {first}"
        raise ValueError(f"{KNOB}: {scores}: {which}; score them, or --allow-missing")
    return outcome(asked, given, joined, config or EvaluateConfig())


def _asked(benchmark: str, metric: str | None, data: Path | None, allow_missing: bool) -> Asked:
    table = Path(benchmark)
    if table.suffix.lower() in READERS:
        if data is not None:
            raise ValueError("--data: one's own table needs none; leave it out")
        loaded = own.load_own(table, metric, allow_missing)
        kind, unit = own.KINDS[metric or ""]
        groups = kind not in ("entailment", "retrieval")
        expected = len(loaded.by_query()) if groups else len(loaded.entries)
        return Asked(table.stem, kind, metric or "", unit, expected, loaded)
    known = benchmark_of(benchmark)
    if metric is not None:
        raise ValueError(f"--metric: {benchmark} has its own ({known.task.metric}); leave it out")
    if data is None:
        raise ValueError(f"--data: give the folder with {', '.join(known.files)}")
    copy: Copy = load(known, data, allow_missing)
    task = known.task
    return Asked(known.name, task.kind, task.metric, known.unit, copy.expected, copy.loaded)
