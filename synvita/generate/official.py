"""Official weight files -> our networks: every key is used and every weight is given, or it is an error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from synvita.core.pickled import read_pickled

Network = TypeVar("Network", bound=nn.Module)
DEEPSPEED = "_forward_module."  # before each key under `module`


def read_official(path: Path) -> dict[str, Tensor]:
    """The weights in a file that was pickled by its authors: bare, under `ema` or `state_dict`, or as DeepSpeed saves
    them, under `module`. What lies beside them is the state of a training. Nothing in the file is run.

    Raises:
        ValueError: a broken file; one that holds more than tensors and plain values, or no weights.
    """
    stored = read_pickled(path)
    for form in ("ema", "state_dict", "module"):
        if isinstance(stored, dict) and isinstance(stored.get(form), dict):
            stored = stored[form]
            if form == "module":
                stored = {key.removeprefix(DEEPSPEED): value for key, value in stored.items()}
            break
    if not isinstance(stored, dict) or not stored or not all(isinstance(v, Tensor) for v in stored.values()):
        raise ValueError(f"{path}: does not hold tensors by name; get the model's own weights")
    return stored


def parts(tensors: Mapping[str, Tensor], prefixes: Mapping[str, str], known: tuple[str, ...]) -> dict[str, dict]:
    """The tensors under each prefix, without it; by the names of the prefixes.

    known: keys that belong to none of them and are no weights.

    Raises:
        ValueError: a part without tensors; a key that belongs nowhere.
    """
    found: dict[str, dict[str, Tensor]] = {name: {} for name in prefixes}
    left = []
    for key, value in tensors.items():
        name = next((name for name, prefix in prefixes.items() if key.startswith(prefix)), None)
        if name is not None:
            found[name][key.removeprefix(prefixes[name])] = value
        elif key not in known:
            left.append(key)
    for name, prefix in prefixes.items():
        if not found[name]:
            raise ValueError(f"lacks the {name}: no {prefix}*; a file of this model has {', '.join(prefixes)} in it")
    if left:
        raise ValueError(f"holds {min(left)!r}, which this model has no place for ({len(left)} in all)")
    return found


def fit(network: Network, state_dict: Mapping[str, Tensor], name: str) -> Network:
    """The network (built on any device, also meta) with these weights, as float32, for inference.

    Raises:
        ValueError: a key that is missing, that nothing takes, or whose shape differs; says the first one.
    """
    ours = network.state_dict()
    for problem, keys in (("lacks", ours.keys() - state_dict.keys()), ("has", state_dict.keys() - ours.keys())):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ValueError(f"no weights of this {name} network: the file {problem} {min(keys)!r}{more}")
    for key, value in state_dict.items():
        if value.shape != ours[key].shape:
            raise ValueError(f"{key}: shape {tuple(value.shape)}; this network needs {tuple(ours[key].shape)}")
    network.load_state_dict({k: v.float() for k, v in state_dict.items()}, assign=True)
    return network.eval()
