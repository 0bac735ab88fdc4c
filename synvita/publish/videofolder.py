"""A run's clips as a Hugging Face VideoFolder: the files, and `metadata.parquet` with what is known of each.

It comes in again with `synvita generate --clips OUT/metadata.parquet --run RUN`, with equal digests.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.artefacts import default_weights, quantities, read_clips, read_scores, read_weights
from synvita.core.chosen import read_chosen
from synvita.core.names import folder_name
from synvita.core.progress import progress
from synvita.core.provenance import digest, file_digest
from synvita.core.records import Clip
from synvita.core.run_folder import again
from synvita.core.store import write_atomic
from synvita.core.vocabulary import check_names

CARD = """# Synthetic clips

{number} clips made from captions by {generators}, exported by synvita. Load them with
`datasets.load_dataset("videofolder", data_dir=...)`.

Columns of `metadata.parquet`: `file_name` (also as `file`), `caption` (what the clip was asked to show), `generator`,
`revision`, `seed`, `clip_id`, `digest` (of the file's bytes){scores}{weights}{chosen}.

Licence: not known to the program; the terms of the generators and of the captions apply.
"""


@dataclass(frozen=True)
class Exported:
    """clips: how many went out. set_aside: clip id -> why it did not."""

    clips: int
    set_aside: dict[str, str]


def export(run: Path, out: Path, generators: Sequence[str] | None = None) -> Exported:
    """Copy the clips and write what is known of them; a killed call goes on where it was.

    Args:
        generators: clips of these only (default: all).
    Raises:
        ValueError: `out` is there and not empty; no clips; a generator that has none; a bad record, as file:line.
    """
    clips, rows, part = begin(run, out, generators)
    aside: dict[str, str] = {}
    with progress("export", len(clips)) as tick:
        for clip, row in zip(clips, rows, strict=True):
            reason = copied(run / clip.file, part / row["file_name"], clip.digest)
            aside |= {clip.clip_id: reason} if reason else {}
            tick()
    rows = left(run, rows, aside)
    write_parquet(part / "metadata.parquet", rows)
    write_atomic(part / "README.md", card(run, rows))
    return end(part, out, rows, aside)


def begin(
    run: Path, out: Path, generators: Sequence[str] | None, kind: str = ""
) -> tuple[list[Clip], list[dict[str, Any]], Path]:
    """The clips that go out, what is known of each, and the folder that becomes `out`. ValueError: as `export`."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"--out: {out} is not empty; give a new or empty folder")
    clips = list(read_clips(run).values())
    if not clips:
        raise ValueError(f"--run: {run} has no clips; first run: {again('generate', run)}")
    if generators is not None:
        known = check_names(generators, dict.fromkeys(clip.generator for clip in clips), "--generators")
        clips = [clip for clip in clips if clip.generator in known]
    rows = told(run, clips)
    of_these = digest([kind, rows])[:12]  # of these clips and numbers, so it may go on
    return clips, rows, out.with_name(f".{out.name}.{of_these}.part")


def left(run: Path, rows: list[dict[str, Any]], aside: dict[str, str]) -> list[dict[str, Any]]:
    """Without what is set aside. ValueError: nothing is left."""
    kept = [row for row in rows if row["clip_id"] not in aside]
    if not kept:
        raise ValueError(
            f"--run: {run}: none of {len(rows)} clips can be read; the first: {next(iter(aside.values()))}"
        )
    return kept


def end(part: Path, out: Path, rows: Sequence[dict[str, Any]], aside: dict[str, str]) -> Exported:
    if out.exists():
        out.rmdir()
    part.rename(out)
    return Exported(len(rows), aside)


def unusable(source: Path, recorded: str) -> str:
    """Why a file is not the clip that was recorded, or an empty text."""
    if not source.is_file():
        return f"{source}: no such file"
    if recorded and file_digest(source) != recorded:
        return f"{source}: not the video that was recorded"
    return ""


def copied(source: Path, target: Path, recorded: str) -> str:
    """Copy a file, checked by its digest; why not, or an empty text."""
    if reason := unusable(source, recorded):
        return reason
    if not target.is_file() or file_digest(target) != file_digest(source):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return ""


def told(run: Path, clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """What is known of each clip: who made it, every scorer's score of its own caption, the weights of its triplets."""
    scores = {(s.clip_id, s.caption, s.scorer): s.score for s in read_scores(run)}
    scorers = list(quantities(run))
    default = default_weights(run)
    weights: dict[str, dict[str, float]] = {}
    for one in read_weights(run, default.scorers, default.shown) if default else ():
        weights.setdefault(one.clip_id, {})[one.triplet_id] = one.weight
    chosen = {one.clip_id for one in read_chosen(run)}
    rows = []
    for clip in clips:
        name = f"{folder_name(clip.generator, '--generators')}/{clip.clip_id}{Path(clip.file).suffix}"
        row: dict[str, Any] = {"file_name": name, "file": name, "caption": clip.caption, "generator": clip.generator}
        row |= {"revision": clip.revision, "seed": clip.seed, "clip_id": clip.clip_id, "digest": clip.digest}
        row |= {f"score_{scorer}": scores.get((clip.clip_id, clip.caption, scorer)) for scorer in scorers}
        row |= {"chosen": clip.clip_id in chosen} if chosen else {}
        own = weights.get(clip.clip_id, {})
        rows.append(row | ({"triplet_ids": list(own), "weights": list(own.values())} if default else {}))
    return rows


def write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    part = path.with_name(f".{path.name}.part")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), part)
    part.replace(path)


def card(run: Path, rows: Sequence[dict[str, Any]], template: str = CARD) -> str:
    default, kinds = default_weights(run), quantities(run)
    scores = "".join(f", `score_{name}` ({kind} of the caption)" for name, kind in kinds.items())
    weights = f", `triplet_ids` and `weights` ({default.shown}, {' + '.join(default.scorers)})" if default else ""
    generators = ", ".join(dict.fromkeys(row["generator"] for row in rows))
    judge = read_chosen(run)[:1]
    chosen = f", `chosen` (the best of its caption's, by {' + '.join(judge[0].judge)})" if judge else ""
    return template.format(number=len(rows), generators=generators, scores=scores, weights=weights, chosen=chosen)
