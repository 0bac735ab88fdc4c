"""Pipelines from the files that the authors of LaVie and VideoCrafter2 published, converted once to safetensors."""

from __future__ import annotations

import contextlib
import fcntl
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from synvita.core.provenance import file_digest, known_digest
from synvita.core.reading import read_json, read_yaml
from synvita.generate.lavie import LaviePipeline, LavieUNet, lavie_scheduler
from synvita.generate.ldm_parts import ldm_vae, open_clip_text
from synvita.generate.official import parts, read_official
from synvita.generate.videocrafter2 import VideoCrafter2Pipeline, VideoCrafter2Scheduler, load_unet

VIDEOCRAFTER2_PARTS = {
    "UNet": "model.diffusion_model.",
    "VAE": "first_stage_model.",
    "text encoder": "cond_stage_model.model.",
}
VIDEOCRAFTER2_SCHEDULE = (
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "scale_arr",
)
RECORD = "official.json"


def videocrafter2_pipeline(path: Path, tokenizer: str) -> VideoCrafter2Pipeline:
    """The pipeline of a `model.ckpt`. A `config.yaml` beside it, upstream's, describes a network of another size.

    Args:
        tokenizer: a folder or hub name of CLIP's; OpenCLIP's has the same words, but pads with "!" (id 0), and the
            network sees the padding.
    Raises:
        ValueError: another model's file; a tokenizer that is not there or has more words than the text encoder.
    """
    tensors, scheduler = read_official(path), VideoCrafter2Scheduler()
    found = parts(tensors, VIDEOCRAFTER2_PARTS, VIDEOCRAFTER2_SCHEDULE)
    check_schedule(tensors, scheduler)
    text, words = open_clip_text(found["text encoder"]), clip_tokenizer(tokenizer, pad_token="!")
    if len(words) > text.config.vocab_size:
        raise ValueError(f"tokenizer: {tokenizer}: {len(words)} words; the text encoder has {text.config.vocab_size}")
    unet = load_unet(found["UNet"], described_unet(path.with_name("config.yaml")))
    return VideoCrafter2Pipeline(ldm_vae(found["VAE"]), text, words, unet, scheduler)


def described_unet(path: Path) -> dict[str, Any]:
    """`unet_config.params` of an upstream configuration; without one, what was released. ValueError: no such entry."""
    if not path.is_file():
        return {}
    entry: Any = read_yaml(path)
    for key in ("model", "params", "unet_config", "params"):
        entry = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(entry, dict):
        raise ValueError(f"{path}: has no model.params.unet_config.params; take upstream's or remove it")
    return entry


def check_schedule(tensors: dict[str, torch.Tensor], scheduler: VideoCrafter2Scheduler) -> None:
    """ValueError: the file was trained with another schedule of noise."""
    for name, ours in (("alphas_cumprod", scheduler.alphas_cumprod), ("scale_arr", scheduler.scale)):
        theirs = tensors.get(name)
        if theirs is not None and not torch.allclose(theirs[: len(ours)].double(), ours, rtol=1e-4):
            raise ValueError(f"{name}: not VideoCrafter2's schedule; another model's file")


def lavie_pipeline(path: Path, base: Path) -> LaviePipeline:
    """The pipeline of a `lavie_base.pt`; the rest is Stable Diffusion 1.4's.

    Args:
        base: Stable Diffusion 1.4's folder, in diffusers' format.
    Raises:
        ValueError: another model's file; a component that the folder lacks.
    """
    from diffusers import AutoencoderKL
    from transformers import CLIPTextModel

    for name in ("vae", "text_encoder", "tokenizer", "unet/config.json"):
        if not (base / name).exists():
            raise ValueError(f"base: {base}: lacks {name}; give Stable Diffusion 1.4 in diffusers' format")
    unet = LavieUNet.from_official(read_official(path), read_json(base / "unet" / "config.json"))
    vae, text = component(AutoencoderKL, base, "vae"), component(CLIPTextModel, base, "text_encoder")
    return LaviePipeline(vae, text, clip_tokenizer(str(base / "tokenizer")), unet, lavie_scheduler())


def component(kind: Any, base: Path, name: str) -> Any:
    """ValueError: it cannot be read; weights that the folder lacks: the libraries would draw them."""
    try:
        made, told = kind.from_pretrained(base, subfolder=name, output_loading_info=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"base: {base / name}: cannot be read ({reason}); fetch it again") from None
    lacking = sorted(told["missing_keys"])
    if lacking:
        raise ValueError(f"base: {base / name}: lacks the tensor {lacking[0]} ({len(lacking)} in all); fetch it again")
    return made


def clip_tokenizer(name: str, **more: Any) -> Any:
    """ValueError: it is not there, or no tokenizer."""
    from transformers import CLIPTokenizer

    try:
        return CLIPTokenizer.from_pretrained(name, **more)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"tokenizer: {name}: cannot be read ({reason}); give CLIP's folder or hub name") from None


# ---- once


def converted(path: Path, made_with: dict[str, str], make: Callable[[], Any]) -> Path:
    """The folder beside an official file with its pipeline in safetensors; made when it is not there or not the file's.

    `official.json` in it records the file's sha256. Processes that want it at the same time wait for the first.

    Args:
        made_with: what else decides the pipeline, by name.
        make: the pipeline of the file.
    Raises:
        ValueError: as `make`; no room or no right to write beside the file.
    """
    folder = path.with_name(f"{path.name}-converted")
    if is_current(folder, path, made_with):
        return folder
    try:
        with alone(folder.with_name(f".{folder.name}.lock")):
            if not is_current(folder, path, made_with):
                pipeline = make()
                with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=path.parent) as room:
                    fresh = Path(room) / "fresh"
                    pipeline.save_pretrained(fresh)
                    record = {"file": path.name, "sha256": file_digest(path, 64), "made_with": made_with}
                    (fresh / RECORD).write_text(json.dumps(record, indent=2) + "\n")
                    if folder.exists():
                        folder.rename(Path(room) / "old")
                    fresh.rename(folder)
    except OSError as error:
        why = error.strerror or " ".join(str(error).split())
        way_out = f"make room ({2 * path.stat().st_size / 1e9:.0f} GB) or link the file into a folder of your own"
        raise ValueError(f"{folder}: cannot be written ({why}); {way_out}") from None
    return folder


def is_current(folder: Path, path: Path, made_with: dict[str, str]) -> bool:
    if not (folder / RECORD).is_file():
        return False
    record = read_json(folder / RECORD, ("sha256", "made_with"))
    return record["made_with"] == made_with and str(record["sha256"]).startswith(known_digest(path))


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
