"""The names that everybody uses: tasks with their metrics and titles, arms and criteria that have a meaning.

A new task is a line of `FIGURES` or `BENCHMARKS` here; evaluation, report, studies and the terminal take their columns
from it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

METRICS = {
    "auc": "AUC",
    "map": "mAP",
    "accuracy": "accuracy",
    "group": "group score",
    "strict": "strict accuracy",
}  # key in results.json -> as people write it


@dataclass(frozen=True)
class Task:
    """What is asked, and the figure that comes out.

    kind: entailment (does the caption fit?), retrieval (rank videos for a query), questions (choose an option); and of
        minimal pairs counterfactual (two captions by two videos), yes_no (two questions by two videos), strict (right
        and wrong captions of a video).
    metric: the key of its main figure. short: for narrow columns.
    split: of the triplets that it is asked about; empty = it has a file of its own in `benchmarks/`.
    part: made of some pairs of the open test (else of the in-distribution test); nothing is asked for it.
    """

    name: str
    kind: str
    metric: str
    title: str
    short: str = ""
    split: str = ""
    part: bool = False

    @property
    def measure(self) -> str:
        return METRICS[self.metric]

    @property
    def spoken(self) -> str:
        """Within a sentence: the open test, VideoCon (LLM)."""
        return self.title if self in BENCHMARKS else self.title.lower()

    @property
    def test(self) -> str:
        return self.title if self in BENCHMARKS else f"the {self.spoken} test"

    @property
    def column(self) -> str:
        return self.short or self.title.lower()


IN_DISTRIBUTION, OPEN = "in_distribution", "open"
FIGURES = (
    Task(IN_DISTRIBUTION, "entailment", "auc", "In-distribution", "in-dist", split="test"),
    Task(OPEN, "entailment", "auc", "Open", split="test_open"),
    Task("unseen", "entailment", "auc", "Unseen", part=True),
    Task("temporal", "entailment", "auc", "Temporal", part=True),
    Task("per_type.relation", "entailment", "auc", "Relation", part=True),
    Task("per_type.flip", "entailment", "auc", "Flip", part=True),
    Task("retrieval_temporal", "retrieval", "map", "Retrieval, temporal", "retr. temporal"),
    Task("retrieval_events", "retrieval", "map", "Retrieval, events", "retr. events"),
    Task("qa", "questions", "accuracy", "Questions", "QA"),
)
# Public benchmarks (`evaluate/benchmarks/registry.py` says what each is); `evaluate --data` puts them into a run.
BENCHMARKS = (
    Task("videocon_llm", "entailment", "auc", "VideoCon (LLM)"),
    Task("videocon_human", "entailment", "auc", "VideoCon (Human)"),
    Task("videocon_human_hard", "entailment", "auc", "VideoCon (Human-Hard)", "human-hard"),
    Task("ssv2_temporal", "retrieval", "map", "SSv2-Temporal"),
    Task("ssv2_events", "retrieval", "map", "SSv2-Events"),
    Task("atp_hard", "questions", "accuracy", "ATP-Hard"),
    Task("vinoground", "counterfactual", "group", "Vinoground"),
    Task("timeblind", "yes_no", "group", "TimeBlind"),
    Task("velociti", "strict", "strict", "VELOCITI"),
    Task("vitatecs", "strict", "accuracy", "VITATECS"),
)

UNTRAINED, BASELINE, METHOD, ORACLE_ARM = "off_the_shelf", "real_only", "synvita", "weighted_oracle"
ARM_TITLES = {  # as people say it; an arm that is not here has its own name
    UNTRAINED: "untrained",
    BASELINE: "captions only",
    "uniform": "+ clips, all trusted",
    "weighted": "+ clips, weighed",
    METHOD: "SynViTA",
    "weighted_video": "+ clips, weighed from video",
    "synvita_video": "SynViTA, weighed from video",
    ORACLE_ARM: "+ clips, weighed by the truth",
    "synvita_oracle": "SynViTA, weighed by the truth",
}
CRITERIA = ("difference", "hard", "product", "table", "target", "uniform")


def tasks(kind: str | None = None) -> list[Task]:
    """Those that are asked, in the order of their columns."""
    return [task for task in every_figure() if not task.part and kind in (None, task.kind)]


def every_figure() -> tuple[Task, ...]:
    """The figures of the house, then those of the public benchmarks: the columns that a table of arms may have."""
    return (*FIGURES, *BENCHMARKS)


def main_figures() -> list[Task]:
    """One column each; single misalignment types are left out."""
    return [task for task in every_figure() if not task.name.startswith("per_type.")]


def study_figures() -> list[Task]:
    """Those of `main_figures` that a study of the miniature has."""
    return [task for task in FIGURES if not task.name.startswith("per_type.")]


def arm_title(arm: str) -> str:
    return ARM_TITLES.get(arm, arm)


def find_task(name: str) -> Task | None:
    return next((task for task in every_figure() if task.name == name), None)


def check_names(names: Sequence[str], known: Iterable[str], knob: str) -> list[str]:
    """The names, each once.

    Raises:
        ValueError: none at all, or the first one that nobody knows, with the nearest and all known ones.
    """
    known = list(known)
    if not names:
        raise ValueError(f"{knob}: none given; known: {', '.join(known)}")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"{knob}: unknown {name!r}; {hint}known: {', '.join(known)}")
    return list(dict.fromkeys(names))


# What a score of a clip and a caption may be; numbers of two kinds are never averaged.
QUANTITIES = {
    "vqa_score": 'exp of minus the mean cross-entropy of the answer "Yes" and its end (the paper\'s)',
    "p_yes": 'P("Yes") as the first token, over the whole vocabulary',
    "alignment": "P(Yes) / (P(Yes) + P(No))",
}
