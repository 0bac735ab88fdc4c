"""Stage 3: how well each synthetic clip fits its caption, and how far it is trusted."""

from __future__ import annotations

from typing import Any


def load(name: str, **settings: Any) -> Any:
    """A scorer (`weigh.scorer.Scorer`) by its name, or one's own module:Class; `settings` go to its class.

    ValueError: nobody knows it, or it takes no such setting.
    """
    from synvita.weigh.scorer import load_scorer
    from synvita.weigh.stage import scorer_part

    return load_scorer(scorer_part(name, {name: settings}))
