"""How much cheaper are N captions per video with a shared prefix than one forward pass per pair?

    python benchmarks/scoring.py [--shape video_llava|mplug_owl] [--captions 49] [--videos 2] [--threads 2]

Naive: for every pair the vision part and one whole prompt, as the authors' scripts do (mPLUG-Owl's padded to 257
tokens, as theirs is; `--unpadded` leaves that out), with the same decoded frames, kernels, threads and last-position
logits. Prints the operations that must happen, the naive seconds, the ratio, the share of the floor reached (the floor:
the least operations at the machine's rate on plain matrix products), and the largest difference of the log-odds.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import shapes

from synvita.core.packing import Segment, pack
from synvita.core.video import Sampled
from synvita.videollm.packed import hidden_states
from synvita.videollm.scoring import score_captions

PADDED = 257


def frames(model: object, seed: int) -> Sampled:
    count = model.policy.count
    pixels = np.random.default_rng(seed).integers(0, 255, (count, 224, 224, 3), dtype=np.uint8)
    return Sampled(pixels, list(range(count)), count, 8.0)


@torch.no_grad()
def naive(model: object, video: Sampled, captions: list[str], padded: bool) -> list[float]:
    """One pair at a time."""
    answers, scores = model.questioner.answers, []
    for caption in captions:
        media = model.media([model.look(video)])[0]
        ids = [*media.ids, *model.questioner.ask(caption).ids]
        last = len(ids) - 1
        ids += [0] * max(0, PADDED - len(ids)) if padded else []
        logits = last_logits(model, ids, media.visual, last)
        scores.append(float(logits[answers.yes] - logits[answers.no]))
    return scores


def last_logits(model: object, ids: list[int], visual: torch.Tensor, last: int) -> torch.Tensor:
    """The decoder's own causal pass over one sequence."""
    states = hidden_states(model.language, pack([[Segment(ids)]]), model.placeholder, visual, causal=True)
    return model.logits(states[0, last])


def shared(model: object, videos: list[Sampled], captions: list[str], **at_once: int) -> list[list[float]]:
    found = []
    for video in videos:
        media = model.media([model.look(video)])
        found.append(score_captions(model, media, [captions], **at_once)[0].tolist())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(shapes.SHAPES), default="video_llava")
    parser.add_argument("--captions", type=int, default=49)
    parser.add_argument("--videos", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--at-once", type=int, help="captions in one pass (default: 16, on a GPU 64)")
    parser.add_argument("--unpadded", action="store_true")
    parser.add_argument("--only-shared", action="store_true", help="leave the naive path out; for peak memory")
    parser.add_argument("--full", action="store_true", help="the released sizes in bf16 on a GPU")
    parser.add_argument("--tiny", action="store_true", help="sizes that say nothing, to try this script")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    size = shapes.size_of(a)
    model = shapes.SHAPES[a.shape](size)
    texts = shapes.captions(a.captions)
    videos = [frames(model, i) for i in range(a.videos)]
    at_once = {"questions_at_once": a.at_once} if a.at_once else {}
    # Warm up. A GPU loads each kernel when it first meets a shape, so there with the same shapes.
    shared(model, videos[:1], texts if a.full else texts[:2], **at_once)
    start = time.perf_counter()
    ours = shared(model, videos, texts, **at_once)
    shapes.synchronise(size)
    seconds = time.perf_counter() - start
    found = {"shape": a.shape, "captions": a.captions, "videos": a.videos, "threads": a.threads}
    found |= {"shared_s": round(seconds, 3)}
    if not a.only_shared:
        if a.full:
            naive(model, videos[0], texts, a.shape == "mplug_owl" and not a.unpadded)
        start = time.perf_counter()
        theirs = [naive(model, video, texts, a.shape == "mplug_owl" and not a.unpadded) for video in videos]
        found["naive_s"] = round(time.perf_counter() - start, 3)
        found["ratio"] = round(found["naive_s"] / seconds, 2)
        found |= floor(a, size, model, texts)
        rate = shapes.matrix_rate(size)
        found["matrix_gflop_per_s"] = round(rate / 1e9, 1)
        found["share_of_floor"] = round(found["least_gflop"] * 1e9 / rate / seconds, 3)
        found["largest_difference"] = float(np.abs(np.array(ours) - np.array(theirs)).max())
        found["spread_of_scores"] = float(np.ptp(np.array(theirs)))
    if a.full:
        tokens = sum(len(model.questioner.ask(text).ids) for text in texts) + len(
            model.media([model.look(videos[0])])[0].ids
        )
        found |= {"tokens_per_s": round(tokens * a.videos / seconds), "seconds_per_video": round(seconds / a.videos, 3)}
        found["peak_gpu_memory_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 1)
    found["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


def floor(a: argparse.Namespace, size: shapes.Size, model: object, texts: list[str]) -> dict[str, float]:
    """Counted operations (without head and norms): what must happen at least, and what the naive path does."""
    asked = [model.questioner.ask(text) for text in texts]
    head = asked[0].caption[0]
    visual = 2056 if a.shape == "video_llava" else 65
    before = len([i for i in model.questioner.prefix() if i != model.placeholder]) + visual
    vision = shapes.vision_flops(a.shape, size)
    least = vision + shapes.language_flops(size, before + head, read=0)
    least += sum(shapes.language_flops(size, len(q.ids) - head, before + head, 1) for q in asked)
    pad = PADDED if a.shape == "mplug_owl" and not a.unpadded else 0
    one = [shapes.language_flops(size, max(pad, before + len(q.ids))) + vision for q in asked]
    return {
        "naive_gflop": round(a.videos * sum(one) / 1e9, 1),
        "least_gflop": round(a.videos * least / 1e9, 1),
        "vision_share_of_a_naive_pair": round(vision / (sum(one) / len(one)), 3),
        "ratio_of_operations": round(sum(one) / least, 2),
    }


if __name__ == "__main__":
    main()
