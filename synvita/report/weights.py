"""What the page says about scores and weights: by type, beside the paper, and where a scorer is blind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synvita.core.artefacts import TRUTH, quantities
from synvita.report import paper
from synvita.report.table import DASH, interval, number, percent


def weight_rows(weights: dict[str, Any]) -> list[dict[str, str]]:
    """How well learned weights find the clips that show what they should, as text."""
    return [
        {
            "kind": kind,
            "clips": f"{entry['clips']:,}",
            "right": f"{entry['right']:,}",
            "share": percent(entry["right"] / entry["clips"]) if entry["clips"] else DASH,
            "auc": percent(entry.get("auc")),
            "interval": interval(entry),
            "mean_weight": number(entry["mean_weight"]),
        }
        for kind, entry in weights.items()
    ]


def audit_rows(types: dict[str, Any]) -> list[tuple[str, ...]]:
    """(type, clips, own, real, difference, spread, weight, share of zero weights) as text."""
    return [
        (
            kind,
            f"{one['clips']:,}",
            *(number(one[key]) for key in ("own", "real")),
            number(one["difference"], sign=True),
            *(number(one[key]) for key in ("spread", "weight")),
            percent(one["zero"]),
        )
        for kind, one in types.items()
    ]


def blind_words(scorers: dict[str, Any]) -> list[str]:
    """In which types scorers cannot tell right clips from wrong ones, as the audit's intervals say.

    A sentence for the types to which all are blind, and one for each other type to which one is. No more than that: a
    scorer may see what happens and still be blind here, where a generator's failures are of another kind.
    """
    seen: dict[str, tuple[list[str], list[str]]] = {}  # type -> (blind, seeing)
    for name, one in scorers.items():
        for kind, entry in one["types"].items():
            if kind != "all" and entry.get("low") is not None:
                seen.setdefault(kind, ([], []))[entry["low"] > 0.5].append(name)
    all_blind = [kind for kind, (blind, seeing) in seen.items() if blind and not seeing]
    found = [f"Every scorer is blind to {', '.join(all_blind)}."] if all_blind else []
    for kind, (blind, seeing) in seen.items():
        if blind and seeing:
            found.append(f"Blind to {kind}: {', '.join(blind)}. Not blind to it: {', '.join(seeing)}.")
    return found


def learned_quantities(run: Path) -> dict[str, str]:
    return {name: kind for name, kind in quantities(run).items() if name not in TRUTH}


def difference_rows(differences: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(type, clips, mean here, mean in the paper)"""
    given = paper.SCORE_DIFFERENCES
    return [
        (
            kind,
            f"{len(entry['values']):,}",
            number(entry["mean"], 2, sign=True),
            number(given[kind], 2, sign=True) if kind in given else "not given",
        )
        for kind, entry in differences.items()
    ]
