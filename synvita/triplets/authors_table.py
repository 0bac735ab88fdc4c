"""The authors' training tables, without editing: one row per question, real and synthetic videos in one file.

Columns: videopath, caption (the whole prompt with its answer), label, domain, syn_video, alignment, alignment_diff. A
real row is paired with the synthetic rows of its `syn_video` that have the same caption and the opposite label.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.records import Item
from synvita.core.tables import read_table
from synvita.triplets.tables import BadRow, video_finder

COLUMNS = {"videopath", "caption", "label", "domain", "syn_video", "alignment_diff"}
ENTAILMENT = re.compile(r'Does this video entail the description: "(.*)"\?\s*\nAI: (Yes|No)\s*$', re.DOTALL)
EXPLANATION = re.compile(r'What is the misalignment .*?the description: "(.*)"\?\s*\nAI: (.+?)\s*$', re.DOTALL)


@dataclass(frozen=True)
class ImportedItems:
    """Both in the table's order. A clip that is left out is named although its real question stays."""

    items: list[Item]
    set_aside: list[BadRow]


@dataclass(frozen=True)
class _Question:
    where: str
    number: int
    video: str
    caption: str
    answer: str
    synthetic: bool
    clip: str  # syn_video
    weight: float | None


def is_authors_table(path: Path) -> bool:
    """By its columns; what cannot be read is left to the caller's reader."""
    return path.suffix.lower() in (".csv", ".jsonl") and path.is_file() and set(read_table(path)[0]) >= COLUMNS


def read_items(path: Path, video_root: Path | None = None) -> ImportedItems:
    """Questions with their clips and weights w = max(0, alignment_diff).

    Raises:
        ValueError: no usable row.
    """
    _, rows = read_table(path)
    find = video_finder(path.parent, video_root)
    questions: list[_Question] = []
    aside: list[BadRow] = []
    for row in rows:
        try:
            if row.problem:
                raise ValueError(row.problem)
            questions.append(_question(row.where, row.number, row.fields, find))
        except ValueError as error:
            aside.append(BadRow(row.where, str(error)))
    synthetic: dict[str, list[_Question]] = {}
    for q in questions:
        if q.synthetic:
            synthetic.setdefault(q.clip, []).append(q)
    items = []
    for q in questions:
        if not q.synthetic:
            item, reason = _item(q, synthetic.get(q.clip, []), path.stem)
            items.append(item)
            if reason:
                aside.append(BadRow(q.where, reason))
    if not items:
        first = f"; the first: {aside[0].where}: {aside[0].reason}" if aside else ""
        raise ValueError(f"{path}: no usable row with domain 'real'{first}")
    return ImportedItems(items, aside)


def _question(where: str, number: int, fields: dict[str, Any], find: Any) -> _Question:
    text, label, domain = str(fields.get("caption") or ""), str(fields.get("label") or "").strip(), fields.get("domain")
    if domain not in ("real", "synthetic"):
        raise ValueError(f"domain: unknown {domain!r}; known: real, synthetic")
    entailment, why = ENTAILMENT.search(text), EXPLANATION.search(text)
    found = entailment or why
    if found is None:
        raise ValueError(f"caption: not a prompt of the authors' with an answer ({text[-60:]!r})")
    if entailment and {"1": "Yes", "0": "No", "1.0": "Yes", "0.0": "No"}.get(label) != found[2]:
        raise ValueError(f"label: {label!r} does not agree with the answer {found[2]!r}")
    written = str(fields.get("alignment_diff") or "").strip()
    try:
        difference = float(written) if written else None
    except ValueError:
        difference = math.nan
    if difference is not None and not math.isfinite(difference):
        raise ValueError(f"alignment_diff: {written!r} is not a number")
    weight = None if difference is None else max(0.0, min(1.0, difference))
    clip = str(fields.get("syn_video") or "").strip()
    video = find(str(fields.get("videopath") or ""))
    return _Question(where, number, video, found[1], found[2], domain == "synthetic", clip, weight)


def _item(q: _Question, rows: list[_Question], stem: str) -> tuple[Item, str]:
    """The item of a real row, and why its clip was left out, if it was."""
    alone = Item(f"{stem}:{q.number}", f"{stem}:{q.number}", q.video, q.caption, q.answer)
    if not q.clip or q.answer not in ("Yes", "No"):
        return alone, ""
    mine = [r for r in rows if r.caption == q.caption and r.answer != q.answer]
    other = next((r.caption for r in rows if r.caption != q.caption), None)
    if not mine or other is None:
        return alone, f"syn_video: {q.clip!r} has no synthetic rows with this caption and the opposite label"
    if any(r.weight is None for r in mine):
        return (
            alone,
            f"alignment_diff: none for {q.clip!r} at {mine[0].where}; its clip is left out, not trusted blindly",
        )
    clips = [(r.video, r.weight) for r in mine if r.weight is not None]
    return Item(alone.id, q.clip, q.video, q.caption, q.answer, other, clips), ""
