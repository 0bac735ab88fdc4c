"""VideoCrafter2's noise schedule and DDIM step.

Unlike diffusers' `DDIMScheduler` it shrinks what is under the noise: x_t = sqrt(a_t) s_t x_0 + sqrt(1 - a_t) noise with
s_t falling from 1 to `scale_b` over the first 400 of 1000 timesteps.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor


class VideoCrafter2Scheduler(SchedulerMixin, ConfigMixin):
    """Defaults are the official configuration's.

    scale_b: the factor on x_0 from timestep `scale_steps` on.
    prediction_type: what the network predicts: "epsilon", the noise, or "v_prediction",
        sqrt(a) noise - sqrt(1 - a) s x_0.
    timestep_spacing: "leading", as upstream: 1, 1 + stride, ...; "trailing": the noisiest timestep comes first, which
        few steps need.
    """

    order = 1
    init_noise_sigma = 1.0

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        scale_b: float = 0.7,
        scale_steps: int = 400,
        prediction_type: str = "epsilon",
        timestep_spacing: str = "leading",
    ) -> None:
        if prediction_type not in ("epsilon", "v_prediction"):
            raise ValueError(f"prediction_type: {prediction_type!r}; known: epsilon, v_prediction")
        if timestep_spacing not in ("leading", "trailing"):
            raise ValueError(f"timestep_spacing: {timestep_spacing!r}; known: leading, trailing")
        betas = np.linspace(beta_start**0.5, beta_end**0.5, num_train_timesteps) ** 2
        self.alphas_cumprod = torch.from_numpy(np.cumprod(1 - betas))
        scale = np.full(num_train_timesteps, scale_b)
        ramp = np.linspace(1.0, scale_b, scale_steps)[:num_train_timesteps]
        scale[: len(ramp)] = ramp
        self.scale = torch.from_numpy(scale)
        self.timesteps = torch.arange(num_train_timesteps - 1, -1, -1)

    def set_timesteps(self, num_inference_steps: int, device: torch.device | str | None = None) -> None:
        """`timesteps`, from noisy to clean.

        Raises:
            ValueError: the steps do not divide the timesteps ("leading" would make more steps than asked for).
        """
        total, leading = self.config.num_train_timesteps, self.config.timestep_spacing == "leading"
        if not 1 <= num_inference_steps < total or (leading and total % num_inference_steps):
            nearest = min((s for s in range(1, total) if total % s == 0), key=lambda s: abs(s - num_inference_steps))
            raise ValueError(f"num_inference_steps: {num_inference_steps} does not divide {total}; take {nearest}")
        if leading:
            ascending = np.arange(0, total, total // num_inference_steps) + 1
        else:
            ascending = np.round(np.linspace(0, total, num_inference_steps + 1)[1:]).astype(int) - 1
        self.timesteps = torch.from_numpy(ascending[::-1].copy()).to(device)

    def _at(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """sqrt(a), sqrt(1 - a) and s, shaped to be multiplied with `like`; the tables move to its device."""
        self.alphas_cumprod, self.scale = self.alphas_cumprod.to(like.device), self.scale.to(like.device)
        a, shape = self.alphas_cumprod[timesteps], (-1, *[1] * (like.ndim - 1))
        root, noise, scale = (v.to(like.dtype).view(shape) for v in (a.sqrt(), (1 - a).sqrt(), self.scale[timesteps]))
        return root, noise, scale

    def add_noise(self, original: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        root, sigma, scale = self._at(timesteps, original)
        return root * scale * original + sigma * noise

    def velocity(self, original: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What a network of `v_prediction` is trained to predict."""
        root, sigma, scale = self._at(timesteps, original)
        return root * noise - sigma * scale * original

    def step(
        self,
        model_output: Tensor,
        timestep: Tensor | int,
        sample: Tensor,
        eta: float = 0.0,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One DDIM step down.

        Args:
            model_output: as `prediction_type` says. timestep: one of `timesteps`.
            eta: 0 for none, 1 for as much fresh noise as DDPM. noise: the unit Gaussian of this step, if eta > 0.
        Returns:
            (the sample of the next timestep, the predicted x_0 after division by the scale).
        """
        at = int(timestep)
        here = int((self.timesteps == at).nonzero())
        before = int(self.timesteps[here + 1]) if here + 1 < len(self.timesteps) else 0
        a, a_before, s, s_before = (float(v[t]) for v in (self.alphas_cumprod, self.scale) for t in (at, before))
        x, out = sample.double(), model_output.double()
        if self.config.prediction_type == "epsilon":
            epsilon = out
            scaled = (x - (1 - a) ** 0.5 * epsilon) / a**0.5
        else:
            epsilon = a**0.5 * out + (1 - a) ** 0.5 * x
            scaled = a**0.5 * x - (1 - a) ** 0.5 * out
        sigma = eta * ((1 - a_before) / (1 - a) * (1 - a / a_before)) ** 0.5
        original = scaled / s
        down = a_before**0.5 * s_before * original + (1 - a_before - sigma**2) ** 0.5 * epsilon
        if eta:
            assert noise is not None
            down = down + sigma * noise
        return down.to(sample.dtype), original.to(sample.dtype)
