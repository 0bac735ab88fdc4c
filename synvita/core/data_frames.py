"""Records as a data frame, where somebody has pandas and wants one."""

from __future__ import annotations

from typing import Any

from synvita.core import arguments


def as_asked(records: list[dict[str, Any]], as_frame: bool) -> Any:
    """The records themselves, or a pandas.DataFrame of them. ValueError: pandas is wanted and not there."""
    check_frame(as_frame)
    if not as_frame:
        return records
    import pandas

    return pandas.DataFrame(records)


def check_frame(as_frame: bool) -> None:
    """Before any work is done. ValueError: no truth value; pandas is wanted and not there."""
    if arguments.flag("as_frame", as_frame):
        try:
            import pandas  # noqa: F401
        except ImportError:
            raise ValueError("as_frame: needs pandas; pip install 'synvita[pandas]'") from None
