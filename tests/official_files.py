"""Complete official files, tiny: every key that the released ones have, under its official name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from synvita.generate.videocrafter2_scheduler import VideoCrafter2Scheduler

DATA = Path(__file__).parent / "data"
WIDTH, BLOCKS, LETTERS = 64, 3, "abcdefghijklmnopqrstuvwxyz"
FORMS = ("bare", "state_dict", "deepspeed")


class Draw:
    """Random weights by name and shape."""

    def __init__(self, seed: int) -> None:
        self.rng, self.made = torch.Generator().manual_seed(seed), {}

    def layer(self, name: str, *shape: int) -> None:
        fan_in = torch.tensor(shape[1:]).prod().item()
        self.made[f"{name}.weight"] = torch.randn(shape, generator=self.rng) / fan_in**0.5
        self.made[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=self.rng)

    def norm(self, name: str, channels: int) -> None:
        self.made[f"{name}.weight"] = 1 + 0.1 * torch.randn(channels, generator=self.rng)
        self.made[f"{name}.bias"] = 0.1 * torch.randn(channels, generator=self.rng)


def ldm_vae_weights(ch: int = 32, mult: tuple[int, ...] = (1, 2), blocks: int = 1, z: int = 4) -> dict[str, Tensor]:
    """As latent diffusion's Encoder and Decoder name them."""
    draw, deepest, levels = Draw(1), ch * mult[-1], len(mult)

    def res(name: str, channels: int, out: int) -> None:
        draw.norm(f"{name}.norm1", channels)
        draw.layer(f"{name}.conv1", out, channels, 3, 3)
        draw.norm(f"{name}.norm2", out)
        draw.layer(f"{name}.conv2", out, out, 3, 3)
        if channels != out:
            draw.layer(f"{name}.nin_shortcut", out, channels, 1, 1)

    def middle(name: str) -> None:
        res(f"{name}.block_1", deepest, deepest)
        draw.norm(f"{name}.attn_1.norm", deepest)
        for layer in ("q", "k", "v", "proj_out"):
            draw.layer(f"{name}.attn_1.{layer}", deepest, deepest, 1, 1)
        res(f"{name}.block_2", deepest, deepest)

    draw.layer("encoder.conv_in", ch, 3, 3, 3)
    channels = ch
    for level, multiple in enumerate(mult):
        for block in range(blocks):
            res(f"encoder.down.{level}.block.{block}", channels, ch * multiple)
            channels = ch * multiple
        if level < levels - 1:
            draw.layer(f"encoder.down.{level}.downsample.conv", channels, channels, 3, 3)
    middle("encoder.mid")
    draw.norm("encoder.norm_out", deepest)
    draw.layer("encoder.conv_out", 2 * z, deepest, 3, 3)
    draw.layer("decoder.conv_in", deepest, z, 3, 3)
    middle("decoder.mid")
    for level, multiple in reversed(list(enumerate(mult))):
        for block in range(blocks + 1):
            res(f"decoder.up.{level}.block.{block}", channels, ch * multiple)
            channels = ch * multiple
        if level:
            draw.layer(f"decoder.up.{level}.upsample.conv", channels, channels, 3, 3)
    draw.norm("decoder.norm_out", ch)
    draw.layer("decoder.conv_out", 3, ch, 3, 3)
    draw.layer("quant_conv", 2 * z, 2 * z, 1, 1)
    draw.layer("post_quant_conv", z, z, 1, 1)
    return draw.made


def open_clip_weights(words: int) -> dict[str, Tensor]:
    """As OpenCLIP's text tower names them."""
    draw = Draw(2)
    for n in range(BLOCKS):
        block = f"transformer.resblocks.{n}"
        draw.norm(f"{block}.ln_1", WIDTH)
        draw.layer("in_proj", 3 * WIDTH, WIDTH)
        for kind in ("weight", "bias"):
            draw.made[f"{block}.attn.in_proj_{kind}"] = draw.made.pop(f"in_proj.{kind}")
        draw.layer(f"{block}.attn.out_proj", WIDTH, WIDTH)
        draw.norm(f"{block}.ln_2", WIDTH)
        draw.layer(f"{block}.mlp.c_fc", 4 * WIDTH, WIDTH)
        draw.layer(f"{block}.mlp.c_proj", WIDTH, 4 * WIDTH)
    draw.norm("ln_final", WIDTH)
    more = {
        "token_embedding.weight": torch.randn(words, WIDTH, generator=draw.rng),
        "positional_embedding": torch.randn(77, WIDTH, generator=draw.rng),
        "text_projection": torch.randn(WIDTH, WIDTH, generator=draw.rng),
        "logit_scale": torch.tensor(4.6),
    }
    return draw.made | more


