"""w of Eq. 4 and its alternatives (Table 4): how far a synthetic video is trusted, from two scores. Pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Criterion = Callable[[Any, Any], np.ndarray]


def checked(target_scores: Any, source_scores: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as fp64 arrays of one shape with values in [0, 1]; a missing or NaN score is refused by its index."""
    pair = []
    for name, scores in (("target_scores", target_scores), ("source_scores", source_scores)):
        if hasattr(scores, "detach"):
            scores = scores.detach().cpu().numpy()
        values = np.array([np.nan if s is None else s for s in np.asarray(scores, dtype=object).ravel()], np.float64)
        bad = np.flatnonzero(~((values >= 0) & (values <= 1)))
        if len(bad):
            raise ValueError(f"{name}[{bad[0]}]: {values[bad[0]]} is not a score in [0, 1]; score the clip again")
        pair.append(values)
    if pair[0].shape != pair[1].shape:
        raise ValueError(
            f"target_scores and source_scores: {pair[0].size} and {pair[1].size} scores; need as many of each"
        )
    return pair[0], pair[1]


def uniform_weights(target_scores: Any, source_scores: Any) -> np.ndarray:
    """Table 4, row 1: every clip counts fully, the naive use of Table 1."""
    return np.ones_like(checked(target_scores, source_scores)[0])


def target_weights(target_scores: Any, source_scores: Any) -> np.ndarray:
    """Row 2: how well the clip fits its own caption; blind to clips that fit the real one even better."""
    return checked(target_scores, source_scores)[0]


def product_weights(target_scores: Any, source_scores: Any) -> np.ndarray:
    """Row 3: fits its own caption and not the real one; the paper's choice for Video-LLaVA."""
    target, source = checked(target_scores, source_scores)
    return target * (1 - source)


def hard_weights(target_scores: Any, source_scores: Any) -> np.ndarray:
    """Row 4: all or nothing: 1 if the own caption scores higher."""
    target, source = checked(target_scores, source_scores)
    return (target > source).astype(np.float64)


def difference_weights(target_scores: Any, source_scores: Any) -> np.ndarray:
    """Trust a synthetic video by how much better it fits its own caption than the real one (row 5, Eq. 4).

    Asked for "two dogs run", a generator may still draw one. Such a clip fits the original caption as well as the
    negative one and would teach a wrong answer, so it weighs nothing.

    Args:
        target_scores: (N,) ensemble scores with the caption each clip was made from, in [0, 1].
        source_scores: (N,) scores of the same clips, same order, with the real video's caption.
    Returns:
        (N,) weights in [0, 1], without gradient: they are data, not predictions.
    Raises:
        ValueError: shapes differ, or a score leaves [0, 1]; names the first such index.
    """
    target, source = checked(target_scores, source_scores)
    return np.maximum(0.0, target - source)


CRITERIA: dict[str, Criterion] = {
    "uniform": uniform_weights,
    "target": target_weights,
    "product": product_weights,
    "hard": hard_weights,
    "difference": difference_weights,
}


def criterion(name: str) -> Criterion:
    """phi by name; ValueError lists the known ones."""
    if name not in CRITERIA:
        raise ValueError(f"--weigh.criteria: unknown criterion {name!r}; known: {', '.join(CRITERIA)}")
    return CRITERIA[name]
