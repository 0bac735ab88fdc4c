"""Stage 4: train one arm with one seed, in one process or several (`accelerate launch`).

An arm is finished when its folder is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from synvita.core.identity import Digests
from synvita.core.provenance import seed_of
from synvita.core.timings import note_seconds
from synvita.train.arm_folder import adapter_folder, checkpoint_folder
from synvita.train.arms import Arm
from synvita.train.config import TrainConfig
from synvita.train.examples import Example, Pair, join, weights_path
from synvita.train.parallel import Processes
from synvita.train.prepare import prepare
from synvita.train.same_bits import same_bits
from synvita.train.trainer import Trainer
from synvita.train.watch import split_held_out
from synvita.videollm.lora import add_lora
from synvita.videollm.models import load_model
from synvita.videollm.protocol import VideoLLM
from synvita.videollm.visual import VisualStore


def without(example: Example, failed: dict[str, str]) -> Example | None:
    """An example without the clips that cannot be read; None if its real video cannot."""
    if any(line.video in failed and not line.synthetic for line in example.lines):
        return None
    keep = [i for i, line in enumerate(example.lines) if line.video not in failed]
    place = {old: new for new, old in enumerate(keep)}
    pairs = [p for p in example.pairs if p.aligned in place and p.counterpart in place]
    moved = tuple(Pair(place[p.aligned], place[p.counterpart], p.weight) for p in pairs)
    return Example(example.id, tuple(example.lines[i] for i in keep), moved)


def usable(examples: list[Example], store: VisualStore, processes: Processes) -> tuple[list[Example], dict[str, str]]:
    """The examples whose videos can be read, and {video: reason} for the others; features are cached meanwhile."""
    videos = list(dict.fromkeys(v for e in examples for v in e.videos))
    failed = processes.merged(store.load(videos[processes.rank :: processes.number]))
    return [kept for e in examples if (kept := without(e, failed)) is not None], failed


def train_arm(
    run: Path,
    name: str,
    arm: Arm,
    config: TrainConfig,
    seed: int,
    tick: Callable[..., None] = lambda *_: None,
) -> Path:
    """Train, write `models/<model>/adapters/<arm>/<seed>/` (peft adapter, log.jsonl, arm.json) in one rename; what is
    there is kept.

    Goes on from the last checkpoint of `checkpoints/<arm>/<seed>/` beside it after a kill or a SIGTERM.

    Raises:
        ValueError: a name or seed that cannot be a folder's; nothing to train on; begun with other data or settings.
        FloatingPointError: a loss is not finite; names the batch's examples. MemoryError: not even half a micro-batch
            fits.
    """
    out, folder = (place(run, config.home, name, seed) for place in (adapter_folder, checkpoint_folder))
    if (out / "arm.json").exists():
        return out
    processes = Processes(config)
    joined = join(run, arm, config.grouping, config.explanations)
    model = load_model(config.model, processes.loading(config))
    store = VisualStore(model, run / "cache", run, config.decode_timeout, config.cache_gb)
    examples, failed = usable(joined.examples, store, processes)
    if not examples:
        raise ValueError(f"--run: {run}: none of the {len(joined.examples)} training examples has readable videos")
    examples, held_out = split_held_out(examples, config.held_out)
    torch.manual_seed(seed_of("lora", seed) % 2**63)
    wrapped = add_lora(model, config.lora)
    if config.gradient_checkpointing:
        wrapped.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    processes.shard(model)
    ready = [prepare(model.questioner, e, config.shared_tokens) for e in examples]
    trainer = Trainer(model, wrapped, store, ready, held_out, arm, config, seed, folder, processes)
    started = time.monotonic()
    with same_bits(config.deterministic):
        trainer.run(tick)
    facts = {
        "arm": name,
        "seed": seed,
        "weights_from": joined.weights_from,
        "grouping": config.grouping,
        "triplets": len(examples),
        "with_clip": sum(any(line.synthetic for line in e.lines) for e in examples),
        "clips": joined.clips,
        "without_clip": joined.missing,
        "without_clip_ids": joined.missing_ids,
        "explanations": joined.explanations,
        "held_out": len(held_out),
        "set_aside": [{"video": video, "reason": reason} for video, reason in failed.items()],
        "temporal_attention": model.temporal_attention,
        "processes": processes.number,
        "sharded": processes.sharded,
        "best": trainer.best,
        "made_from": made_from(run, arm),
        "prompt": prompt_of(model, examples[0].lines[0].caption),
        "frames": {name: getattr(model.policy, name) for name in ("count", "rule", "size", "fps")},
    }
    trainer.finish(out, facts)
    if processes.first:
        note_seconds(run, f"train {config.model_name} {name} {seed}", time.monotonic() - started)
    store.close()
    return out


def prompt_of(model: VideoLLM, caption: str) -> str:
    """What follows the video in the prompt, with "..." for the caption."""
    asker = model.questioner
    return asker.decode(asker.ask(caption).ids).replace(caption, "...", 1)


def made_from(run: Path, arm: Arm) -> dict[str, str]:
    """Digests of the files that an arm is trained on."""
    names = ["triplets.jsonl", *(["items.jsonl"] if (run / "items.jsonl").exists() else [])]
    path = weights_path(run, arm)
    names += [path.relative_to(run).as_posix()] if path is not None and path.exists() else []
    digests = Digests(run)
    found = {name: digests.of(name) for name in names}
    digests.save()
    return found
