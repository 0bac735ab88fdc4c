"""Text to video with VideoCrafter2, as a pipeline of diffusers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from synvita.generate.latent_video import (
    Videos,
    decoded,
    encode_prompts,
    guidance_context,
    guided,
    latent_shape,
    settled,
    vae_scale_factor,
)
from synvita.generate.pixel_codec import PixelCodec  # noqa: F401 - a saved folder names it; diffusers finds what is loaded
from synvita.generate.videocrafter2_scheduler import VideoCrafter2Scheduler
from synvita.generate.videocrafter2_unet import VideoCrafter2UNet


class VideoCrafter2Pipeline(DiffusionPipeline):
    """`from_pretrained`, `save_pretrained` and the call are diffusers' own.

    Beside the components `model_index.json` holds what the weights were made for; a call may differ. Defaults are those
    of upstream's script: 16 frames of 512 x 320, 50 steps, guidance 12, eta 1, fps 28 as the network's condition.
    """

    def __init__(
        self,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        unet: VideoCrafter2UNet,
        scheduler: VideoCrafter2Scheduler,
        num_frames: int = 16,
        height: int = 320,
        width: int = 512,
        num_inference_steps: int = 50,
        guidance_scale: float = 12.0,
        eta: float = 1.0,
        fps: int = 28,
    ) -> None:
        super().__init__()
        self.register_modules(vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler)
        self.register_to_config(
            num_frames=num_frames,
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            eta=eta,
            fps=fps,
        )

    @property
    def vae_scale_factor(self) -> int:
        return vae_scale_factor(self)

    def encode_prompt(self, prompts: Sequence[str]) -> Tensor:
        return encode_prompts(self, prompts)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        eta: float | None = None,
        fps: int | None = None,
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
        s = settled(self, given | {"num_inference_steps": num_inference_steps, "eta": eta, "fps": fps})
        shape, scale = latent_shape(self, len(prompts), s), float(s["guidance_scale"])
        context = guidance_context(self, prompts, scale)

        def predict(latents: Tensor, times: Tensor, text: Tensor) -> Tensor:
            return self.unet(latents.to(self.unet.dtype), times, text, s["fps"])

        x = randn_tensor(shape, generator, self.device, torch.float32)
        self.scheduler.set_timesteps(s["num_inference_steps"], self.device)
        for time in self.progress_bar(self.scheduler.timesteps):
            out = guided(predict, x, time, context, scale, batched_guidance)
            noise = randn_tensor(shape, generator, self.device, torch.float32) if s["eta"] else None
            x, _ = self.scheduler.step(out, time, x, s["eta"], noise)
        frames = x if output_type == "latent" else self.decode(x)
        self.maybe_free_model_hooks()
        return Videos(frames)

    def decode(self, latents: Tensor) -> np.ndarray:
        """(B, C, T, h, w) -> (B, T, H, W, 3) uint8, truncated as upstream's writer does."""
        return ((decoded(self, latents).clamp(-1, 1) + 1) / 2 * 255).to(torch.uint8).cpu().numpy()
