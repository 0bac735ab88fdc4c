"""Train a tiny text-to-video model: its own classes, from nothing, on clips of the miniature's world.

    python -m synvita.pretrain.generator mini-videocrafter2 --out RUN --minutes 60
    python -m synvita.pretrain.generator mini-videocrafter2 --out GUIDED --teacher RUN/checkpoint --minutes 15

The second command teaches the trained model to show at once what guidance would make of it (guidance distillation,
Meng et al. 2023): one pass of the network per step instead of two. Resumable: kill either at any moment and give the
same command again.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synvita.core.provenance import seed_of
from synvita.generate.videocrafter2_blocks import apart, together
from synvita.pretrain.generator_clips import Batches, batches, encode
from synvita.pretrain.generator_models import BUILT
from synvita.pretrain.generator_run import GeneratorRun, Plan


class Denoising(nn.Module):
    """What is trained of a pipeline: text encoder and network."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__()
        self.text, self.unet = pipeline.text_encoder, pipeline.unet
        self.fps: Tensor
        self.register_buffer("fps", torch.tensor([pipeline.config.fps], device=pipeline.device), persistent=False)

    def forward(self, noisy: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        """In half precision on a GPU; what goes in and comes out is not."""
        with torch.autocast("cuda", torch.bfloat16, enabled=noisy.is_cuda, cache_enabled=False):
            return self.unet(noisy, timesteps, self.text(ids).last_hidden_state, self.fps).float()

    def capture(self, noisy: Tensor, timesteps: Tensor, ids: Tensor) -> None:
        """Record the network's forward and backward pass for tensors of these shapes as CUDA graphs.

        A small network's time on a GPU is the launching of its thousands of kernels; a graph launches them at once.
        """
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
            text = self.text(ids).last_hidden_state.detach().requires_grad_(self.training)
            torch.cuda.make_graphed_callables(self.unet, (noisy, timesteps, text, self.fps), allow_unused_input=True)


class Objective:
    """The loss of a batch, decided by its frames, its captions and a seed.

    Noise levels: log(noise / signal) is normal around 1.0 with deviation 1.5, a tenth of the timesteps uniform. That is
    far noisier than usual, for where things are and what they are is decided under much noise.
    """

    def __init__(
        self, pipeline: Any, device: str, teacher: Any = None, guidance: float = 3.0, empty: Any = None
    ) -> None:
        self.scheduler, self.vae, self.device = pipeline.scheduler, pipeline.vae, device
        self.teacher, self.guidance, self.empty = teacher, guidance, empty
        alpha, scale = self.scheduler.alphas_cumprod, self.scheduler.scale
        self.levels = ((1 - alpha).sqrt() / (alpha.sqrt() * scale)).log().float().to(device)
        self.rng = torch.Generator(device)

    def latents(self, frames: Tensor) -> Tensor:
        """uint8 (B, T, H, W, 3) -> (B, C, T, h, w)."""
        pixels = frames.to(self.device, non_blocking=True).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        mode = self.vae.encode(apart(pixels)).latent_dist.mode() * self.vae.config.scaling_factor
        return together(mode, frames.shape[1])

    def timesteps(self, size: int) -> Tensor:
        u = torch.rand(size, generator=self.rng, device=self.device)
        normal = 1.0 + 1.5 * torch.randn(size, generator=self.rng, device=self.device)
        drawn = torch.searchsorted(self.levels, normal).clamp(max=len(self.levels) - 1)
        uniform = (u * 10 * len(self.levels)).long()  # of those below 0.1
        return torch.where(u < 0.1, uniform, drawn)

    def __call__(self, model: nn.Module, frames: Tensor, ids: Tensor, seed: int) -> Tensor:
        self.rng.manual_seed(seed)
        clean = self.latents(frames)
        noise = torch.randn(clean.shape, generator=self.rng, device=self.device)
        at = self.timesteps(len(clean))
        noisy, ids = self.scheduler.add_noise(clean, noise, at), ids.to(self.device, non_blocking=True)
        target = self.scheduler.velocity(clean, noise, at) if self.teacher is None else self.guided(noisy, at, ids)
        return (model(noisy, at, ids) - target).square().mean()

    @torch.no_grad()
    def guided(self, noisy: Tensor, at: Tensor, ids: Tensor) -> Tensor:
        """What the teacher predicts with guidance."""
        both = torch.cat([self.empty.expand_as(ids), ids])
        without, with_text = self.teacher(torch.cat([noisy, noisy]), torch.cat([at, at]), both).chunk(2)
        return without + self.guidance * (with_text - without)


def train(name: str, out: Path, plan: Plan, seed: int, device: str, workers: int, teacher: Path | None = None) -> Path:
    """The folder of the trained pipeline, in half precision."""
    torch.manual_seed(seed)
    torch.set_float32_matmul_precision("high")
    pipeline = BUILT[name]()
    guide, empty = None, None
    if teacher is not None:
        pipeline = type(pipeline).from_pretrained(str(teacher), dtype=torch.float32).to(device)
        guide = Denoising(type(pipeline).from_pretrained(str(teacher), dtype=torch.float32).to(device)).eval()
        guide.requires_grad_(False)
        empty = encode(pipeline.tokenizer, [""]).to(device)
    guidance = pipeline.config.guidance_scale
    model = Denoising(pipeline.to(device)).train()
    objective = Objective(pipeline, device, guide, guidance, empty)
    if device.startswith("cuda"):
        frames, ids = Batches(pipeline.tokenizer, seed, plan.batch, 0)[0]
        latents, ids = objective.latents(frames), ids.to(device)
        model.capture(latents, objective.timesteps(plan.batch), ids)
    run = GeneratorRun(out, model, plan, device)
    singles, dropped = (plan.singles, 0.1) if teacher is None else (0, 0.0)
    data = Batches(pipeline.tokenizer, seed, plan.batch, singles, dropped)
    stream = batches(data, run.step, workers, pinned=device != "cpu")
    for step in run.steps():
        frames, ids = next(stream)
        run.update(objective(model, frames, ids, seed_of("noise", seed, step)))
    run.average_into(model)
    folder = out / "checkpoint"
    if teacher is not None:
        pipeline.register_to_config(guidance_scale=1.0)
    model.eval()
    for part in (pipeline.unet, pipeline.text_encoder, pipeline.vae):
        part.half()
    pipeline.save_pretrained(folder)
    shutil.copyfile(run.log_file, folder / "training.jsonl")
    return folder


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=sorted(BUILT))
    parser.add_argument("--out", type=Path, required=True, help="folder for state, log and checkpoint/")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="how many steps")
    length.add_argument("--minutes", type=float, help="how long, all sessions together, whatever the steps")
    parser.add_argument("--teacher", type=Path, help="a trained folder: learn what guidance makes of it")
    parser.add_argument("--batch", type=int, default=32, help="clips per step")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--singles", type=int, default=300, help="first steps with single objects only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that render ahead")
    parser.add_argument("--save-every", type=int, default=200, help="steps between resume points")
    a = parser.parse_args(argv)
    plan = Plan(a.steps, a.minutes, a.batch, a.rate, a.singles, a.save_every)
    train(a.name, a.out, plan, a.seed, a.device, a.workers, a.teacher)


if __name__ == "__main__":
    main()
