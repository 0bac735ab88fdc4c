"""What every output of a look says of it: a few videos of each task are no result."""

from __future__ import annotations

from typing import Any


def look_words(told: dict[str, Any] | None) -> str:
    """A line from what `results.json` says under `look`; empty where it says nothing, so that it is a result."""
    if not told:
        return ""
    sizes = [
        f"{task} {size['videos']:,} of {size['of_videos']:,} videos ({size['pairs']:,} of {size['of_pairs']:,} pairs)"
        for task, size in told["tasks"].items()
    ]
    return f"A look with --limit {told['limit']}, not a result: {'; '.join(sizes)}"
