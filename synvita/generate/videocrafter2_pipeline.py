"""Text to video with VideoCrafter2, as a pipeline of diffusers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from synvita.generate.pixel_codec import PixelCodec  # noqa: F401 - a saved folder names it; diffusers finds what is loaded
from synvita.generate.videocrafter2_blocks import apart, together
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
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def encode_prompt(self, prompts: Sequence[str]) -> Tensor:
        """(B, L, context_dim): every position counts, padding too, as upstream."""
        ids = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=self.tokenizer.model_max_length
        )["input_ids"]
        return self.text_encoder(torch.tensor(ids, device=self.device)).last_hidden_state

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
    ) -> Any:
        """Videos of the prompts.

        Args:
            guidance_scale: 1 asks the network once per step, without the empty prompt.
            generator: a list has one per prompt; then a clip does not depend on what shares its batch.
            output_type: "np" for (B, T, H, W, 3) uint8, "latent" for what the network made.
        Returns:
            An object with `frames`.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        given = {"num_frames": num_frames, "height": height, "width": width, "guidance_scale": guidance_scale}
        given |= {"num_inference_steps": num_inference_steps, "eta": eta, "fps": fps}
        s = {name: self.config[name] if value is None else value for name, value in given.items()}
        factor, scale = self.vae_scale_factor, float(s["guidance_scale"])
        shape = (
            len(prompts),
            self.unet.config.in_channels,
            s["num_frames"],
            s["height"] // factor,
            s["width"] // factor,
        )
        text, dtype = self.encode_prompt(prompts), self.unet.dtype
        empty = self.encode_prompt([""]).expand_as(text) if scale != 1 else text[:0]
        context = torch.cat([empty, text]).to(dtype)
        x = randn_tensor(shape, generator, self.device, torch.float32)
        self.scheduler.set_timesteps(s["num_inference_steps"], self.device)
        for time in self.progress_bar(self.scheduler.timesteps):
            asked = x.to(dtype)
            out = self.unet(torch.cat([asked, asked]) if scale != 1 else asked, time[None], context, s["fps"]).float()
            if scale != 1:
                without, with_text = out.chunk(2)
                out = without + scale * (with_text - without)
            noise = randn_tensor(shape, generator, self.device, torch.float32) if s["eta"] else None
            x, _ = self.scheduler.step(out, time, x, s["eta"], noise)
        self.maybe_free_model_hooks()
        return Videos(x if output_type == "latent" else self.decode(x))

    def decode(self, latents: Tensor) -> np.ndarray:
        """(B, C, T, h, w) -> (B, T, H, W, 3) uint8, truncated as upstream's writer does."""
        frames = apart(latents).to(self.vae.dtype) / self.vae.config.scaling_factor
        pixels = together(self.vae.decode(frames).sample.float(), latents.shape[2]).permute(0, 2, 3, 4, 1)
        return ((pixels.clamp(-1, 1) + 1) / 2 * 255).to(torch.uint8).cpu().numpy()


class Videos:
    """frames: (B, T, H, W, 3) uint8."""

    def __init__(self, frames: Any) -> None:
        self.frames = frames
