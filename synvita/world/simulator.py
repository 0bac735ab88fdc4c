"""A text-to-video generator of the miniature whose failures are known.

Asked for a negative caption, real generators often show the original scene instead (Fig. 2: most for hallucination and
flip). The simulator does so with a stated probability per misalignment type, always in the synthetic look; so the truth
about every clip can be recomputed from its record.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from synvita.core.provenance import seed_of
from synvita.core.records import Clip, Misalignment
from synvita.world.captions import parse_caption
from synvita.world.render import render
from synvita.world.scenes import Content, complete_for_training, describes

NAME, REVISION = "world_simulator", "2"
FAILURE = {
    Misalignment.FLIP: 0.65,
    Misalignment.HALLUCINATION: 0.6,
    Misalignment.RELATION: 0.5,
    Misalignment.COUNT: 0.4,
    Misalignment.ACTION: 0.3,
    Misalignment.OBJECT: 0.15,
    Misalignment.ATTRIBUTE: 0.15,
}


def shown_scene(caption: str, settings: dict[str, Any], seed: int) -> Content:
    """The scene that a clip shows: its caption's, or with probability `failure_rate` that of `instead`.

    What the caption leaves open is filled in so that the scene is for training wherever that can be: a clip must not
    show a test's scene.
    """
    rng = np.random.default_rng([seed_of("shown", caption, settings, seed)])
    failed = rng.random() < settings["failure_rate"]
    return complete_for_training(parse_caption(settings["instead"] if failed else caption), rng)


def simulate(caption: str, settings: dict[str, Any], seed: int) -> np.ndarray:
    """uint8 frames (8, 32, 32, 3) of a clip; ValueError if the caption is not of this world."""
    scene = shown_scene(caption, settings, seed)
    return render(scene, "synthetic", np.random.default_rng([seed_of("pixels", caption, settings, seed)]))


def world_truth(clip: Clip, caption: str) -> float:
    """1.0 if the caption is true of what the clip shows, else 0.0; no model is asked.

    Raises:
        ValueError: the clip is not the simulator's.
    """
    if clip.generator != NAME:
        raise ValueError(f"clip {clip.clip_id}: made by {clip.generator!r}; only clips of {NAME!r} have such a record")
    return float(describes(parse_caption(caption), shown_scene(clip.caption, clip.settings, clip.seed)))