def tiny_tokenizer(folder: Path) -> int:
    """A CLIP tokenizer that spells; how many words it has. "!" is the first, as in CLIP's."""
    from transformers import CLIPTokenizer

    pieces = [f"{letter}{end}" for letter in f"!{LETTERS}" for end in ("", "</w>")]
    vocabulary = {piece: i for i, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    CLIPTokenizer(vocabulary, [], model_max_length=77).save_pretrained(folder)
    return len(vocabulary)


def schedule() -> dict[str, Tensor]:
    """The buffers that a complete checkpoint has at its top; `scale_arr` is longer than the schedule, as released."""
    ours = VideoCrafter2Scheduler()
    names = json.loads((DATA / "videocrafter2_unet_tiny" / "meta.json").read_text())
    made = {name: torch.zeros(1000) for name in names["latent_diffusion_extra_state_keys"]}
    made["alphas_cumprod"] = ours.alphas_cumprod.float()
    made["scale_arr"] = torch.cat([ours.scale, torch.full((400,), 0.7)]).float()
    return made


def videocrafter2_weights(words: int) -> dict[str, Tensor]:
    golden = load_file(DATA / "videocrafter2_unet_tiny" / "state_dict.safetensors")
    rng = torch.Generator().manual_seed(3)
    for key, value in golden.items():  # the recorded network reads a text of width 24; OpenCLIP's is a multiple of 64
        if value.ndim == 2 and value.shape[1] == 24:
            golden[key] = torch.randn(value.shape[0], WIDTH, generator=rng) / 8
    return {
        **{f"model.diffusion_model.{key}": value.float() for key, value in golden.items()},
        **{f"first_stage_model.{key}": value for key, value in ldm_vae_weights().items()},
        **{f"cond_stage_model.model.{key}": value for key, value in open_clip_weights(words).items()},
        **schedule(),
    }


def in_form(weights: dict[str, Tensor], form: str) -> dict[str, Any]:
    if form == "deepspeed":
        return {"module": {f"_forward_module.{k}": v for k, v in weights.items()}, "global_steps": 7}
    return {"state_dict": weights, "epoch": 3} if form == "state_dict" else weights


def write_videocrafter2(folder: Path, form: str = "state_dict") -> Path:
    """`model.ckpt`, upstream's configuration beside it, and a tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    words = tiny_tokenizer(folder / "tokenizer")
    config = json.loads((DATA / "videocrafter2_unet_tiny" / "config.json").read_text()) | {"context_dim": WIDTH}
    described = {"model": {"params": {"unet_config": {"params": config}}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(described))
    torch.save(in_form(videocrafter2_weights(words), form), folder / "model.ckpt")
    return folder / "model.ckpt"


def write_base(folder: Path) -> Path:
    """Stable Diffusion 1.4's folder, as much of it as LaVie needs."""
    from diffusers import AutoencoderKL
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(4)
    words = tiny_tokenizer(folder / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=words,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
    )
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(32, 64),
        scaling_factor=0.18215,
    ).save_pretrained(folder / "vae")
    (folder / "unet").mkdir()
    config = (DATA / "lavie_unet_tiny" / "config.json").read_text().replace("3D", "2D")
    (folder / "unet" / "config.json").write_text(config)
    return folder


def write_lavie(folder: Path, ema: bool = True) -> Path:
    """`lavie_base.pt`, with Stable Diffusion in the folder `base` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "base").exists():
        write_base(folder / "base")
    weights = {k: v.float() for k, v in load_file(DATA / "lavie_unet_tiny" / "state_dict.safetensors").items()}
    torch.save({"ema": weights, "epoch": 1} if ema else weights, folder / "lavie_base.pt")
    return folder / "lavie_base.pt"
