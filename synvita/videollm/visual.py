"""Video files -> visual features, decoded in a killable child and kept on disk: the vision parts are frozen."""

from __future__ import annotations

import contextlib
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from synvita.core.decoder import Decoder
from synvita.core.provenance import file_digest
from synvita.core.store import write_atomic
from synvita.core.video_file import VideoError
from synvita.videollm.protocol import Features, Loading, Media, VideoLLM

GB = 1e9


def check_limits(*limits_gb: float) -> None:
    """ValueError: a limit that is no finite number above 0."""
    for limit in limits_gb:
        if not 0 < limit < math.inf:  # NaN, too
            raise ValueError(f"--cache-gb: must be a finite number, more than 0, got {limit}")


class VisualStore:
    """Features of videos for one model, by content: two runs, two processes or a kill never leave a half file.

    Args:
        model: a video LLM; its `visual_key` (weights, dtype, frame policy, preprocessing) names the folder.
        cache: folder for the features; None keeps them in memory only.
        root: videos are relative to it.
        disk_gb: most that the features of this model may take; those not read for longest go first.
        memory_gb: most that is kept in memory.
    """

    def __init__(
        self,
        model: VideoLLM,
        cache: Path | None,
        root: Path = Path(),
        timeout_s: float = 60.0,
        disk_gb: float = 100.0,
        memory_gb: float = 4.0,
    ):
        check_limits(disk_gb, memory_gb)
        self.model, self.root = model, root
        self.folder = cache / model.visual_key if cache is not None else None
        self.decoder = Decoder(timeout_s)
        self.disk, self.memory = int(disk_gb * GB), int(memory_gb * GB)
        self.kept: OrderedDict[tuple[str, int, int], Features] = OrderedDict()  # by name, size and time of the file
        self.kept_bytes = 0
        self.written = self.size() if self.folder is not None else 0

    def size(self) -> int:
        """Bytes of this model's features on disk, also those that other processes have written."""
        return sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[float, int, Path]]:
        """(time last read, bytes, path) of every feature file."""
        found = []
        for path in self.folder.rglob("*.safetensors") if self.folder is not None and self.folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):  # another process has just dropped it
                info = path.stat()
                found.append((info.st_mtime, info.st_size, path))
        return found

    def _make_room(self) -> None:
        """Drop what was not read for longest, down to nine tenths of the limit."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        while files and total > 0.9 * self.disk:
            _, size, path = files.pop(0)
            path.unlink(missing_ok=True)
            total -= size
        self.written = total

    def _file(self, path: Path) -> Path | None:
        if self.folder is None or not path.is_file():
            return None
        key = file_digest(path)
        return self.folder / key[:2] / f"{key}.safetensors"

    def _read(self, file: Path | None) -> Features | None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if file is None:
            return None
        try:
            found = load_file(file)
            file.touch()
        except FileNotFoundError:
            return None
        except SafetensorError:  # torn by something other than us: make it anew
            file.unlink(missing_ok=True)
            return None
        return found

    def features(self, video: str) -> Features:
        """What the model's frozen part makes of one video.

        Raises:
            VideoError: missing, broken, or killed by the timeout; names the file.
        """
        path = self.root / video
        name = (video, *size_and_time(path))
        if name in self.kept:
            self.kept.move_to_end(name)
            return self.kept[name]
        from safetensors.torch import save

        file = self._file(path)
        found = self._read(file)
        if found is None:
            frames = self.decoder.video(path, self.model.policy)
            found = {name: value.cpu().contiguous() for name, value in self.model.look(frames).items()}
            if file is not None:
                data = save(found)
                write_atomic(file, data)
                self.written += len(data)
                if self.written > self.disk:
                    self._make_room()
        self._keep(name, found)
        return found

    def _keep(self, name: tuple[str, int, int], found: Features) -> None:
        self.kept[name] = found
        self.kept_bytes += nbytes(found)
        while self.kept_bytes > self.memory and len(self.kept) > 1:
            self.kept_bytes -= nbytes(self.kept.popitem(last=False)[1])

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
                self.kept_bytes = 0
            tick()
        return failed

    def media(self, videos: list[str]) -> list[Media]:
        """What stands in the prompt for each of these videos."""
        return self.model.media([self.features(video) for video in videos])

    def close(self) -> None:
        self.decoder.close()


def size_and_time(path: Path) -> tuple[int, int]:
    """What tells a file from one that has taken its place; (-1, -1): it cannot be seen."""
    try:
        info = path.stat()
    except OSError:
        return -1, -1
    return info.st_size, info.st_mtime_ns


def nbytes(features: Features) -> int:
    return sum(value.nbytes for value in features.values())


stores: dict[Cache, VisualStore] = {}  # of this process


@dataclass(frozen=True)
class Cache:
    """What a `VisualStore` on disk is made of; it travels to workers, each of which loads the model once."""

    model: str
    how: Loading
    folder: Path
    root: Path
    timeout_s: float
    disk_gb: float

    def fill(self, videos: list[str], tick: Callable[[], None] = lambda: None) -> None:
        """Have these videos' features on disk. ValueError: as `load_model`."""
        from synvita.videollm.models import load_model

        if self not in stores:
            model = load_model(self.model, self.how)
            stores[self] = VisualStore(model, self.folder, self.root, self.timeout_s, self.disk_gb)
        stores[self].load(videos, tick, keep=False)

    def close(self) -> None:
        """Let go of the model."""
        if self in stores:
            stores.pop(self).close()

    def size(self) -> int:
        """Bytes of the features of all models there."""
        return sum(path.stat().st_size for path in self.folder.rglob("*.safetensors"))
