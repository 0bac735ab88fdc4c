# %% [markdown]
# # synvita from Python
#
# Cells of a notebook (open this file in Jupyter with jupytext, or in VS Code), or `python examples/python_api.py DIR`.
# It needs no GPU and no network, and takes a few minutes. The tiny checkpoints know coloured shapes: the path is real,
# the numbers of so small a run mean little.

# %%
import sys
from pathlib import Path

import synvita

folder = Path(sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else "runs/example")
print(synvita.known.scorers())

# %% [markdown]
# ## The whole chain, small
# Every stage goes on where it was, so this cell may be run again.

# %%
SMALL = {
    "world": {"triplets": 42, "test": 28, "test_open": 28, "questions": 8, "per_template": 1},
    "train": {"epochs": 1, "batch": 14},
    "evaluate": {"draws": 200},
}
run = synvita.Run(folder, settings=SMALL)
run.make_triplets()
print(run.generate())
print(run.weigh())
trained = run.train(["real_only", "weighted_video"])
results = run.evaluate(arms=["off_the_shelf", "real_only", "weighted_video"])
assert results is not None
for arm, figures in results["arms"].items():
    print(
        f"{arm:<16} open AUC {figures['open']['auc']:.3f} [{figures['open']['low']:.3f}, {figures['open']['high']:.3f}]"
    )
print(run.report())

# %% [markdown]
# ## Which clips fit their captions?

# %%
clips = sorted((folder / "clips").glob("*/*.mp4"))[:4]
captions = ["a small red cross moving left"] * len(clips)
for record in synvita.rank(clips, captions, "video_llm", checkpoint="mini-video-llava"):
    print(record["rank"], round(record["score"], 3), Path(record["clip"]).name)

# %% [markdown]
# ## Scores of a model with an adapter, also of frames in memory

# %%
import numpy as np  # noqa: E402

adapter = trained["weighted_video"]["adapter"]
with synvita.Aligner.from_pretrained("mini-video-llava", adapter) as aligner:
    print(aligner)
    scores = aligner.score(clips, ["a small red cross moving left", "a small red cross moving right"])
    print(scores.alignment.shape)  # (videos, captions)
    frames = np.zeros((8, 64, 64, 3), np.uint8)
    print(synvita.score([clips[0], frames], "two blue rings", aligner))
