"""Table 6 of the paper: the ROC-AUC of VQA scorers, alone and averaged, on the pairs of VideoCon's entailment test.

    python benchmarks/table_6.py --data videocon_llm_entailment.csv --videos DIR --run DIR --device cuda

The paper: LLaVA 64.54, InstructBLIP 64.97, CLIP-FlanT5 65.59, the three averaged 66.60. This project had no real
weights at hand, so nobody has run this on them yet; it is the acceptance test of the three scorers.

Every video is scored with its caption (label 1) and its negative caption (label 0). --run keeps the scores: the same
command goes on where it was. Videos are found below --videos by the path in the table, or by their file name.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synvita.core.artefacts import clips_file, read_scores
from synvita.core.provenance import file_digest
from synvita.core.records import Clip, Triplet
from synvita.core.store import write_records
from synvita.core.tables import cell, need_columns, read_table
from synvita.evaluate.metrics import roc_auc
from synvita.how import How, in_memory_at_once
from synvita.recipes import PAPER_SCORERS
from synvita.weigh.stage import ScoreClips, scorer_part

PAPER = {"llava": 64.54, "instructblip": 64.97, "clip_flant5": 65.59, "llava+instructblip+clip_flant5": 66.60}
COLUMNS = ("videopath", "caption", "neg_caption")


def find(videos: Path, by_name: dict[str, list[Path]], given: str) -> Path | None:
    """ValueError: several files have that name."""
    if (videos / given).is_file():
        return videos / given
    found = by_name.get(Path(given).name, [])
    if len(found) > 1:
        raise ValueError(f"--videos: {Path(given).name!r} is there {len(found)} times, e.g. {found[0]} and {found[1]}")
    return found[0] if found else None


def take(data: Path, videos: Path, run: Path, limit: int, allow_missing: bool) -> int:
    """Write the table's pairs as a run folder: each video is a clip. Returns how many rows.

    ValueError: a row that cannot be read, a video that is missing.
    """
    columns, rows = read_table(data, "--data")
    need_columns(data, columns, COLUMNS, "--data")
    by_name: dict[str, list[Path]] = {}
    for path in sorted(p for p in videos.rglob("*") if p.is_file()):
        by_name.setdefault(path.name, []).append(path)
    triplets, links, clips, missing = [], [], {}, []
    for row in rows[: limit or None]:
        if row.problem:
            raise ValueError(f"{row.where}: {row.problem}")
        given, caption, negative = (cell(row.fields, name) for name in COLUMNS)
        path = find(videos, by_name, given)
        if path is None:
            missing.append(f"{row.where}: {given}")
            continue
        name = f"v-{path.relative_to(videos).as_posix()}"
        if name not in clips:
            digest = file_digest(path)
            clips[name] = Clip(name, caption, "real", digest, {}, 0, path.resolve().as_posix(), digest)
        triplets.append(Triplet(f"r{row.number:06}", path.resolve().as_posix(), caption, negative))
        links.append({"triplet_id": triplets[-1].id, "clip_id": name})
    if (missing and not allow_missing) or not triplets:
        raise ValueError(f"--videos: {len(missing)} of {len(rows)} are missing, first {missing[0]}; or --allow-missing")
    write_records(run / "triplets.jsonl", triplets)
    write_records(clips_file(run, "real"), [clips[name] for name in sorted(clips)])
    write_records(run / "clip_of_triplet.jsonl", links)
    return len(triplets)


def aucs(run: Path, names: Sequence[str]) -> dict[str, Any]:
    """Scorer, and their mean, -> AUC in percent over the pairs that all of them scored."""
    from synvita.core.links import clip_links
    from synvita.core.store import read_records

    scores = {(s.scorer, s.clip_id, s.caption): s.score for s in read_scores(run)}
    links = clip_links(run)
    pairs = []
    for triplet in read_records(run / "triplets.jsonl", Triplet, ("id",)):
        for text, label in ((triplet.caption, 1), (triplet.negative_caption, 0)):
            row = [scores.get((name, links[triplet.id][0], text)) for name in names]
            if None not in row:
                pairs.append((label, *row))
    table = np.array(pairs, float).reshape(-1, 1 + len(names))
    labels, values = table[:, 0].astype(int), table[:, 1:]
    found = {name: round(100 * float(roc_auc(labels, values[:, i])), 2) for i, name in enumerate(names)}
    if len(names) > 1:
        found["+".join(names)] = round(100 * float(roc_auc(labels, values.mean(1))), 2)
    return {"pairs": len(pairs), "auc": found, "paper": {name: PAPER[name] for name in found if name in PAPER}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="CSV with the columns videopath, caption, neg_caption")
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="where the scores are kept")
    parser.add_argument("--scorers", default=",".join(PAPER_SCORERS))
    parser.add_argument("--checkpoints", default="", help="of the scorers, in their order (default: the paper's)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=int, default=0, help="the first rows only, for a look")
    parser.add_argument("--allow-missing", action="store_true", help="leave out pairs whose video is missing")
    a = parser.parse_args()
    names = a.scorers.split(",")
    given = dict(zip(names, a.checkpoints.split(","), strict=True)) if a.checkpoints else {}
    entries = {name: {"device": a.device} | ({"checkpoint": given[name]} if name in given else {}) for name in names}
    how = How()
    try:
        stages = [ScoreClips(scorer_part(name, entries)) for name in names]
        rows = take(a.data, a.videos, a.run, a.limit, a.allow_missing)
        for group in in_memory_at_once(stages, how):
            how.run_all(group, a.run)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    found = {"rows": rows, **({"limit": a.limit} if a.limit else {}), **aucs(a.run, names)}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
