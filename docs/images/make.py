"""The pictures of README.md and docs/world.md, from a finished demo: `python docs/images/make.py runs/demo`."""

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from synvita.core.records import Clip, ClipWeight, Triplet
from synvita.core.store import read_records
from synvita.core.video import read_frames
from synvita.world.simulator import world_truth

HERE = Path(__file__).parent
TASKS = {"in_distribution": "in distribution", "open": "open", "unseen": "unseen concepts", "temporal": "temporal"}
COLOURS = ("#9a9fa6", "#4477aa", "#e0697a", "#c9a227", "#2a9348", "#a05195")


def arms(results: dict) -> None:
    figure, axes = plt.subplots(figsize=(9.5, 3.8), layout="constrained")
    names = ["off_the_shelf", "real_only", "uniform", "weighted", "synvita", "weighted_oracle"]
    for i, (name, colour) in enumerate(zip(names, COLOURS, strict=True)):
        cells = [results["arms"][name][task] for task in TASKS]
        heights = [100 * c["auc"] for c in cells]
        spread = [
            [100 * (c["auc"] - c["low"]) for c in cells],
            [100 * (c["high"] - c["auc"]) for c in cells],
        ]
        at = [g + (i - 2.5) * 0.14 for g in range(len(TASKS))]
        axes.bar(at, heights, 0.13, color=colour, label=name)
        axes.errorbar(at, heights, spread, fmt="none", ecolor="#555", elinewidth=1, capsize=2)
    axes.set_xticks(range(len(TASKS)), list(TASKS.values()))
    axes.set_ylim(50, 100)
    axes.set_ylabel("entailment AUC (percent)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=6, frameon=False)
    figure.savefig(HERE / "arms.png", dpi=110)


def world(run: Path) -> None:
    """One triplet per misalignment type: the real video and its synthetic clip, eight frames each."""
    triplets = {
        t.misalignment: t for t in reversed(read_records(run / "triplets.jsonl", Triplet)) if t.split == "train"
    }
    learned = {r.triplet_id: r for r in read_records(run / "weights.jsonl", ClipWeight) if "llava" in r.scorers}
    clips = {c.clip_id: c for c in read_records(run / "clips.jsonl", Clip)}
    figure, grid = plt.subplots(len(triplets), 2, figsize=(11, 1.12 * len(triplets)), layout="constrained")
    for row, triplet in zip(grid, triplets.values(), strict=True):
        weight = learned[triplet.id]
        clip = clips[weight.clip_id]
        right = world_truth(clip, triplet.negative_caption) > world_truth(clip, triplet.caption)
        verdict = f"{'right' if right else 'wrong'}, weight {weight.weight:.2f}"
        said = (f"{triplet.misalignment}: {triplet.caption}", f"{triplet.negative_caption} ({verdict})")
        for axes, path, text in zip(row, (triplet.video, clip.file), said, strict=True):
            frames = read_frames(run / path, range(8))
            axes.imshow(np.concatenate(list(np.pad(frames, ((0, 0), (0, 0), (0, 4), (0, 0)), constant_values=255)), 1))
            axes.axis("off")
            axes.set_title(text, loc="left", fontsize=8, pad=2)
    figure.savefig(HERE / "world.png", dpi=100)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    arms(json.loads((folder / "results.json").read_text()))
    world(folder)
