"""One SynViTA training step with shared prefixes against the authors' way: separate full sequences.

    python benchmarks/training.py [--shape video_llava|mplug_owl] [--grouping triplet|item] [--cached] [--threads 2]

The authors' way: every question and every masked twin is a sequence of its own with the whole video in front (padded
to 257 tokens for mPLUG-Owl), each video is encoded again for each sequence, and logits are computed at every position.
Here: each video is encoded once and its prefix runs once; questions and twins are packed behind it; logits at answer
positions only. Same LoRA (r 32 on the seven projections, no dropout), same loss, forward and backward. `--cached`:
visual tokens come from the cache. Prints seconds, the ratio, operations, peak memory of each way (a process each), the
share that the full logits have in the naive step, and the largest difference of LoRA gradients relative to the largest
gradient.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
import shapes
from scoring import PADDED, frames

from synvita.core.alignment import alignment, log_odds
from synvita.core.packing import Pack, Segment, pack
from synvita.core.records import Triplet
from synvita.train.examples import example_of, items_of
from synvita.train.losses import answer_loss, consistency_loss, total_loss
from synvita.train.objective import count, objective
from synvita.train.prepare import Prepared, prepare
from synvita.train.same_bits import same_bits
from synvita.videollm.lora import Lora, add_lora
from synvita.videollm.packed import hidden_states

WEIGHT = 0.7


def examples(model: object, number: int, grouping: str) -> list[Prepared]:
    """Triplets whose captions differ in two words, with a clip each."""
    texts, found = shapes.captions(number, seed=1), []
    for i, text in enumerate(texts):
        words = text.split()
        words[3], words[7] = "other", "thing"
        triplet = Triplet(f"t{i}", f"real{i}", text, " ".join(words))
        items = items_of(triplet, [(f"clip{i}", WEIGHT)])
        groups = [items] if grouping == "triplet" else [[item] for item in items]
        found += [prepare(model.questioner, example_of(f"t{i}/{k}", some)) for k, some in enumerate(groups)]
    return found


def shared(model: object, batch: list[Prepared], videos: dict, looked: dict | None) -> torch.Tensor:
    media = {name: model.media([looked[name] if looked else model.look(video)])[0] for name, video in videos.items()}
    return objective(model, batch, media, 1.0)["loss"]


def sequence_logits(model: object, video: object, ids: list[int], hidden: list[int], pad: int, full: bool, at: slice):
    """One whole sequence, the vision part included; logits at every position if `full`."""
    media = model.media([model.look(video)])[0]
    start = len(media.ids)
    tokens = [*media.ids, *ids]
    tokens += [0] * max(0, pad - len(tokens))
    packed = pack([[Segment(tokens)]])
    if hidden:
        keys = torch.ones(len(tokens), dtype=torch.bool)
        keys[[start + i for i in hidden]] = False
        mask = (torch.ones(len(tokens), len(tokens), dtype=torch.bool).tril() & keys)[None, None]
        packed = Pack(packed.ids, packed.positions, mask, packed.starts, packed.after)
    states = hidden_states(model.language, packed, model.placeholder, media.visual, causal=not hidden)[0]
    where = slice(start + at.start, start + at.stop)
    return model.logits(states)[where] if full else model.logits(states[where])


def naive(model: object, batch: list[Prepared], videos: dict, pad: int, full: bool = True) -> torch.Tensor:
    """The same loss from separate sequences, all of them in memory at once as in one micro-batch of the authors'."""
    answers, counts = model.questioner.answers, count(batch)
    real = synthetic = torch.tensor(0.0, device=model.language.device)
    pairs = []
    for example in batch:
        f = {}
        for i, q in enumerate(example.questions):
            ids, at = [*q.ids, *q.answer[:-1]], slice(len(q.ids) - 1, len(q.ids) - 1 + len(q.answer))
            logits = sequence_logits(model, videos[q.video], ids, [], pad, full, at)
            twin = sequence_logits(model, videos[q.video], ids, q.hidden, pad, full, at)
            target = torch.tensor(q.answer, device=logits.device)
            loss = answer_loss(logits, target, None, counts.synthetic if q.synthetic else counts.real)
            real, synthetic = (real, synthetic + q.weight * loss) if q.synthetic else (real + loss, synthetic)
            f[i] = [alignment(log_odds(x[0], answers.yes, answers.no)) for x in (logits, twin)]
        pairs += [(*f[p.aligned], *f[p.counterpart], p.weight) for p in example.pairs]
    columns = [torch.stack(column) for column in list(zip(*pairs, strict=True))[:4]]
    weights = torch.tensor([p[4] for p in pairs], device=real.device)
    return total_loss(real, synthetic, consistency_loss(*columns, weights), 1.0)


def step(model: object, loss_of: object) -> tuple[float, list[torch.Tensor], float]:
    """(seconds, gradients, loss) of one forward and backward pass."""
    trained = [p for p in model.language.parameters() if p.requires_grad]
    start = time.perf_counter()
    loss = loss_of()
    grads = torch.autograd.grad(loss, trained)
    value = loss.item()
    return time.perf_counter() - start, list(grads), value


