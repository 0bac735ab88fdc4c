"""Clips, scores and weights of a run, whoever made them.

clips/<generator>/clips.jsonl, scores/<scorer>/scores.jsonl, each with its stamp;
weights/<scorers joined by +>-<criterion>.jsonl, and weights/stamp.json: which of these an arm uses that names none.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synvita.core.identity import Digests
from synvita.core.names import folder_name
from synvita.core.reading import read_json
from synvita.core.records import Clip, ClipWeight, ScoredClip
from synvita.core.run_folder import again
from synvita.core.store import make_record, parse_lines, read_records, write_atomic

CLIPS, SCORES = "clips/*/clips.jsonl", "scores/*/scores.jsonl"
TRUTH = ("world_truth",)


def clips_file(run: Path, generator: str) -> Path:
    return run / "clips" / generator / "clips.jsonl"


def scores_file(run: Path, scorer: str) -> Path:
    return run / "scores" / scorer / "scores.jsonl"


def read_clips(run: Path) -> dict[str, Clip]:
    """Clip id -> clip, of all generators in the order of their names.

    Raises:
        ValueError: a bad line, or a clip that is there twice, by file:line.
    """
    return {c.clip_id: c for path in sorted(run.glob(CLIPS)) for c in read_records(path, Clip, ("clip_id",))}


def check_clips(run: Path, clips: Iterable[Clip]) -> None:
    """Whether the clips' files are still those that were recorded; files that are gone or empty are another matter.

    Raises:
        ValueError: a file with other content: how many, the first, and the way out.
    """
    digests = Digests(run)
    changed = []
    for clip in clips:
        with contextlib.suppress(OSError):
            if clip.digest and (run / clip.file).stat().st_size and digests.of(clip.file) != clip.digest:
                changed.append(clip)
    digests.save()
    if changed:
        first, more = changed[0], f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        text = f"--run: {run}: {first.file}{more}: not the video that was recorded for {first.caption!r}"
        way_out = f"{again('generate', run)} makes it again; with --clips TABLE it takes yours"
        raise ValueError(f"{text}; {way_out}")


def has_clips(run: Path) -> bool:
    return any(run.glob(CLIPS))


def read_scores(run: Path) -> list[ScoredClip]:
    """The scores of all scorers. A score that is there twice would count double: refused by file:line."""
    paths = sorted(run.glob(SCORES))
    return [s for path in paths for s in read_records(path, ScoredClip, ("clip_id", "caption", "scorer"))]


def quantities(run: Path) -> dict[str, str]:
    """Scorer -> what its scores are; from the first record of each."""
    found = {}
    for path in sorted(run.glob(SCORES)):
        number, fields = next(parse_lines(path), (0, {}))
        if fields:
            first = make_record(ScoredClip, fields, f"{path}:{number}")
            found[first.scorer] = first.quantity
    return found


# ---- weights

AUDIT = "weights/audit.json"  # what `weigh --report` has said of the scores


@dataclass(frozen=True)
class Default:
    """What `weights/stamp.json` says: the ensemble, and the criteria that it was weighed with."""

    scorers: tuple[str, ...]
    criteria: tuple[str, ...]

    @property
    def shown(self) -> str:
        """Of which criterion figures show the weights: Eq. 4's, or if there are none, the first."""
        return "difference" if "difference" in self.criteria else self.criteria[0]


def weights_file(run: Path, scorers: Sequence[str], criterion: str) -> Path:
    names = "+".join(folder_name(name, "--weigh.scorers") for name in scorers)
    return run / "weights" / f"{names}-{criterion}.jsonl"


def stamp_weights(
    run: Path, scorers: Sequence[str], criteria: Sequence[str], made: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Say which weights an arm uses that names none, and which scores the files were made from.

    Args:
        made: name of a file of weights that was just written -> files of scores.
    """
    path, digests = run / "weights" / "stamp.json", Digests(run)
    made_from = read_json(path).get("made_from", {}) if path.exists() else {}
    for name, files in (made or {}).items():
        made_from[name] = {file: digests.of(file) for file in files}
    made_from = {name: files for name, files in made_from.items() if (path.parent / name).exists()}
    digests.save()
    told = {"scorers": list(scorers), "criteria": list(criteria), "made_from": dict(sorted(made_from.items()))}
    write_atomic(path, json.dumps(told, indent=1) + "\n")


def check_made_from(run: Path, weights: Path) -> None:
    """ValueError: the scores that these weights were made from have changed."""
    path = run / "weights" / "stamp.json"
    made_from = read_json(path).get("made_from", {}) if path.exists() else {}
    files = made_from.get(weights.name, {}) if isinstance(made_from, dict) else {}
    digests = Digests(run)
    for file, digest in files.items() if isinstance(files, dict) else ():
        if (run / file).is_file() and digests.of(file) != digest:
            raise ValueError(f"{weights}: {file} has changed since; once more: {again('weigh', run)}")
    digests.save()


def default_weights(run: Path) -> Default | None:
    """None where nothing was weighed."""
    path = run / "weights" / "stamp.json"
    if not path.exists():
        return None
    told = read_json(path, ["scorers", "criteria"])
    for key in ("scorers", "criteria"):
        if not isinstance(told[key], list) or not told[key] or not all(isinstance(v, str) for v in told[key]):
            raise ValueError(f"{path}: {key}: expected a list of names; once more: {again('weigh', run)}")
    return Default(tuple(told["scorers"]), tuple(told["criteria"]))


def read_weights(run: Path, scorers: Sequence[str], criterion: str) -> list[ClipWeight]:
    """The weights of one group of scorers.

    Raises:
        ValueError: no such weights, with what is there and the command that makes them; a bad line or the same weight
            twice, by file:line.
    """
    path = weights_file(run, scorers, criterion)
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.jsonl"))) or "none"
        raise ValueError(f"--run: {run} has no weights {path.stem} (there: {there}); first run: {again('weigh', run)}")
    check_made_from(run, path)
    return read_records(path, ClipWeight, ("triplet_id", "clip_id"))
