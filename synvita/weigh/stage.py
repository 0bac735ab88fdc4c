"""Stage 3, first half: score every clip with its own caption and those of the real videos it stands against."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synvita.core.artefacts import check_clips, read_clips
from synvita.core.backends import Part, check_known
from synvita.core.decoder import Decoder
from synvita.core.links import clip_links
from synvita.core.provenance import digest
from synvita.core.question import CaptionError
from synvita.core.records import Clip, ScoredClip, Triplet
from synvita.core.shared_decoder import SharedDecoder
from synvita.core.stage import Resources, SetAside, resources_of
from synvita.core.store import read_records
from synvita.core.video import Sampled
from synvita.core.video_file import VideoError
from synvita.weigh.scorer import FRAMES, SCORERS, NoScore, checked, described, load_scorer

Entries = Mapping[str, Mapping[str, Any]]


def scorer_part(name: str, entries: Entries, knob: str = "--weigh.scorers") -> Part:
    """ValueError: nobody knows this name."""
    if name not in entries:
        check_known({**SCORERS, **dict.fromkeys(entries, "")}, name, knob)
    return Part.of("scorers", name, entries, knob)


def wanted(triplets: list[Triplet], links: dict[str, list[str]]) -> dict[str, list[str]]:
    """Clip id -> the captions it must be scored with: its own and those of the real videos it stands against."""
    captions: dict[str, dict[str, None]] = {}
    for triplet in triplets:
        for clip in links.get(triplet.id, []):
            captions.setdefault(clip, {}).update({triplet.negative_caption: None, triplet.caption: None})
    return {clip: list(texts) for clip, texts in captions.items()}


@dataclass(frozen=True)
class Asked:
    """An item of scoring: a clip with all the captions it must be scored with. They stay together, because the last
    digit of a score may depend on what shares a batch."""

    clip: Clip
    captions: list[str]


class ScoreClips:
    """The stage (`core.stage.Stage`) of one scorer: every clip with its own caption and those it stands against."""

    command, file, key_field = "weigh", "scores.jsonl", "clip_id"
    whole = False
    unique: tuple[str, ...] = ("clip_id", "caption")

    def __init__(self, part: Part, decode_timeout: float = 60.0):
        self.part, self.decode_timeout = part, decode_timeout
        self.what = f"weigh: scores of {part.folder}"
        self.folder = f"scores/{part.folder}"
        self.batch = part.batch if part.batch > 1 else 8
        self.resources: Resources = resources_of(part.options)
        self.scorer: Any = None
        self.known_stamp: dict[str, Any] | None = None
        self.decoder: Decoder | SharedDecoder | None = None

    @classmethod
    def of_stamp(cls, stamp: dict[str, Any], entries: Entries) -> ScoreClips:
        """The stage that made a folder."""
        return cls(Part.of_stamp("scorers", stamp["scorer"], entries))

    @property
    def stamp(self) -> dict[str, Any]:
        """ValueError: as `load_scorer`."""
        if self.known_stamp is None:
            self.scorer = self.scorer or load_scorer(self.part)
            self.known_stamp = {"scorer": self.part.stamp, "describe": described(self.scorer)}
        return self.known_stamp

    def __getstate__(self) -> dict[str, Any]:
        """What travels to a worker: the settings."""
        return vars(self) | {"scorer": None, "decoder": None}

    def items(self, run: Path) -> list[Asked]:
        triplets = read_records(run / "triplets.jsonl", Triplet, ("id",))
        clips = read_clips(run)
        check_clips(run, clips.values())
        return [Asked(clips[name], texts) for name, texts in wanted(triplets, clip_links(run, clips)).items()]

    def key(self, item: Asked) -> str:
        return item.clip.clip_id

    def is_done(self, run: Path, item: Asked, records: Sequence[dict[str, Any]]) -> bool:
        """A clip that was made anew is scored anew."""
        same = [r for r in records if r.get("clip_digest", "") in ("", item.clip.digest)]
        return {fields.get("caption") for fields in same}.issuperset(item.captions)

    def setup(self) -> None:
        self.scorer = self.scorer or load_scorer(self.part)
        if callable(getattr(self.scorer, "load", None)):
            self.scorer.load()
        self.decoder = Decoder(self.decode_timeout)

    @staticmethod
    def share(stages: Sequence[ScoreClips]) -> None:
        """Let stages that have been set up, and work on the same clips in turn, decode each clip once."""
        policies = [getattr(stage.scorer, "looks_at", FRAMES) for stage in stages]
        mine = Decoder(stages[0].decode_timeout)
        keep = max(stage.batch for stage in stages)
        shared = SharedDecoder(mine, [policy for policy in policies if policy is not None], keep)
        for stage in stages:
            if stage.decoder is not None:
                stage.decoder.close()
            stage.decoder = shared

    def needs(self) -> tuple[str, int] | None:
        """(device, bytes) of the scorer's weights; None: it does not say, or spreads over several devices."""
        self.scorer = self.scorer or load_scorer(self.part)
        return self.scorer.needs() if callable(getattr(self.scorer, "needs", None)) else None

    def work(self, run: Path, batch: Sequence[Asked]) -> list[list[ScoredClip] | SetAside]:
        """A clip that cannot be read, or that gets no score, is set aside with its reason."""
        seen = [self.seen(run, item.clip) for item in batch]
        values = self.values([(s, item.captions) for s, item in zip(seen, batch, strict=True)])
        return [self.records(*row) for row in zip(batch, seen, values, strict=True)]

    def seen(self, run: Path, clip: Clip) -> Any:
        """What the scorer looks at: frames, the clip's record, or why there are none."""
        assert self.decoder is not None
        policy = getattr(self.scorer, "looks_at", FRAMES)
        try:
            path = run / clip.file
            return replace(clip, file=str(path)) if policy is None else self.decoder.video(path, policy)
        except VideoError as error:
            return SetAside(str(error))

    def values(self, asked: Sequence[tuple[Any, list[str]]]) -> list[Any]:
        """The scores of each clip, or why it has none; in one pass where the scorer can."""
        there = [(seen, texts) for seen, texts in asked if not isinstance(seen, SetAside)]
        many = getattr(self.scorer, "score_many", None)
        values: list[Any] | None = None
        if callable(many) and there:
            with contextlib.suppress(VideoError, CaptionError):  # of one of them: then each alone
                values = list(many([seen for seen, _ in there], [texts for _, texts in there]))
        each = iter(self.alone(*row) for row in there) if values is None else iter(values)
        return [seen if isinstance(seen, SetAside) else next(each) for seen, _ in asked]

    def alone(self, seen: Any, captions: list[str]) -> Any:
        try:
            return self.scorer.score(seen, captions)
        except (VideoError, CaptionError) as error:
            return SetAside(str(error))

    def records(self, item: Asked, seen: Any, values: Any) -> list[ScoredClip] | SetAside:
        if isinstance(values, SetAside):
            return values
        clip, knob = item.clip, self.part.knob
        try:
            scores = checked(values, item.captions, knob, clip.clip_id)
        except NoScore as error:
            return SetAside(str(error))
        told: dict[str, Any] = {"frames": 0, "rule": "record", "size": []}
        if isinstance(seen, Sampled):
            rule = getattr(self.scorer, "rule", None) or getattr(self.scorer, "looks_at", FRAMES).rule
            told = {"frames": len(seen.frames), "rule": rule, "size": list(seen.frames.shape[1:3])}
        told |= {"clip_digest": clip.digest, "quantity": getattr(self.scorer, "quantity", "score")}
        told["made_with"] = digest(self.stamp)
        rows = zip(item.captions, scores, strict=True)
        return [ScoredClip(clip.clip_id, text, self.part.name, score=round(value, 7), **told) for text, value in rows]

    def close(self) -> None:
        if self.decoder is not None:
            self.decoder.close()
        self.scorer = self.decoder = None
