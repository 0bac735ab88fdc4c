"""Where a generator's weights are: an official file, a folder in diffusers' format, or a repository on the hub."""

from __future__ import annotations

import re
from pathlib import Path

from synvita.core.provenance import digest, known_digest
from synvita.core.reading import read_json

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
SHIPPED = Path(__file__).parent.parent / "world" / "checkpoints"
INDEX = "model_index.json"  # of a folder in diffusers' format


def find(name: str, file: str, pipeline: str, knob: str) -> Path | None:
    """The official file or the pipeline's folder; None: it is on the hub. Nothing is fetched.

    Args:
        file: what the official one is called. pipeline: the class that a folder in diffusers' format must be of.
    Raises:
        ValueError: no such place, or neither of the two in it; a folder of another pipeline or without a component.
    """
    given, shipped = Path(name), SHIPPED / name
    if given.is_file():
        return given
    folder = shipped if (shipped / INDEX).is_file() else given
    if not folder.is_dir():
        if HUB_NAME.fullmatch(name):
            return None
        way_out = f"give the official {file}, a folder in diffusers' format or owner/name on the hub"
        raise ValueError(f"{knob}: {name}: no such file or folder; {way_out}")
    if not (folder / INDEX).is_file():
        if (folder / file).is_file():
            return folder / file
        raise ValueError(f"{knob}: {name}: neither {file} nor {INDEX} in this folder")
    index = read_json(folder / INDEX)
    if index.get("_class_name") != pipeline:
        raise ValueError(f"{knob}: {name}: holds a {index.get('_class_name')}, not a {pipeline}")
    lacking = [k for k, v in index.items() if isinstance(v, list) and v[0] and not (folder / k).is_dir()]
    if lacking:
        raise ValueError(f"{knob}: {name}: lacks the component {lacking[0]}; fetch it again")
    return folder


def fetched(name: str, file: str, knob: str) -> Path:
    """As `find`, of a repository on the hub. ValueError: not reachable, or neither of the two in there."""
    place = fetch(name, [file, "*.json", "*.txt", "*.safetensors"], knob)
    for there in (INDEX, file):
        if (place / there).is_file():
            return place if there == INDEX else place / there
    raise ValueError(f"{knob}: {name}: neither {file} nor {INDEX} in there")


def fetch(name: str, patterns: list[str], knob: str) -> Path:
    """The folder of what a repository on the hub has by these names. ValueError: not reachable."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:
        raise ValueError(f"{knob}: {name}: neither here nor reachable on the hub ({type(error).__name__})") from None


def revision_of(name: str) -> str:
    """What names weights: a digest of a file, or of all files of a folder; a name on the hub stands for itself."""
    place = Path(name)
    if place.is_file():
        return known_digest(place)
    if not place.is_dir():
        return name
    kinds = (".json", ".safetensors", ".bin", ".txt")
    files = sorted(p for p in place.rglob("*") if p.suffix in kinds and p.is_file())
    return digest([(p.relative_to(place).as_posix(), known_digest(p)) for p in files])
