"""How much cheaper are the paper's three scorers than one (frame, caption) pair at a time?

    python benchmarks/weighing.py [--captions 2] [--clips 2] [--threads 2] [--scorers llava,clip_flant5,instructblip]
    python benchmarks/weighing.py --full      # the released sizes in bf16 on a GPU: clips per minute, no naive path

Random weights. Token counts are the released models' (576 patches per frame, 257 of InstructBLIP's, the prompts of
VQAScore, captions of 15-25 tokens); widths and layers are chosen so that each pair's operations are shared out
between vision and language as in the released models (`SHARES`), and the CLIP tower of LLaVA and CLIP-FlanT5 is one.
Both ways get the same decoded and preprocessed frames, use the same kernels and threads, and take logits of the
answer's positions only. Prints seconds, the ratio, the ratio of the operations that must happen, and the largest
difference of the scores.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import shapes

from synvita.core.question import Answers
from synvita.core.video import Sampled
from synvita.videollm.tree_attention import use_tree_attention
from synvita.weigh.clip_flant5 import ClipFlanT5, ClipFlanT5Scorer
from synvita.weigh.clip_tower import TowerLayer
from synvita.weigh.image_pixels import ImagePixels
from synvita.weigh.instructblip import InstructBlip
from synvita.weigh.llava import FramedQuestioner, Llava, Parts

FRAMES = 4


@dataclass(frozen=True)
class Sizes:
    """Widths and layers. clip, eva: the two towers. qformer: InstructBLIP's. The language models' heads have 64 each,
    LLaMA's 128 at full size."""

    llama: tuple[int, int, int, int] = (768, 2048, 6, 12)  # width, inner, layers, heads
    t5: tuple[int, int, int] = (512, 1280, 4)  # width, inner, layers of the encoder and of the decoder
    clip: tuple[int, int, int] = (128, 3, 2)  # width, layers, heads; inner is four times the width
    eva: tuple[int, int, int, int] = (128, 560, 9, 2)  # width, inner, layers, heads
    qformer: tuple[int, int, int, int] = (96, 384, 2, 2)
    vocabulary: int = 32_000
    dtype: torch.dtype = torch.float32
    device: str = "cpu"


SMALL = Sizes()
TINY = Sizes((64, 128, 2, 2), (64, 128, 2), (64, 3, 1), (64, 128, 2, 1), (64, 128, 2, 2), 1000)
FULL = Sizes(
    (5120, 13824, 40, 40), (4096, 10240, 24), (1024, 24, 16), (1408, 6144, 39, 16), (768, 3072, 12, 12),
    32_000, torch.bfloat16, "cuda",
)  # fmt: skip
SHARES = {"llava": (0.01, 0.03), "clip_flant5": (0.04, 0.065), "instructblip": (0.36, 0.46)}  # vision of one pair


class T5Words(shapes.Words):
    """As a T5 tokenizer is called: an end token behind every text."""

    all_special_tokens: tuple[str, ...] = ()
    eos_token_id, model_max_length = 1, 2048

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [*self.encode(text), 1]}

    def get_added_vocab(self) -> dict[str, int]:
        return {}


def randomised(model: Any, sizes: Sizes) -> Any:
    """Weights with which an answer depends on what is seen and asked, so that equal scores say something."""
    for name, p in model.named_parameters():
        std = p[0].numel() ** -0.5 if p.ndim > 1 else 0.0
        if any(part in name for part in (".q.", "q_proj", "query")):  # attention that picks; T5's is not scaled
            std *= 0.5 if ".q." in name else 4
        torch.nn.init.normal_(p, float(p.ndim == 1 and "norm" in name.lower()), std)
    return model.to(sizes.device, sizes.dtype).eval().requires_grad_(False)


def on(sizes: Sizes) -> Any:
    return torch.device(sizes.device)


def clip_tower(sizes: Sizes) -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    width, layers, heads = sizes.clip
    config = CLIPVisionConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=heads,
        image_size=336, patch_size=14, attn_implementation="sdpa",
    )  # fmt: skip
    with on(sizes):
        return randomised(CLIPVisionModel(config), sizes)


def projector(sizes: Sizes, width: int) -> Any:
    with on(sizes):
        made = torch.nn.Sequential(
            torch.nn.Linear(sizes.clip[0], width), torch.nn.GELU(), torch.nn.Linear(width, width)
        )
    return randomised(made, sizes)


