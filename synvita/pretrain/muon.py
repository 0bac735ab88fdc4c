"""Muon (Jordan 2024): the momentum of a matrix is replaced by the nearest orthogonal one before it is applied.

A convolution is a matrix of (out, in * kernel). Updates are scaled to the root mean square that AdamW's have (Liu et
al. 2025, Sec. 2.2), so one learning rate does for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic that drives singular values to about 1


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """(N, R, C) -> the same with all singular values within about [0.7, 1.2] (Newton-Schulz)."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """With Nesterov momentum and decoupled weight decay. Matrices of one shape are worked on together."""

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault((p.shape[0], p[0].numel()), []).append(p)
            for (rows, columns), params in shapes.items():
                grads = torch.stack([p.grad.reshape(rows, columns) for p in params if p.grad is not None])
                for p in params:
                    if not self.state[p]:
                        self.state[p]["momentum"] = torch.zeros(rows, columns, device=p.device)
                momenta = [self.state[p]["momentum"] for p in params]
                torch._foreach_lerp_(momenta, list(grads), 1 - group["momentum"])
                ahead = grads.lerp(torch.stack(momenta), group["momentum"])
                update = orthogonal(ahead) * (0.2 * max(rows, columns) ** 0.5)
                torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
                moved = [u.view_as(p) for u, p in zip(update, params, strict=True)]
                torch._foreach_add_(params, moved, alpha=-group["lr"])
