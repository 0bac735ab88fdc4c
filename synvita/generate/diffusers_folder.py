"""A pipeline's folder in diffusers' format, looked at before any weights are loaded."""

from __future__ import annotations

import importlib.util
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synvita.core.provenance import digest, known_digest
from synvita.core.reading import read_json

SMALL = ["*.json", "*.txt", "*.model"]  # all but weights
# A repo that names its text-to-video class and has the weights of both.
FROM_IMAGE = {"LTXPipeline": "LTXImageToVideoPipeline"}
NEEDS = {"WanImageToVideoPipeline": "ftfy"}  # what diffusers' class uses without looking whether it is there
CONTENT = (".json", ".safetensors", ".bin", ".model", ".txt")


@dataclass(frozen=True)
class PipelineFolder:
    """Where a pipeline is and what its files say; `path` may lack weights where it is a copy of a repo's small files.

    source, commit: what `from_pretrained` takes; commit is None for a folder of this machine.
    """

    path: Path
    source: str
    commit: str | None
    index: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.index["_class_name"])

    @property
    def revision(self) -> str:
        """A repo's commit, or the content of a folder's files."""
        if self.commit:
            return f"{self.source}@{self.commit}"
        files = sorted(p for p in self.path.rglob("*") if p.suffix in CONTENT and p.is_file())
        return digest([(p.relative_to(self.path).as_posix(), known_digest(p)) for p in files])

    def config(self, component: str) -> dict[str, Any]:
        path = self.path / component / "config.json"
        return dict(read_json(path)) if path.is_file() else {}


def look_at(checkpoint: str, from_image: bool = False) -> PipelineFolder:
    """A folder, or a repo's small files (fetched once, then from the cache).

    Raises:
        ValueError: neither a folder nor a repo that can be fetched; not in diffusers' format; a component that its
            index names is missing; a pipeline that makes no videos from text, or `from_image` from text and a picture.
    """
    path, commit = Path(checkpoint).expanduser(), None
    if not path.is_dir():
        path = fetch(checkpoint)
        commit = path.name
    if not (path / "model_index.json").is_file():
        raise ValueError(f"checkpoint: {checkpoint} has no model_index.json; give a pipeline in diffusers' format")
    index = read_json(path / "model_index.json")
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise ValueError(f"checkpoint: {path / 'model_index.json'} names no pipeline (_class_name); fetch it again")
    if from_image:
        index["_class_name"] = FROM_IMAGE.get(index["_class_name"], index["_class_name"])
    folder = PipelineFolder(path, checkpoint if commit else str(path), commit, index)
    for name, kind in index.items():
        if isinstance(kind, list) and len(kind) == 2 and kind[1] is not None and not (path / name).is_dir():
            raise ValueError(f"checkpoint: {checkpoint} lacks its component {name!r} ({kind[1]}); fetch it again")
    check_pipeline(folder, from_image)
    return folder


def fetch(repo: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, allow_patterns=SMALL))
    except Exception as error:  # its own errors, those of HTTP libraries, of names that are none
        reason = " ".join(str(error).split())[:160]
        raise ValueError(f"checkpoint: {repo!r} is no folder and cannot be fetched as a repo ({reason})") from None


def check_pipeline(folder: PipelineFolder, from_image: bool) -> None:
    try:
        import diffusers
    except ImportError:
        raise ValueError("checkpoint: needs diffusers; pip install 'synvita[generators]'") from None
    kind = getattr(diffusers, folder.kind, None)
    if kind is None:
        raise ValueError(f"checkpoint: {folder.source} is a {folder.kind}, which diffusers does not have; upgrade it")
    lacking = NEEDS.get(folder.kind)
    if lacking is not None and importlib.util.find_spec(lacking) is None:
        raise ValueError(
            f"checkpoint: {folder.source} is a {folder.kind}, which needs {lacking}; pip install {lacking}"
        )
    takes = inspect.signature(kind.__call__).parameters
    to_video = {"prompt", "num_frames", "generator"} <= set(takes) and "video" not in takes
    if to_video and "image" in takes and not from_image:
        text = f"checkpoint: {folder.source} is a {folder.kind}, which starts from a picture"
        raise ValueError(f"{text}; give from_first_frame true (--from-first-frame)")
    if to_video and from_image and "image" not in takes:
        text = f"from_first_frame: {folder.source} is a {folder.kind}, which takes no picture"
        raise ValueError(f"{text}; give an image-to-video pipeline, or leave it out")
    if not to_video:
        raise ValueError(
            f"checkpoint: {folder.source} is a {folder.kind}, which is not text-to-video; give one that is"
        )
