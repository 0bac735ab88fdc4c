"""Run folders that are ready to be trained on."""

import json
import shutil
from pathlib import Path

import pytest
from small import WEIGHTS


@pytest.fixture
def run(small_run, tmp_path) -> Path:
    """The small run before training: 42 triplets with clips, weights and cached features."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("triplets.jsonl", "clip_of_triplet.jsonl"):
        shutil.copy(small_run / name, run)
    for name in ("videos", "cache"):
        (run / name).symlink_to(small_run / name)
    for name in ("clips", "weights"):
        shutil.copytree(small_run / name, run / name)
    return run


@pytest.fixture
def single(run) -> Path:
    """The same with one training triplet (and its clip): every step has the same batch in the same order."""
    lines = (run / "triplets.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    weighed = {json.loads(line)["triplet_id"] for line in (run / f"weights/{WEIGHTS}.jsonl").open(encoding="utf-8")}
    kept = next(line for line in lines if json.loads(line)["split"] == "train" and json.loads(line)["id"] in weighed)
    (run / "triplets.jsonl").write_text(kept, encoding="utf-8")
    return run
