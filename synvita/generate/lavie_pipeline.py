"""Text to video with LaVie's base model, as a pipeline of diffusers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DiffusionPipeline
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from synvita.generate.latent_video import Videos, decoded, guidance_context, guided, latent_shape, settled
from synvita.generate.lavie_unet import LavieUNet
from synvita.generate.pixel_codec import PixelCodec  # noqa: F401 - a saved folder names it; diffusers finds what is loaded

SCHEDULERS = ("ddpm", "ddim")


def lavie_scheduler(method: str = "ddpm") -> DDPMScheduler | DDIMScheduler:
    """LaVie's noise schedule (linear, 0.0001 to 0.02) for one of its two samplers; `step` is diffusers' own.

    DDPM gets no `steps_offset`, though Stable Diffusion's scheduler file says 1: the library that LaVie was released
    with did not read it there, so 50 steps are 980, 960, ..., 0. DDIM did: 981, 961, ..., 1.

    Raises:
        ValueError: an unknown method.
    """
    schedule = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear", "clip_sample": False}
    if method == "ddpm":
        return DDPMScheduler(**schedule, variance_type="fixed_small", steps_offset=0)
    if method == "ddim":
        return DDIMScheduler(**schedule, set_alpha_to_one=False, steps_offset=1)
    raise ValueError(f"scheduler: {method!r}; known: {', '.join(SCHEDULERS)}")


class LaviePipeline(DiffusionPipeline):
    """`from_pretrained`, `save_pretrained` and the call are diffusers' own.

    Everything but `unet` is Stable Diffusion 1.4's. Beside the components `model_index.json` holds what the weights
    were made for; a call may differ. Defaults are those of upstream's script: 16 frames of 512 x 320, 50 steps,
    guidance 7.5.
    """

    def __init__(
        self,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        unet: LavieUNet,
        scheduler: Any,
        num_frames: int = 16,
        height: int = 320,
        width: int = 512,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
    ) -> None:
        super().__init__()
        self.register_modules(vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler)
        self.register_to_config(
            num_frames=num_frames,
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
        )

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "np",
        batched_guidance: bool = True,
    ) -> Any:
        """Videos of the prompts.

        Args:
            guidance_scale: 1 asks the network once per step, without the empty prompt.
            generator: a list has one per prompt; then a clip does not depend on what shares its batch.
            output_type: "np" for (B, T, H, W, 3) uint8, "latent" for what the network made.
            batched_guidance: ask with and without the text in one pass of the network, else in two.
        Returns:
            An object with `frames`.
        Raises:
            ValueError: a size, a number of frames or of steps that the model cannot do.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        given = {"num_frames": num_frames, "height": height, "width": width, "guidance_scale": guidance_scale}
        s = settled(self, given | {"num_inference_steps": num_inference_steps})
        scale = float(s["guidance_scale"])
        context = guidance_context(self, prompts, scale)

        def predict(latents: Tensor, times: Tensor, text: Tensor) -> Tensor:
            return self.unet(latents.to(self.unet.dtype), times, text)

        x = randn_tensor(latent_shape(self, len(prompts), s), generator, self.device, torch.float32)
        self.scheduler.set_timesteps(s["num_inference_steps"], device=self.device)
        for time in self.progress_bar(self.scheduler.timesteps):
            out = guided(predict, x, time, context, scale, batched_guidance)
            x = self.scheduler.step(out, time, x, generator=generator).prev_sample
        frames = x if output_type == "latent" else self.decode(x)
        self.maybe_free_model_hooks()
        return Videos(frames)

    def decode(self, latents: Tensor) -> np.ndarray:
        """(B, C, T, h, w) -> (B, T, H, W, 3) uint8, rounded as upstream's writer does."""
        pixels = (decoded(self, latents) / 2 + 0.5) * 255 + 0.5
        return pixels.clamp(0, 255).to(torch.uint8).cpu().numpy()
