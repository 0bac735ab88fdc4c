"""Random-weight video LLMs with the token counts of the paper's models, small enough for two CPU cores.

What matters for the ratios is kept: visual tokens per video, caption lengths, and the share of the vision part in the
operations of one naive pair. The numbers mean nothing; the work is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from synvita.core.pixels import Preprocess
from synvita.videollm.families.authors_prompts import mplug_owl_questioner, video_llava_questioner
from synvita.videollm.families.languagebind import VideoTower
from synvita.videollm.families.mplug_owl import Eyes, MplugOwlVideo
from synvita.videollm.families.video_llava import VideoLlava
from synvita.videollm.families.video_llava_layouts import Parts
from synvita.videollm.last_layer import read_last_layer
from synvita.videollm.protocol import Loading
from synvita.videollm.tree_attention import use_tree_attention

WORDS = ["a", "man", "dog", "two", "red", "walks", "runs", "over", "the", "then", "before", "while", "his", "ball"]


class Words:
    """A tokenizer that makes one token of each word: lengths are what matters here."""

    def encode(self, text: str) -> list[int]:
        known = {"Yes": 3, "No": 4}
        return [known.get(w, 5 + sum(map(ord, w)) * 31 % 900) for w in text.replace('"', ' " ').split()]

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


def captions(number: int, seed: int = 0) -> list[str]:
    """Captions of 15 to 25 tokens."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(15, 26, (number,), generator=generator)
    return [" ".join(WORDS[i] for i in torch.randint(len(WORDS), (int(n),), generator=generator)) for n in lengths]


@dataclass(frozen=True)
class Size:
    """Language model: width, layers. Vision: width, layers. `dtype`, `device`: where it runs."""

    width: int = 512
    inner: int = 1376
    layers: int = 8
    heads: int = 8
    vision_width: int = 128
    vision_layers: int = 8
    vision_heads: int = 4
    vocab: int = 32000
    dtype: torch.dtype = torch.float32
    device: str = "cpu"


SMALL = {"video_llava": Size(), "mplug_owl": Size(vision_layers=4)}
FULL = {  # the released models
    "video_llava": Size(4096, 11008, 32, 32, 1024, 24, 16, dtype=torch.bfloat16, device="cuda"),
    "mplug_owl": Size(4096, 11008, 32, 32, 1024, 24, 16, dtype=torch.bfloat16, device="cuda"),
}
TINY = {"video_llava": Size(64, 128, 2, 2, 64, 3, 2), "mplug_owl": Size(64, 128, 2, 2, 64, 3, 2)}


def size_of(a: Any) -> Size:
    """The size that a benchmark's arguments `shape`, `full` and `tiny` ask for."""
    return (FULL if a.full else TINY if a.tiny else SMALL)[a.shape]


def llama(size: Size) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=size.vocab, hidden_size=size.width, intermediate_size=size.inner, num_hidden_layers=size.layers,
        num_attention_heads=size.heads, max_position_embeddings=4096, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.device(size.device):
        model = LlamaForCausalLM._from_config(config, attn_implementation="sdpa", dtype=size.dtype)
    use_tree_attention(model.model)
    read_last_layer(model.model)
    return model.eval().requires_grad_(False)


def randomise(module: torch.nn.Module) -> torch.nn.Module:
    for p in module.parameters():
        torch.nn.init.normal_(p, 1.0 if p.ndim == 1 else 0.0, 0.02)
    return module


def video_llava(size: Size) -> VideoLlava:
    """8 frames x 257 tokens = 2056 visual tokens."""
    torch.manual_seed(0)
    vision = {
        "hidden_size": size.vision_width, "intermediate_size": 4 * size.vision_width, "image_size": 224,
        "patch_size": 14, "num_hidden_layers": size.vision_layers, "num_attention_heads": size.vision_heads,
        "layer_norm_eps": 1e-5, "hidden_act": "gelu", "num_frames": 8,
    }  # fmt: skip
    with torch.device(size.device):
        tower = randomise(VideoTower(vision, add_time_attn=True))
        shapes = {"0": (size.width, size.vision_width), "2": (size.width, size.width)}
        projector = {f"{n}.weight": torch.randn(s) * 0.02 for n, s in shapes.items()}
        projector |= {f"{n}.bias": torch.zeros(s[0]) for n, s in shapes.items()}
    parts = Parts(llama(size), tower.eval(), projector, -2, 8, "random", False, {})
    how = Loading(dtype=size.dtype, device=size.device)
    return VideoLlava(parts, video_llava_questioner(Words()), Preprocess(224), how)


