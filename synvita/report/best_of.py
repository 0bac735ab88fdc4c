"""What the page says where a judge has chosen one of several clips per triplet."""

from __future__ import annotations

from pathlib import Path

from synvita.core.chosen import judges_that_weigh, read_chosen


def choice_text(run: Path) -> str:
    """How many were chosen from how many; empty where nobody chose."""
    chosen = read_chosen(run)
    if not chosen:
        return ""
    most = max(len(one.scores) for one in chosen)
    over = len({clip for one in chosen for clip in one.others})
    who = " and ".join(chosen[0].judge)
    return (
        f"Best of {most}: of each triplet's clips by a generator only the one that {who} scored highest is weighed and "
        f"trained on; {over:,} others stay in the run."
    )


def choice_warnings(run: Path) -> list[str]:
    """A sentence per group of scorers that weighs what one of them has chosen."""
    return [
        f"{' and '.join(both)} chose the clips and weighs them, too ({group}): the best of several scores is too high "
        "by chance alone, so these weights trust the clips too far. Let another scorer choose, or weigh."
        for group, both in judges_that_weigh(run).items()
    ]
