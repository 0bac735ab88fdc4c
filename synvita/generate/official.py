"""Official weights -> our networks: every key is used and every weight is given, or it is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


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