def build(a: argparse.Namespace) -> tuple:
    size = shapes.size_of(a)
    model = shapes.SHAPES[a.shape](size)
    torch.manual_seed(0)
    wrapped = add_lora(model, Lora(32, 32, 0.0))
    for name, p in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.02)
    if a.checkpointing:
        wrapped.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        wrapped.train()
    batch = examples(model, a.triplets, a.grouping)
    names = list(dict.fromkeys(q.video for e in batch for q in e.questions))
    videos = {name: frames(model, i) for i, name in enumerate(names)}
    looked = {name: model.look(video) for name, video in videos.items()} if a.cached else None
    return size, model, batch, videos, looked


def peak(arguments: list[str], way: str) -> float:
    """Peak memory in MB of a process that does one step one way, over one that does none."""
    command = [sys.executable, __file__, *arguments, "--alone", way]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["mb"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(shapes.SHAPES), default="video_llava")
    parser.add_argument("--grouping", choices=["triplet", "item"], default="triplet")
    parser.add_argument("--triplets", type=int, default=1)
    parser.add_argument("--cached", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--full", action="store_true", help="the released sizes in bf16 on a GPU")
    parser.add_argument("--tiny", action="store_true", help="sizes that say nothing, to try this script")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--deterministic", action="store_true", help="on a GPU, kernels that give the same bits")
    parser.add_argument("--only-shared", action="store_true", help="leave the authors' way out")
    parser.add_argument("--no-memory", action="store_true", help="leave out the two processes that measure memory")
    parser.add_argument("--alone", choices=["shared", "naive", "none"], help=argparse.SUPPRESS)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    memory = {}
    if not (a.alone or a.no_memory or a.full):  # first: this process is still small
        arguments = ["--shape", a.shape, "--grouping", a.grouping, "--triplets", str(a.triplets)]
        arguments += ["--cached"] if a.cached else []
        none, one, other = (peak(arguments, way) for way in ("none", "shared", "naive"))
        memory = {"shared_step_mb": one - none, "naive_step_mb": other - none}
        memory["memory_ratio"] = memory["shared_step_mb"] / memory["naive_step_mb"]
    size, model, batch, videos, looked = build(a)
    pad = PADDED if a.shape == "mplug_owl" else 0
    ways = {
        "shared": lambda: shared(model, batch, videos, looked),
        "naive": lambda: naive(model, batch, videos, pad),
        "naive_without_full_logits": lambda: naive(model, batch, videos, pad, full=False),
    }
    with same_bits(a.deterministic):
        measure(a, size, model, batch, ways, memory)


def measure(a: argparse.Namespace, size: shapes.Size, model: object, batch: list, ways: dict, memory: dict) -> None:
    if a.alone:
        if a.alone in ways:
            step(model, ways[a.alone])
        sys.stdout.write(json.dumps({"mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    step(model, ways["shared"])  # warm up
    steps = {}
    for way in ["shared"] if a.only_shared else ["shared", "naive"]:
        before = shapes.new_peak(size)
        steps[way] = min((step(model, ways[way]) for _ in range(a.repeat)), key=lambda s: s[0])
        if a.full:
            memory[f"{way}_step_mb"] = shapes.peak_memory(size) - before
    found = {"shape": a.shape, "grouping": a.grouping, "triplets": a.triplets, "cached": a.cached, "threads": a.threads}
    found |= {
        "checkpointing": a.checkpointing,
        "deterministic": a.deterministic,
        "shared_s": steps["shared"][0],
        "loss": steps["shared"][2],
    }
    rate = shapes.matrix_rate(size)
    least = floor(a, size, batch, model)
    found |= {"least_gflop": least / 1e9, "matrix_gflop_per_s": rate / 1e9}
    found |= {"share_of_floor": least / rate / steps["shared"][0]}
    if not a.only_shared:
        found |= compare(steps, step(model, ways["naive_without_full_logits"]))
    found |= memory
    rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in found.items()}
    sys.stdout.write(json.dumps(rounded, indent=1) + "\n")


def compare(steps: dict, without: tuple) -> dict[str, float]:
    """What one step costs the authors' way, and how far its gradients are from ours."""
    ours, theirs = steps["shared"], steps["naive"]
    largest = max(float(g.abs().max()) for g in theirs[1])
    difference = max(float((x - y).abs().max()) for x, y in zip(ours[1], theirs[1], strict=True)) / largest
    return {
        "naive_s": theirs[0],
        "ratio": theirs[0] / ours[0],
        "naive_without_full_logits_s": without[0],
        "full_logits_share": 1 - without[0] / theirs[0],
        "naive_loss": theirs[2],
        "largest_gradient_difference": difference,
    }


def floor(a: argparse.Namespace, size: shapes.Size, batch: list[Prepared], model: object) -> float:
    """Operations of a shared step: vision once per video, then forward and backward (twice: frozen weights need no
    gradient of their own) of prefixes and of what stands behind them; LoRA's own products are left out."""
    visual = 2056 if a.shape == "video_llava" else 65
    before = len([i for i in model.questioner.prefix() if i != model.placeholder]) + visual
    total = 0.0
    for example in batch:
        videos = {q.video for q in example.questions}
        total += 0 if a.cached else len(videos) * shapes.vision_flops(a.shape, size)
        total += len(videos) * 2 * shapes.language_flops(size, before, read=0)
        for q in example.questions:
            total += 2 * shapes.language_flops(size, len(q.ids) + 1, before, len(q.answer))
            total += 2 * shapes.language_flops(size, len(q.ids), before, 1)  # its twin, which is only asked
    return total


if __name__ == "__main__":
    main()
