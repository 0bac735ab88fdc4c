"""Video files -> visual features, decoded in a killable child and kept on disk: towers are frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synvita.core.decoder import Decoder
from synvita.core.provenance import file_digest
from synvita.core.store import write_atomic
from synvita.core.video import VideoError


class VisualStore:
    """Features of videos for one model, by content: two runs, two processes or a kill never leave a half file.

    Args:
        model: a video LLM (`videollm.video_llava`): `.frames`, `.pixels`, `.features`, `.visual_key`.
        cache: folder for the features; None keeps them in memory only.
        root: videos are relative to it.
    """

    def __init__(self, model: Any, cache: Path | None, root: Path = Path(), timeout_s: float = 60.0):
        self.model, self.root = model, root
        self.folder = cache / model.visual_key if cache is not None else None
        self.decoder = Decoder(timeout_s)
        self.kept: dict[str, Tensor] = {}

    def _file(self, path: Path) -> Path | None:
        if self.folder is None or not path.is_file():
            return None
        key = file_digest(path)
        return self.folder / key[:2] / f"{key}.safetensors"

    def features(self, video: str) -> Tensor:
        """(T, N, D) features of one video.

        Raises:
            VideoError: missing, broken, or killed by the timeout; names the file.
        """
        if video in self.kept:
            return self.kept[video]
        from safetensors.torch import load_file, save

        path = self.root / video
        file = self._file(path)
        if file is not None and file.exists():
            found = load_file(file)["features"]
        else:
            frames = self.decoder.sample(path, self.model.frames)
            found = self.model.features(self.model.pixels(frames)[None])[0].cpu()
            if file is not None:
                write_atomic(file, save({"features": found.contiguous()}))
        self.kept[video] = found
        return found

    def load(self, videos: Iterable[str], tick: Callable[[], None] = lambda: None, keep: bool = True) -> dict[str, str]:
        """Have all these videos' features ready, in memory or (`keep=False`) only on disk.

        Returns {video: reason} of those that cannot be had.
        """
        failed = {}
        for video in dict.fromkeys(videos):
            try:
                self.features(video)
            except VideoError as error:
                failed[video] = str(error)
            if not keep:
                self.kept.clear()
            tick()
        return failed

    def visual(self, videos: list[str]) -> Tensor:
        """(B, V, width) visual tokens."""
        with torch.no_grad():
            return self.model.visual(torch.stack([self.features(video) for video in videos]))

    def close(self) -> None:
        self.decoder.close()
