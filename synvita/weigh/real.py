"""Real videos scored as clips are: those of the test triplets, with both captions (Table 6)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from synvita.core.backends import Part
from synvita.core.identity import Digests
from synvita.core.records import Clip, ScoredClip, Triplet
from synvita.core.store import read_records
from synvita.core.vocabulary import tasks
from synvita.weigh.scorer import load_scorer
from synvita.weigh.stage import Asked, Entries, ScoreClips, scorer_part

TABLE_6 = "table_6"  # the study, and its folder below a run folder


class ScoreTests(ScoreClips):
    """The stage that scores the videos of the test splits, each with all captions that any triplet has for it."""

    command, retry = f"study {TABLE_6}", "the same command"

    def __init__(self, part: Part, decode_timeout: float = 60.0):
        super().__init__(part, decode_timeout)
        self.what = f"table 6: scores of {part.folder}"
        self.folder = f"{TABLE_6}/{part.folder}"

    def items(self, run: Path) -> list[Asked]:
        splits = {task.split for task in tasks("entailment")}
        captions: dict[str, dict[str, None]] = {}
        for t in read_records(run / "triplets.jsonl", Triplet, ("id",)):
            if t.split in splits:
                captions.setdefault(t.video, {}).update({t.caption: None, t.negative_caption: None})
        digests = Digests(run)
        found = []
        for video, texts in captions.items():
            digest = digests.of(video) if (run / video).is_file() else ""  # a video that is gone is set aside
            found.append(Asked(Clip(video, next(iter(texts)), "real", "real", {}, 0, video, digest), list(texts)))
        digests.save()
        return found

    @property
    def quantity(self) -> str:
        """What its scores are."""
        return getattr(load_scorer(self.part), "quantity", "score")


def stages_of(names: Sequence[str], entries: Entries, decode_timeout: float) -> list[ScoreTests]:
    """ValueError: a scorer that nobody knows."""
    return [ScoreTests(scorer_part(name, entries), decode_timeout) for name in names]


def read_table_6(run: Path, stages: Sequence[ScoreTests]) -> dict[str, dict[tuple[str, str], float]]:
    """Scorer -> (video, caption) -> score. ValueError: a bad line, by file:line."""
    found = {}
    for stage in stages:
        rows = read_records(run / stage.folder / stage.file, ScoredClip, ("clip_id", "caption"))
        found[stage.part.name] = {(row.clip_id, row.caption): row.score for row in rows}
    return found
