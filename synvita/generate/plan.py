"""What a generator's clips will cost, before the money is spent: `synvita generate --dry-run`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from synvita.core.records import Clip
from synvita.core.store import parse_lines
from synvita.generate.clips import MakeClips
from synvita.generate.generator import named

# Seconds per clip with Table 10's settings, on an A100 (supplementary material of the paper).
PAPER_SECONDS = {"cogvideox": 75.0, "lavie": 20.0, "videocrafter2": 109.0}
BITS_PER_PIXEL = 1.0  # of H.264 at this program's quality: assumed, not measured


@dataclass(frozen=True)
class Plan:
    """clips: to make; there: made already. seconds, size (bytes): of one, None = nobody knows; `*_from`: who says so.
    long: caption -> what the text encoder does not read; None where it could not be counted, for `long_from`."""

    clips: int
    there: int
    seconds: float | None
    seconds_from: str
    size: float | None
    size_from: str
    long: dict[str, str] | None
    long_from: str = ""

    def text(self, name: str, workers: int = 1) -> str:
        hours = "hours unknown" if self.seconds is None else f"{self.clips * self.seconds / 3600 / workers:.3g} hours"
        size = "size unknown" if self.size is None else f"{self.clips * self.size / 1e9:.3g} GB"
        with_workers = f" with {workers} workers" if workers > 1 else ""
        lines = [
            f"generate: {name}: {self.clips} clips to make, {self.there} there; {hours}{with_workers}, {size}",
            f"  time: {self.seconds_from}",
            f"  size: {self.size_from}",
        ]
        if self.long is None:
            return "\n".join([*lines, f"  prompts: not counted ({self.long_from})"])
        lines.append(f"  prompts: {len(self.long)} longer than the text encoder reads")
        return "\n".join([*lines, *(f"    {caption!r}: {why}" for caption, why in self.long.items())])


def plan_of(run: Path, stage: MakeClips) -> Plan:
    """Measured on the clips that are there; else a published figure, which says so. Nothing is made or written."""
    items = stage.items(run)
    records = {r["clip_id"]: r for r in lines_of(run / stage.folder / stage.file)}
    for line in lines_of(run / stage.folder / ".clips.journal"):
        records |= {record["clip_id"]: record for record in line.get("records", ())}
    done = [i for i in items if i.clip_id in records and stage.is_done(run, i, [records[i.clip_id]])]
    seconds, seconds_from = seconds_of(run, stage)
    size, size_from = size_of(run, stage, done)
    ready = {item.clip_id for item in done}
    todo = [item.caption for item in items if item.clip_id not in ready]
    long, long_from = long_prompts(stage, todo)
    return Plan(len(todo), len(done), seconds, seconds_from, size, size_from, long, long_from)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [fields for _, fields in parse_lines(path)] if path.exists() else []


def seconds_of(run: Path, stage: MakeClips) -> tuple[float | None, str]:
    measured = [line["seconds"] for line in lines_of(run / stage.folder / "timings.jsonl")]
    if measured:
        return median(measured), f"measured here: {median(measured):.3g} s per clip, the median of {len(measured)}"
    published = PAPER_SECONDS.get(stage.part.use)
    if published is not None:
        return published, f"published, not measured here: {published:g} s per clip on an A100, by the paper (Table 10)"
    return None, "nothing measured and nothing published; make some clips, then ask again"


def size_of(run: Path, stage: MakeClips, done: Sequence[Clip]) -> tuple[float | None, str]:
    if done:
        size = mean((run / clip.file).stat().st_size for clip in done)
        return size, f"measured here: {size / 1e6:.3g} MB per clip, the mean of {len(done)}"
    chosen = stage.told.get("settings", {})
    shape = [chosen.get(name) for name in ("frames", "height", "width")]
    if not all(isinstance(side, int) for side in shape):
        return None, "nothing measured; make some clips, then ask again"
    frames, height, width = shape
    size = frames * height * width * BITS_PER_PIXEL / 8
    return size, f"assumed, not measured: {size / 1e6:.3g} MB per clip of {width}x{height}, {frames} frames"


def long_prompts(stage: MakeClips, captions: Sequence[str]) -> tuple[dict[str, str] | None, str]:
    """(captions that are not read to their end, ""), or (None, why nobody can say)."""
    if not hasattr(stage.generator, "too_long"):
        return None, "the generator does not say what it reads"
    if not captions:
        return {}, ""
    try:
        with named(stage.part):
            return stage.generator.too_long(captions), ""
    except ValueError as error:
        return None, str(error)


def name_long_prompts(run: Path, stage: MakeClips) -> None:
    """One line on stderr with how many captions are not read to their end, and one for each."""
    long, _ = long_prompts(stage, [clip.caption for clip in stage.items(run)])
    if long:
        lines = [f"note: {stage.part.name}: {len(long)} captions are longer than the text encoder reads"]
        sys.stderr.write("\n".join([*lines, *(f"note: {caption!r}: {why}" for caption, why in long.items())]) + "\n")