def t5(sizes: Sizes) -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    width, inner, layers = sizes.t5
    config = T5Config(
        vocab_size=sizes.vocabulary, d_model=width, d_kv=64, d_ff=inner, num_layers=layers, num_heads=width // 64,
        feed_forward_proj="gated-gelu", decoder_start_token_id=0,
    )  # fmt: skip
    with on(sizes):
        return randomised(T5ForConditionalGeneration._from_config(config, dtype=sizes.dtype), sizes)


def llava(sizes: Sizes, tower: Any) -> Llava:
    scorer = Llava("random", device=sizes.device)
    width, inner, layers, heads = sizes.llama
    language = shapes.llama(
        shapes.Size(width, inner, layers, heads, vocab=sizes.vocabulary, dtype=sizes.dtype, device=sizes.device)
    )
    use_tree_attention(language.model)
    randomised(language, sizes)
    scorer.parts = Parts(TowerLayer(tower, -2, True), projector(sizes, width), language.model, language.lm_head)
    scorer.eye, scorer.language, scorer.width = scorer.parts.see, language.model, sizes.vocabulary
    scorer.questioner = FramedQuestioner(shapes.Words().encode, 1, [], sizes.vocabulary)
    scorer.answers, scorer.placeholder = scorer.questioner.answers, scorer.questioner.prefix()[-1]
    scorer.to_pixels = ImagePixels(336, pad=True)
    return scorer


def clip_flant5(sizes: Sizes, tower: Any) -> ClipFlanT5Scorer:
    scorer = ClipFlanT5Scorer("random", device=sizes.device)
    scorer.model = ClipFlanT5(tower, projector(sizes, sizes.t5[0]), t5(sizes))
    scorer.tokenizer, scorer.special, scorer.longest, scorer.width = T5Words(), [], 2048, sizes.vocabulary
    scorer.answers, scorer.to_pixels, scorer.eye = Answers(3, 4, 1), ImagePixels(336, pad=True), scorer.model.see
    return scorer


def instructblip(sizes: Sizes, _: Any) -> InstructBlip:
    from transformers import InstructBlipConfig, InstructBlipForConditionalGeneration, T5Config

    scorer = InstructBlip("random", device=sizes.device)
    width, inner, layers, heads = sizes.eva
    vision = {
        "hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
        "image_size": 224, "patch_size": 14,
    }  # fmt: skip
    q_width, q_inner, q_layers, q_heads = sizes.qformer
    qformer = {
        "hidden_size": q_width, "intermediate_size": q_inner, "num_hidden_layers": q_layers,
        "num_attention_heads": q_heads, "encoder_hidden_size": width, "vocab_size": 1000,
        "cross_attention_frequency": 2,
    }  # fmt: skip
    small = T5Config(vocab_size=64, d_model=sizes.t5[0], d_kv=8, d_ff=8, num_layers=1, num_heads=1).to_dict()
    config = InstructBlipConfig(vision_config=vision, qformer_config=qformer, text_config=small, num_query_tokens=32)
    with on(sizes):
        scorer.model = randomised(
            InstructBlipForConditionalGeneration._from_config(config, attn_implementation="sdpa"), sizes
        )
    scorer.model.language_model = scorer.t5 = t5(sizes)
    scorer.qformer_tokenizer = scorer.t5_tokenizer = T5Words()
    scorer.special, scorer.width, scorer.answers = [], sizes.vocabulary, Answers(3, 4, 1)
    scorer.to_pixels, scorer.eye = ImagePixels(224, pad=False), scorer.see
    return scorer


SCORERS = {"llava": llava, "clip_flant5": clip_flant5, "instructblip": instructblip}


# ---- operations (multiply-add = 2; causal attention counts half)


def tower_flops(width: int, inner: int, layers: int, tokens: int) -> float:
    return layers * (2 * tokens * (4 * width**2 + 2 * width * inner) + 4 * width * tokens**2)


def vision_flops(name: str, sizes: Sizes) -> float:
    """One frame through its tower."""
    if name == "instructblip":
        width, inner, layers, _ = sizes.eva
        return tower_flops(width, inner, layers, 257)
    width, layers, _ = sizes.clip
    return tower_flops(width, 4 * width, layers, 577)


