"""The public benchmarks that are known: what each counts, whose it is, and where its files and videos come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from synvita.core.vocabulary import METRICS, Task, check_names, find_task
from synvita.evaluate.benchmarks import minimal_pairs, six
from synvita.evaluate.benchmarks.table import KNOB, Loaded, check_answerable

NOT_STATED = "not stated where we could read"


@dataclass(frozen=True)
class Benchmark:
    """A benchmark of `core.vocabulary.BENCHMARKS`.

    read: folder -> its pairs. sizes: how many of `unit` a whole copy has; several where several forms are public.
    shape: queries and videos per query of a retrieval set. about: the size is not published exactly, so another one
    is a warning. says: what its text about itself leaves to know. license: of the tables, as their publisher states.
    """

    name: str
    read: Callable[[Path], Loaded]
    unit: str
    sizes: tuple[int, ...]
    files: tuple[str, ...]
    license: str
    source: str
    videos: str
    shape: tuple[int, int] | None = None
    positives: int = 0
    about: bool = False

    @property
    def task(self) -> Task:
        task = find_task(self.name)
        assert task is not None
        return task

    @property
    def metric(self) -> str:
        return METRICS[self.task.metric]

    def count(self, loaded: Loaded) -> int:
        """How many of its units a copy has; questions that are left out on purpose are there, too."""
        if self.task.kind in ("entailment", "retrieval"):
            return len(loaded.entries)
        return len({entry.row["query"] for entry in loaded.entries}) + len(loaded.excluded)

    def expected(self, count: int) -> int:
        """The size of the smallest public form that has so many."""
        return next((size for size in self.sizes if count <= size), self.sizes[-1])


VIDEOCON = "VideoCon (hritikbansal/videocon on GitHub; videocon/videocon on Hugging Face)"
SSV2 = "Something-Something v2 (Qualcomm; register there)"
MIT = "MIT (tables)"

BENCHMARKS = (
    Benchmark("videocon_llm", six.videocon_llm, "pairs", (27_000,), ("videocon_llm_entailment.csv",), MIT, VIDEOCON,
              "MSR-VTT, VATEX, TEMPO (DiDeMo), each from its own project", about=True),
    Benchmark("videocon_human", six.videocon_human, "pairs", (570, 1140), ("videocon_human.csv",), MIT, VIDEOCON,
              "ActivityNet, validation; the column video_url"),
    Benchmark("videocon_human_hard", six.videocon_human_hard, "pairs", (290, 580), ("videocon_human.csv",), MIT,
              VIDEOCON, "as videocon_human; its rows marked hard"),
    Benchmark("ssv2_temporal", six.ssv2_temporal, "pairs", (3_888,), ("eval_ssv2_temporal.csv",), MIT, VIDEOCON, SSV2,
              shape=(18, 216), positives=12),
    Benchmark("ssv2_events", six.ssv2_events, "pairs", (28_812,), ("eval_ssv2_events.csv",), MIT, VIDEOCON, SSV2,
              shape=(49, 588)),
    Benchmark("atp_hard", six.atp_hard, "questions", (1_846,),
              ("eval-nextqa-atphard.csv (or nextqa-atphard-statements.csv)", "nextqa-atphard.csv"), MIT, VIDEOCON,
              "NExT-QA (VidOR's videos)"),
    Benchmark("vinoground", minimal_pairs.vinoground, "counterfactual pairs", (500,), ("vinoground.csv",), NOT_STATED,
              "Vinoground (HanSolo9682/Vinoground on Hugging Face)", "the same place: vinoground_videos.zip"),
    Benchmark("timeblind", minimal_pairs.timeblind, "instances", (600,), ("data.jsonl",), NOT_STATED,
              "TimeBlind (BaiqiL/TimeBlind on Hugging Face)", "the same place"),
    Benchmark("velociti", minimal_pairs.velociti, "rows", (8_792,), ("velociti.parquet, .jsonl or .csv",),
              "CC BY-NC-SA 4.0; a test set only, never to be trained on",
              "VELOCITI (katha-ai-iiith/VELOCITI on Hugging Face)", "the same place"),
    Benchmark("vitatecs", minimal_pairs.vitatecs, "rows", (13_838,),
              tuple(f"{aspect}.jsonl" for aspect in minimal_pairs.ASPECTS), "CC BY 4.0",
              "VITATECS (lscpku/VITATECS on GitHub and Hugging Face)", "MSR-VTT and VATEX, each from its own project"),
)  # fmt: skip


def known() -> list[str]:
    return [benchmark.name for benchmark in BENCHMARKS]


def benchmark_of(name: str, knob: str = "--benchmark") -> Benchmark:
    """ValueError: a name that nobody knows, with the nearest."""
    check_names([name], known(), knob)
    return next(benchmark for benchmark in BENCHMARKS if benchmark.name == name)


@dataclass(frozen=True)
class Copy:
    """A copy of a benchmark: its pairs, how many of its units it has, and how many a whole one has."""

    benchmark: Benchmark
    loaded: Loaded
    count: int
    expected: int


def load(benchmark: Benchmark, data: Path, allow_missing: bool = False) -> Copy:
    """The benchmark's pairs from a folder with its files.

    Raises:
        ValueError: a file that is missing, another benchmark's, or short of pairs (unless `allow_missing`); a bad row,
            by file:line; labels of which no figure can be made.
    """
    loaded = benchmark.read(data)
    count = benchmark.count(loaded)
    kind = benchmark.task.kind
    check_answerable(loaded, kind)
    if kind == "entailment":
        loaded = six.distinct(loaded)
    expected = benchmark.expected(count)
    where = f"{benchmark.name}: {loaded.files[0]}"
    if benchmark.about:
        if abs(count - expected) > expected / 10:
            loaded.notes.append(f"{count:,} {benchmark.unit}; the paper says about {expected:,}")
        return Copy(benchmark, loaded, len(loaded.entries), len(loaded.entries))
    if count > expected:
        others = [b.name for b in BENCHMARKS if count in b.sizes and b.task.kind == kind]
        hint = f"; that is {others[0]}'s size" if others else ""
        raise ValueError(f"{KNOB}: {where} has {count:,} {benchmark.unit}, {expected:,} are expected{hint}")
    if benchmark.shape is not None:
        _check_shape(benchmark, loaded, allow_missing)
    if count < expected and not allow_missing:
        way_out = "give the whole file, or --allow-missing"
        raise ValueError(f"{KNOB}: {where} has {count:,} of {expected:,} {benchmark.unit}; {way_out}")
    return Copy(benchmark, loaded, len(loaded.entries) if kind == "entailment" else count, expected)


def _check_shape(benchmark: Benchmark, loaded: Loaded, allow_missing: bool) -> None:
    assert benchmark.shape is not None
    queries, videos = benchmark.shape
    by_query = loaded.by_query()
    for query, some in by_query.items():
        right = sum(entry.row["label"] for entry in some)
        wrong_right = benchmark.positives and right != benchmark.positives
        if len(some) > videos or (not allow_missing and (len(some) < videos or wrong_right)):
            has = f"{len(some)} videos, {right} of them right; expected {videos}"
            rights = f" and {benchmark.positives}" if benchmark.positives else ""
            raise ValueError(f"{KNOB}: {some[0].where}: caption {query!r} has {has}{rights}")
    if len(by_query) > queries:
        where = next(iter(by_query.values()))[0].where
        raise ValueError(f"{KNOB}: {where}: {len(by_query)} captions in this file, {queries} are expected")
