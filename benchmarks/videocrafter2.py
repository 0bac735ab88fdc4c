"""VideoCrafter2 in half precision with batched guidance against its official way: float32, two passes.

    python benchmarks/videocrafter2.py                    # CPU, a small network of the same class; half is bfloat16
    python benchmarks/videocrafter2.py --trained          # CPU, mini-videocrafter2 with guidance: what the pixels lose
    python benchmarks/videocrafter2.py --full             # a GPU: the released size, Table 10's settings, float16

Same prompts, same noise, text encoder and VAE included. Weights are random but for --trained. `mean_difference` and
`within_1` (the share of values that differ by at most 1) are of 255. With --full: seconds of a clip beside the paper's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers import AutoencoderKL
from transformers import CLIPTextConfig, CLIPTextModel

from synvita.generate.plan import PAPER_SECONDS
from synvita.generate.videocrafter2 import VideoCrafter2Pipeline, VideoCrafter2UNet
from synvita.generate.videocrafter2_scheduler import VideoCrafter2Scheduler

TINY = {"model_channels": 32, "channel_mult": (1, 2), "num_head_channels": 16, "context_dim": 64, "norm_num_groups": 8}
SMALL = {"model_channels": 64, "channel_mult": (1, 2, 4, 4), "num_head_channels": 32, "context_dim": 128}
FULL: dict[str, Any] = {}  # the class's own: 1413.28 M parameters
VAE = {"tiny": (8, 16), "small": (16, 32, 32, 32), "full": (128, 256, 512, 512)}
CALL = {
    "tiny": {"num_frames": 2, "height": 16, "width": 16, "num_inference_steps": 2},
    "small": {"num_frames": 8, "height": 128, "width": 192, "num_inference_steps": 4},
    "full": {"num_frames": 32, "height": 320, "width": 512, "num_inference_steps": 50},
}
PROMPT = "a large red circle moving left"  # of the miniature's world, so that --trained knows it


class Words:
    """A tokenizer as far as the pipeline needs it: ids that a text decides."""

    model_max_length = 77

    def __call__(self, prompts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        length = self.model_max_length
        return {"input_ids": [[(7 * i + len(text)) % 96 + 1 for i in range(length)] for text in prompts]}


def random_pipeline(size: str) -> VideoCrafter2Pipeline:
    torch.manual_seed(0)
    unet = VideoCrafter2UNet(**{"tiny": TINY, "small": SMALL, "full": FULL}[size])
    width, channels = unet.config.context_dim, VAE[size]
    layers, heads = (23, 16) if size == "full" else (2, 2)
    text = CLIPTextConfig(
        vocab_size=49408 if size == "full" else 98,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        bos_token_id=96,
        eos_token_id=97,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=2 if size == "full" else 1,
        norm_num_groups=32 if size == "full" else 8,
        scaling_factor=0.18215,
    )
    return VideoCrafter2Pipeline(vae, CLIPTextModel(text).eval(), Words(), unet.eval(), VideoCrafter2Scheduler())


def trained_pipeline() -> VideoCrafter2Pipeline:
    from synvita.generate import load

    generator = load("mini-videocrafter2")
    generator.load()
    return generator.pipeline


def clip(pipeline: VideoCrafter2Pipeline, call: dict[str, Any], batched: bool, seed: int) -> tuple[np.ndarray, float]:
    """(frames, seconds)"""
    wait: Callable[[], None] = torch.cuda.synchronize if pipeline.device.type == "cuda" else lambda: None
    own = [torch.Generator().manual_seed(seed)]
    wait()
    start = time.perf_counter()
    frames = pipeline(PROMPT, generator=own, batched_guidance=batched, **call).frames[0]
    wait()
    return frames, time.perf_counter() - start


def against(official: list[np.ndarray], other: list[np.ndarray]) -> dict[str, float]:
    apart = np.abs(np.stack(official).astype(int) - np.stack(other))
    return {"mean_difference": float(apart.mean()), "within_1": float((apart <= 1).mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--tiny", action="store_true", help="smaller than the default: whether it runs")
    kind.add_argument("--trained", action="store_true", help="mini-videocrafter2 instead of random weights")
    kind.add_argument("--full", action="store_true", help="the released size, on a GPU")
    parser.add_argument("--guidance", type=float, help="default: 12, with --trained 2")
    parser.add_argument("--clips", type=int, default=3, help="each with a seed of its own; seconds are their median")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--half", choices=["bfloat16", "float16"], help="default: bfloat16, with --full float16")
    a = parser.parse_args()
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
    torch.set_num_threads(a.threads)
    size = "full" if a.full else "tiny" if a.tiny else "small"
    if a.full and not torch.cuda.is_available():
        raise SystemExit("--full: no CUDA device here")
    device, half = ("cuda", a.half or "float16") if a.full else ("cpu", a.half or "bfloat16")
    call = {} if a.trained else dict(CALL[size], fps=8, eta=1.0)
    call["guidance_scale"] = a.guidance or (2.0 if a.trained else 12.0)
    pipeline = (trained_pipeline() if a.trained else random_pipeline(size)).to(device)
    pipeline.set_progress_bar_config(disable=True)
    ways = {  # the official one first; half precision last, because weights do not come back from it
        "float32, two passes": (torch.float32, False),
        "float32, batched": (torch.float32, True),
        f"{half}, batched": (getattr(torch, half), True),
    }
    frames: dict[str, list[np.ndarray]] = {}
    seconds: dict[str, float] = {}
    for name, (dtype, batched) in ways.items():
        pipeline.to(dtype=dtype)
        clip(pipeline, call, batched, 0)  # warm-up
        made = [clip(pipeline, call, batched, seed) for seed in range(a.clips)]
        frames[name], seconds[name] = [one for one, _ in made], statistics.median(s for _, s in made)
    official = next(iter(ways))
    found: dict[str, Any] = {
        "what": "mini-videocrafter2" if a.trained else f"{size}, random weights",
        "device": torch.cuda.get_device_name() if a.full else f"CPU, {a.threads} threads",
        "clips": a.clips,
        **call,
        "ways": {
            name: {
                "seconds": seconds[name],
                "ratio": seconds[official] / seconds[name],
                **against(frames[official], frames[name]),
            }
            for name in ways
        },
        "spread_of_pixels": float(np.stack(frames[official]).std()),
    }
    if a.full:
        found["paper_seconds_on_an_a100"] = PAPER_SECONDS
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
