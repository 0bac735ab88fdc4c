"""What makes two files speak of the same pair: the video's id and the bare caption.

Published tables hold the paths of their authors' machines and captions inside a prompt; score files hold other paths,
and captions with or without the prompt.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

SUFFIXES = (".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".flv", ".mpg", ".mpeg", ".wmv", ".3gp")
WRAPPED = re.compile(r'entail the description:\s*"(.*)"\?', re.DOTALL)
ORDERS = (" Please output Yes or No.", " Please output A or B.")  # what TimeBlind's script puts behind its questions


def bare_caption(text: str) -> str:
    """A caption without the prompt around it: everything up to the last `"?`, as captions may hold quotes."""
    wrapped = WRAPPED.search(text)
    if wrapped:
        return wrapped[1].strip()
    for order in ORDERS:
        text = text.removesuffix(order)
    return text.strip()


@functools.lru_cache(1 << 16)
def parts_of(path: str) -> tuple[str, ...]:
    """Folders and file name of a path or an address, which may be Windows' or have a query."""
    if "://" in path:
        path = unquote(urlsplit(path).path)
    return tuple(part for part in PurePosixPath(path.strip().replace("\\", "/")).parts if part != "/")


@functools.lru_cache(1 << 16)
def video_id(path: str) -> str:
    """The file's name without the suffix of a video; an id that holds dots keeps them. Empty: no name in it."""
    parts = parts_of(path)
    name = parts[-1] if parts else ""
    suffix = next((s for s in SUFFIXES if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)]


class ById:
    """Paths by the id of their video."""

    def __init__(self, paths: Iterable[str]):
        self.of_id: dict[str, list[str]] = {}
        for path in dict.fromkeys(paths):
            self.of_id.setdefault(video_id(path), []).append(path)

    def find(self, path: str) -> list[str]:
        """The paths that mean the same video: none, one, or several that fit equally well.

        Of several with the id, those that share most folders with `path` count, and of these the same file name.
        """
        known = self.of_id.get(video_id(path), [])
        if len(known) < 2:
            return known
        wanted = parts_of(path)

        def fit(other: str) -> tuple[int, bool]:
            parts = parts_of(other)
            shared = 0
            for mine, theirs in zip(reversed(wanted[:-1]), reversed(parts[:-1]), strict=False):
                if mine != theirs:
                    break
                shared += 1
            return shared, parts[-1] == wanted[-1]

        best = max(map(fit, known))
        return [other for other in known if fit(other) == best]