def project_flops(name: str, sizes: Sizes) -> float:
    width = {"llava": sizes.llama[0], "clip_flant5": sizes.t5[0]}.get(name)
    return 0.0 if width is None else 2 * 576 * (sizes.clip[0] * width + width**2)


def t5_flops(sizes: Sizes, tokens: int) -> float:
    """Encoder over `tokens`; decoder over the two positions of the answer, keys and values of the encoder's states."""
    width, inner, layers = sizes.t5
    encoder = 2 * tokens * (4 * width**2 + 3 * width * inner) + 4 * width * tokens**2
    decoder = 4 * tokens * width**2 + 2 * 2 * (6 * width**2 + 3 * width * inner)
    return layers * (encoder + decoder)


def qformer_flops(sizes: Sizes, words: int) -> float:
    width, inner, layers, _ = sizes.qformer
    own = 2 * (32 + words) * (4 * width**2 + 2 * width * inner) + 4 * width * (32 + words) ** 2
    cross = 2 * 257 * 2 * sizes.eva[0] * width + 2 * 32 * 2 * width**2 + 4 * width * 32 * 257
    return layers * own + (layers + 1) // 2 * cross


def llama_flops(sizes: Sizes, new: int, before: int = 0) -> float:
    width, inner, layers, heads = sizes.llama
    return shapes.language_flops(shapes.Size(width, inner, layers, heads), new, before)


def caption_flops(name: str, scorer: Any, sizes: Sizes, caption: str) -> tuple[float, float]:
    """(a caption's operations on one frame by itself; those that are the same for all captions)."""
    if name == "llava":
        asked = scorer.questioner.ask(caption)
        before = len(scorer.questioner.prefix()) - 1 + 576 + asked.caption[0]
        own = len(asked.ids) - asked.caption[0] + 1  # the answer's own token predicts its end
        return llama_flops(sizes, own, before), llama_flops(sizes, before)
    if name == "clip_flant5":
        return t5_flops(sizes, len(scorer.ask(caption)) - 1 + 576), 0.0
    words = len(scorer.ask(caption)[0])
    return qformer_flops(sizes, words) + t5_flops(sizes, 32 + words), 0.0


def operations(names: Sequence[str], scorers: dict[str, Any], sizes: Sizes, texts: list[str]) -> dict[str, Any]:
    """Of one frame with all captions: one pair at a time, and the least."""
    naive, least, shares, towers = {}, {}, {}, set()
    for name in names:
        vision, project = vision_flops(name, sizes), project_flops(name, sizes)
        own, same = zip(*(caption_flops(name, scorers[name], sizes, text) for text in texts), strict=True)
        naive[name] = sum(own) + len(texts) * (vision + project + same[0])
        shares[name] = round(vision * len(texts) / naive[name], 3)
        tower = "eva" if name == "instructblip" else "clip"
        least[name] = sum(own) + same[0] + project + (0.0 if tower in towers else vision)
        towers.add(tower)
    return {"naive": naive, "least": least, "vision_share_of_a_pair": shares}


# ---- the two ways


def videos_of(count: int) -> list[Sampled]:
    """Clips of 720 x 480, as CogVideoX makes them."""
    found = []
    for seed in range(count):
        frames = np.random.default_rng(seed).integers(0, 255, (FRAMES, 480, 720, 3), dtype=np.uint8)
        found.append(Sampled(frames, list(range(FRAMES)), FRAMES, 8.0))
    return found


def one_frame(scorer: Any, video: Sampled, at: int) -> Sampled:
    """A clip of one frame whose pixels are there, and nothing else."""
    frame = Sampled(video.frames[at : at + 1], [0], 1, video.rate)
    frame.kept[(scorer.to_pixels, False)] = scorer.kept_pixels(video)[at : at + 1]
    return frame


def naive(scorers: dict[str, Any], videos: list[Sampled], texts: list[str]) -> dict[str, np.ndarray]:
    """One scorer, clip, caption and frame at a time -> (clips, captions)."""
    found = {}
    for name, scorer in scorers.items():
        rows = []
        for video in videos:
            pairs = [[scorer.score(one_frame(scorer, video, t), [text])[0] for text in texts] for t in range(FRAMES)]
            rows.append(np.mean(pairs, 0))
        found[name] = np.array(rows)
    return found