def mplug_owl(size: Size) -> MplugOwlVideo:
    """32 frames -> 65 visual tokens."""
    torch.manual_seed(0)
    vision = {
        "hidden_size": size.vision_width, "intermediate_size": 4 * size.vision_width,
        "num_hidden_layers": size.vision_layers, "num_attention_heads": size.vision_heads,
    }  # fmt: skip
    layers = 6 if size.vision_width == 1024 else 2
    abstractor = vision | {"num_hidden_layers": layers, "encoder_hidden_size": size.vision_width}
    with torch.device(size.device):
        eyes = randomise(Eyes({"vision_config": vision, "visual_abstractor_config": abstractor}, size.width))
    how = Loading(dtype=size.dtype, device=size.device)
    return MplugOwlVideo(eyes, llama(size), mplug_owl_questioner(Words()), Preprocess(224), how)


SHAPES = {"video_llava": video_llava, "mplug_owl": mplug_owl}


def matrix_rate(size: Size, seconds: float = 1.0) -> float:
    """Operations per second of plain matrix products of the language model's shape: what the machine can give."""
    import time

    a = torch.randn(2048, size.width, dtype=size.dtype, device=size.device)
    b = torch.randn(size.width, size.inner, dtype=size.dtype, device=size.device)
    count, start = 0, 0.0
    for i in range(100_000):
        if i == 5:
            synchronise(size)
            start = time.perf_counter()
        a @ b
        count += i >= 5
        if i > 5 and i % 20 == 0:
            synchronise(size)
            if time.perf_counter() - start > seconds:
                break
    return count * 2 * 2048 * size.width * size.inner / (time.perf_counter() - start)


def synchronise(size: Size) -> None:
    if size.device == "cuda":
        torch.cuda.synchronize()


def new_peak(size: Size) -> float:
    """Forget the GPU's peak memory; what is held now, in MB."""
    if size.device != "cuda":
        return 0.0
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated() / 1e6


def peak_memory(size: Size) -> float:
    """Most MB that torch has held on the GPU since `new_peak`."""
    return torch.cuda.max_memory_allocated() / 1e6 if size.device == "cuda" else 0.0


# ---- operations (multiply-add = 2; causal attention counts half)


def language_flops(size: Size, new: int, before: int = 0, read: int | None = None) -> float:
    """One sequence: `new` tokens behind `before` cached ones, of whose last states the last `read` are wanted.

    The last layer needs the keys and values of all of them, the rest only of those; None: the rest, too, of all.
    """
    rest = 2 * size.width**2 + 3 * size.width * size.inner
    layers = size.layers if read is None else size.layers - 1
    linear = 2 * new * layers * (2 * size.width**2 + rest)
    attention = 4 * layers * size.width * (new * before + new * new / 2)
    if read is None:
        return linear + attention
    return linear + attention + 2 * new * 2 * size.width**2 + read * (2 * rest + 4 * size.width * (before + new))


def vision_flops(name: str, size: Size) -> float:
    """Frames -> visual tokens."""
    d = size.vision_width
    if name == "video_llava":
        tokens, layers = 8 * 257, size.vision_layers - 1
        per_layer = 2 * tokens * 16 * d * d + 4 * d * (8 * 257**2 + 257 * 8**2)
        return layers * per_layer + 2 * tokens * (d * size.width + size.width**2)
    tokens, queries = 32 * 257, 128
    per_layer = 2 * tokens * 13 * d * d + 4 * d * 32 * 257**2
    layers = 6 if d == 1024 else 2
    abstractor = layers * (2 * 2 * (tokens + queries) * d * d + 4 * d * queries * (tokens + queries))
    return size.vision_layers * per_layer + abstractor
