"""Several processes as one: gradients and losses are summed, so that the number of processes changes nothing.

Started by `accelerate launch` (or alone). Trained are only LoRA's few parameters, so their gradients are added up once
per optimiser step instead of wrapping the model in DDP. With accelerate's FSDP switched on, the decoder's layers are
sharded by torch's `fully_shard`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from synvita.train.config import TrainConfig
from synvita.videollm.protocol import Loading


class Processes:
    """This process among its fellows: `rank` of `number`; `first` writes files."""

    def __init__(self, config: TrainConfig):
        from accelerate import PartialState

        self.state = PartialState(cpu=config.device == "cpu")
        self.rank, self.number = self.state.process_index, self.state.num_processes
        self.first = self.state.is_main_process
        self.sharded = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true" and self.number > 1

    def loading(self, config: TrainConfig) -> Loading:
        """Where this process's model goes: its own device if there are several."""
        how = config.loading(training=True)
        return replace(how, device=str(self.state.device)) if self.number > 1 else how

    def shard(self, model: Any) -> None:
        """Spread the decoder layers' weights over the processes, if accelerate was told to (`--use_fsdp`)."""
        if not self.sharded:
            return
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(self.state.device.type, (self.number,))
        for module in model.language.modules():
            if type(module).__name__.endswith("DecoderLayer"):
                fully_shard(module, mesh=mesh)
                module.set_force_sum_reduction_for_comms(True)
                module.set_gradient_divide_factor(1.0)  # a sum, as everywhere here

    def wait(self) -> None:
        self.state.wait_for_everyone()

    def merged(self, mine: dict[str, str]) -> dict[str, str]:
        """The union of every process's dictionary, in the same order everywhere."""
        if self.number == 1:
            return mine
        found: list[dict[str, str] | None] = [None] * self.number
        torch.distributed.all_gather_object(found, mine)
        return dict(sorted(pair for some in found if some for pair in some.items()))

    def any(self, mine: bool) -> bool:
        """Whether it is so in any process."""
        return bool(self.summed({"": float(mine)})[""])

    def summed(self, values: dict[str, float]) -> dict[str, float]:
        if self.number == 1:
            return values
        together = torch.tensor(list(values.values()), dtype=torch.float64).to(self.state.device)
        torch.distributed.all_reduce(together)
        return dict(zip(values, together.tolist(), strict=True))

    def reduce(self, parameters: Iterable[Tensor]) -> None:
        """Add up the gradients of all processes, in one message; a parameter without one counts as zero."""
        if self.number == 1 or self.sharded:
            return
        with_grad = list(parameters)
        for p in with_grad:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        flat = torch.cat([p.grad.flatten() for p in with_grad])  # type: ignore[union-attr]
        torch.distributed.all_reduce(flat)
        start = 0
        for p in with_grad:
            assert p.grad is not None
            p.grad.copy_(flat[start : start + p.numel()].view_as(p.grad))
            start += p.numel()

    # ---- whole tensors for files

    def gathered(
        self, parameters: dict[str, Tensor], optimizer: dict[str, Any]
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Adapter and optimiser state with every shard in place (all processes must call it)."""
        adapter = {name: whole(p.detach()).cpu() for name, p in parameters.items()}
        state = optimizer.get("state", {})
        full = {i: {k: whole(v) for k, v in values.items()} for i, values in state.items()}
        return adapter, {**optimizer, "state": full} if optimizer else {}

    def put(self, parameters: dict[str, Tensor], adapter: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(like(adapter[name], p))

    def scattered(self, optimizer: dict[str, Any], parameters: list[Tensor]) -> dict[str, Any]:
        """An optimiser state from a file, sharded as the parameters are."""
        state = {
            i: {k: like(v, parameters[i]) if isinstance(v, Tensor) and v.ndim else v for k, v in values.items()}
            for i, values in optimizer["state"].items()
        }
        return {**optimizer, "state": state}


def whole(value: Any) -> Any:
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def like(value: Tensor, parameter: Tensor) -> Tensor:
    """A whole tensor on the parameter's device, sharded if that is."""
    value = value.to(parameter.device, parameter.dtype)
    if not hasattr(parameter, "full_tensor"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, parameter.device_mesh, parameter.placements)  # type: ignore[attr-defined]