def ours(scorers: dict[str, Any], videos: list[Sampled], texts: list[str]) -> dict[str, np.ndarray]:
    """As `weigh` does it: clips with all their captions, the scorers side by side."""
    fresh = []
    for video in videos:
        again = Sampled(video.frames, video.indices, video.total, video.rate)
        for scorer in scorers.values():
            again.kept[(scorer.to_pixels, False)] = scorer.kept_pixels(video)
        fresh.append(again)
    return {name: np.array(scorer.score_many(fresh, [texts] * len(fresh))) for name, scorer in scorers.items()}


def wait(sizes: Sizes) -> float:
    if sizes.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def compare(a: argparse.Namespace, sizes: Sizes) -> dict[str, Any]:
    names, texts, videos = a.scorers.split(","), shapes.captions(a.captions), videos_of(a.clips)
    tower = clip_tower(sizes)
    scorers = {name: SCORERS[name](sizes, tower) for name in names}
    for scorer in scorers.values():
        for video in videos:
            scorer.kept_pixels(video)
    ours(scorers, videos[:1], texts[:2])
    naive({names[0]: scorers[names[0]]}, videos[:1], texts[:1])
    seconds: dict[str, float] = {}
    results = {}
    for label, way in (("ours", ours), ("naive", naive)):
        start = wait(sizes)
        results[label] = way(scorers, videos, texts)
        seconds[label] = wait(sizes) - start
    counted = operations(names, scorers, sizes, texts)
    ratio = sum(counted["naive"].values()) / sum(counted["least"].values())
    reached = seconds["naive"] / seconds["ours"]
    logs = {label: np.log(np.stack([found[name] for name in names])) for label, found in results.items()}
    rate = shapes.matrix_rate(shapes.Size(sizes.llama[0], sizes.llama[1], dtype=sizes.dtype, device=sizes.device))
    least = sum(counted["least"].values()) * FRAMES * a.clips
    return {
        "scorers": names, "captions": a.captions, "clips": a.clips, "threads": a.threads,
        "naive_s": round(seconds["naive"], 2), "ours_s": round(seconds["ours"], 2), "ratio": round(reached, 2),
        "ratio_of_operations": round(ratio, 2), "share_of_that_ratio": round(reached / ratio, 3),
        "least_gflop": round(least / 1e9, 1), "share_of_floor": round(least / rate / seconds["ours"], 3),
        "vision_share_of_a_pair": counted["vision_share_of_a_pair"],
        "largest_relative_difference": float(np.abs(logs["ours"] - logs["naive"]).max()),
        "spread_of_log_scores": float(np.ptp(logs["naive"], axis=(1, 2)).min()),
    }  # fmt: skip


def full(a: argparse.Namespace, sizes: Sizes) -> dict[str, Any]:
    """One scorer after the other, as on a card that holds one: clips per minute."""
    texts, videos = shapes.captions(a.captions), videos_of(a.clips)
    found: dict[str, Any] = {"device": torch.cuda.get_device_name(), "captions": a.captions, "clips": a.clips}
    minutes = 0.0
    for name in a.scorers.split(","):
        torch.cuda.reset_peak_memory_stats()
        scorer = SCORERS[name](sizes, clip_tower(sizes))
        for video in videos:
            scorer.kept_pixels(video)
        ours({name: scorer}, videos, texts)
        start = wait(sizes)
        ours({name: scorer}, videos, texts)
        spent = (wait(sizes) - start) / 60
        minutes += spent
        peak = round(torch.cuda.max_memory_allocated() / 1e9, 1)
        found[name] = {"clips_per_minute": round(a.clips / spent, 1), "peak_gpu_memory_gb": peak}
        del scorer
        torch.cuda.empty_cache()
    return found | {"clips_per_minute_all": round(a.clips / minutes, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=2)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scorers", default=",".join(SCORERS))
    parser.add_argument("--full", action="store_true", help="the released sizes in bf16 on a GPU")
    parser.add_argument("--tiny", action="store_true", help="sizes that say nothing, to try this script")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    found = full(a, FULL) if a.full else compare(a, TINY if a.tiny else SMALL)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
