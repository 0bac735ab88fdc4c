"""The pictures of README.md and docs/world.md, from `docs/results.json` and a finished demo:
`python docs/images/make.py runs/demo`."""

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import MultipleLocator

from synvita.core.artefacts import TRUTH, read_clips, read_weights
from synvita.core.records import Triplet
from synvita.core.store import read_records
from synvita.core.video import read_frames
from synvita.recipes import THREE
from synvita.report.seeds import half_width, mean

HERE = Path(__file__).parent
TASKS = {"in_distribution": "in distribution", "open": "open", "unseen": "unseen concepts", "temporal": "temporal"}
# Row of the picture -> its arm, and the arm that adds the consistency loss.
ROWS = {
    "untrained": ("off_the_shelf", None),
    "captions only": ("real_only", None),
    "+ clips, all trusted": ("uniform", None),
    "+ clips, weighed from frames": ("weighted", "synvita"),
    "+ clips, weighed from video": ("weighted_video", "synvita_video"),
    "+ clips, weighed by the truth": ("weighted_oracle", "synvita_oracle"),
}
COLOURS = ("#7a7f87", "#7a7f87", "#c2493d", "#2f6db5", "#2f6db5", "#2a8a4a")


def arms(results: dict) -> None:
    """Means over seeds with 95 % intervals; the single seeds as ticks."""
    figure, panels = plt.subplots(1, len(TASKS), figsize=(10.5, 2.9), sharex=True, sharey=True, layout="constrained")
    for axes, (task, title) in zip(panels, TASKS.items(), strict=True):
        for y, ((plain, consistent), colour) in enumerate(zip(ROWS.values(), COLOURS, strict=True)):
            for arm, shift, face in ((plain, -0.16, "white"), (consistent, 0.16, colour)):
                if arm not in results["arms"]:
                    continue
                seeds = [100 * f[task] for f in results["arms"][arm].values()]
                at = y + (shift if consistent else 0)
                axes.plot(seeds, [at] * len(seeds), "|", color=colour, alpha=0.45, markersize=7)
                axes.errorbar(mean(seeds), at, xerr=half_width(seeds), color=colour, elinewidth=1.2)
                axes.plot(mean(seeds), at, "o", color=colour, markerfacecolor=face, markersize=6)
        captions_only = mean([100 * f[task] for f in results["arms"]["real_only"].values()])
        axes.axvline(captions_only, color="#bbb", linewidth=1, linestyle=":", zorder=0)
        axes.set_title(title, fontsize=10)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
        axes.grid(axis="x", color="#eee")
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MultipleLocator(5))
    panels[0].set_yticks(range(len(ROWS)), list(ROWS))
    panels[0].invert_yaxis()
    kinds = [plt.Line2D([], [], marker="o", color="#555", linestyle="", markerfacecolor=f) for f in ("white", "#555")]
    figure.legend(kinds, ["without", "with the consistency loss"], loc="outside upper right", ncols=2, frameon=False)
    figure.supxlabel("entailment AUC, percent: mean, 95 % interval, single seeds", fontsize=9)
    figure.savefig(HERE / "arms.png", dpi=110)


def world(run: Path) -> None:
    """One triplet per misalignment type: the real video and its synthetic clip, eight frames each."""
    triplets = {
        t.misalignment: t for t in reversed(read_records(run / "triplets.jsonl", Triplet)) if t.split == "train"
    }
    learned = {row.triplet_id: row for row in read_weights(run, THREE, "difference")}
    truth = {row.triplet_id: row.weight for row in read_weights(run, TRUTH, "difference")}
    clips = read_clips(run)
    figure, grid = plt.subplots(len(triplets), 2, figsize=(11, 1.12 * len(triplets)), layout="constrained")
    for row, triplet in zip(grid, triplets.values(), strict=True):
        weight = learned[triplet.id]
        clip = clips[weight.clip_id]
        verdict = f"{'right' if truth[triplet.id] else 'wrong'}, weight {weight.weight:.2f}"
        said = (f"{triplet.misalignment}: {triplet.caption}", f"{triplet.negative_caption} ({verdict})")
        for axes, path, text in zip(row, (triplet.video, clip.file), said, strict=True):
            frames = read_frames(run / path, range(8))
            axes.imshow(np.concatenate(list(np.pad(frames, ((0, 0), (0, 0), (0, 4), (0, 0)), constant_values=255)), 1))
            axes.axis("off")
            axes.set_title(text, loc="left", fontsize=8, pad=2)
    figure.savefig(HERE / "world.png", dpi=100)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    arms(json.loads((HERE.parent / "results.json").read_text()))
    world(folder)
