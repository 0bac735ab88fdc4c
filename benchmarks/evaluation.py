"""The whole path of `synvita evaluate` in SSv2-Events' shape, decoding and files included, against a pair at a time.

    python benchmarks/evaluation.py                    # 49 captions x 60 videos
    python benchmarks/evaluation.py --full             # x 588, the benchmark's own size

The model is the shipped `mini-video-llava`; the videos are encoded here first, 320 x 240, 48 frames. Ours: the stage
`AskPairs` on a run folder, one process, from the benchmark's file to the file of scores. A pair at a time, on some of
the pairs (`--alone`), half before and half behind ours: decode, vision, whole prompt, for each pair anew; nothing
written. Prints pairs per second and CPU seconds of both, the largest difference of their log-odds, and what share of
our time each part takes. Loading is not counted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from scoring import last_logits

from synvita.core.records import Triplet
from synvita.core.store import parse_lines, write_records
from synvita.core.write_video import write_video
from synvita.evaluate.ask import AskPairs, Base, Loaded
from synvita.evaluate.config import EvaluateConfig
from synvita.executors import job, local
from synvita.executors.job import Outcome
from synvita.videollm import scoring, visual
from synvita.videollm.protocol import Loading

MODEL, TASK = "mini-video-llava", "ssv2_events"
FULL = 588
COLOURS, SHAPES, SIDES = ("red", "blue", "green"), ("circle", "square", "cross"), ("left", "right")


class Clock:
    """Seconds by part, each without the parts that run inside it, so that they add up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.inside = [0.0]  # per call that is open: seconds of the calls inside it

    def watch(self, owner: Any, name: str, part: str) -> None:
        """Put a timed function in the place of `owner.name`."""
        real: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **more: Any) -> Any:
            self.inside.append(0.0)
            start = time.perf_counter()
            try:
                return real(*arguments, **more)
            finally:
                whole = time.perf_counter() - start
                self.seconds[part] += whole - self.inside.pop()
                self.inside[-1] += whole

        setattr(owner, name, timed)


def captions(number: int) -> list[str]:
    """Different ones, of two events each."""
    events = [f"a {colour} {shape} moving {side}" for colour, shape, side in itertools.product(COLOURS, SHAPES, SIDES)]
    pairs = [f"{one} then {other}" for one, other in itertools.permutations(events, 2)]
    return random.Random(0).sample(pairs, number)


def build(run: Path, number: int, texts: list[str]) -> None:
    """A run folder with the benchmark's pairs and videos; of each caption about 12 of 588 are right."""
    names = [f"videos/{i:04}.mp4" for i in range(number)]
    for i, name in enumerate(names):
        coarse = np.random.default_rng(i).integers(0, 256, (48, 12, 16, 3), dtype=np.uint8)
        write_video(run / name, coarse.repeat(20, 1).repeat(20, 2), 12)
    rows = [
        {"query": text, "caption": text, "video": name, "label": int(i % len(texts) == c)}
        for c, text in enumerate(texts)
        for i, name in enumerate(names)
    ]
    write_records(run / "benchmarks" / f"{TASK}.jsonl", rows)
    write_records(run / "triplets.jsonl", [Triplet("t", names[0], "a", "b")])


def watch(clock: Clock, here: Loaded) -> None:
    model, disk = here.model, "disk and JSON"
    clock.watch(here.store.decoder, "video", "decoding")
    for name in ("look", "media"):
        clock.watch(model, name, "vision")
    clock.watch(model.language, "forward", "language, the rest")
    for module in model.language.modules():
        if isinstance(module, torch.nn.Linear):
            clock.watch(module, "forward", "language, matrix products")
    clock.watch(model, "logits", "language, matrix products")
    clock.watch(scoring, "score_each", "tokens and masks")
    clock.watch(local, "run", "the rest")
    for owner, name in (
        (visual, "file_digest"), (visual, "write_atomic"), (AskPairs, "items"), (AskPairs, "is_done"),
        (job.Job, "take"), (job, "read_by_key"), (job, "write_by_key"),
    ):  # fmt: skip
        clock.watch(owner, name, disk)


@torch.no_grad()
def alone(here: Loaded, file: Path, caption: str) -> float:
    """One pair from its file, as one would write it without this package's caches and shared prefixes."""
    model = here.model
    media = model.media([model.look(here.store.decoder.video(file, model.policy))])[0]
    ids = [*media.ids, *model.questioner.ask(caption).ids]
    logits = last_logits(model, ids, media.visual, len(ids) - 1)
    return float(logits[model.questioner.answers.yes] - logits[model.questioner.answers.no])


Pair = tuple[str, str]  # video, caption


def cpu() -> float:
    """CPU seconds of this process and of decoders that have ended: what other work beside it changes least."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def timed(here: Loaded, file: Path, work: Callable[[], Any]) -> tuple[Any, np.ndarray]:
    """(what it gives, (seconds, CPU seconds)). The decoder's start is in the latter only."""
    before = cpu()
    here.store.decoder.video(file, here.model.policy)
    start = time.perf_counter()
    given = work()
    seconds = time.perf_counter() - start
    here.store.close()
    return given, np.array([seconds, cpu() - before])


def measured(run: Path, texts: list[str], a: argparse.Namespace) -> dict[str, Any]:
    stage = AskPairs(TASK, "off_the_shelf", 0, Base(f"models/{MODEL}", MODEL, Loading(), {}), EvaluateConfig())
    here = stage.ready(run)
    rows = [(f"videos/{i:04}.mp4", text) for i in range(a.videos) for text in texts]
    sample = random.Random(1).sample(rows, min(a.alone, len(rows)))
    clock, file = Clock(), run / sample[0][0]
    watch(clock, here)

    def some(pairs: list[Pair]) -> dict[Pair, float]:
        return {(video, text): alone(here, run / video, text) for video, text in pairs}

    theirs, alone_s = timed(here, file, lambda: some(sample[::2]))

    def ours() -> Outcome:
        clock.seconds.clear()
        return local.run(stage, run, tick=lambda *_: None)

    outcome, ours_s = timed(here, file, ours)
    parts = dict(clock.seconds)
    more, more_s = timed(here, file, lambda: some(sample[1::2]))
    theirs, alone_s = theirs | more, alone_s + more_s
    odds = {(r["video"], r["caption"]): r["log_odds"] for _, r in parse_lines(run / stage.folder / stage.file)}
    if outcome.made != a.videos or len(odds) != len(rows):
        raise SystemExit(f"{outcome.made} of {a.videos} videos, {len(odds)} of {len(rows)} pairs were scored")
    whole = sum(parts.values())
    ratio = alone_s / len(sample) / (ours_s / len(rows))
    return {
        "captions": len(texts), "videos": a.videos, "pairs": len(rows), "threads": a.threads, "seconds": ours_s[0],
        "pairs_per_s": len(rows) / ours_s[0], "cpu_s": ours_s[1], "pairs_alone": len(sample), "alone_s": alone_s[0],
        "alone_pairs_per_s": len(sample) / alone_s[0], "alone_cpu_s": alone_s[1], "ratio": ratio[0],
        "ratio_of_cpu": ratio[1],
        "largest_difference": max(abs(odds[pair] - theirs[pair]) for pair in sample),
        "spread_of_scores": float(np.ptp(np.array(list(odds.values())))),
        "shares": {part: spent / whole for part, spent in sorted(parts.items(), key=lambda p: -p[1])},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=49)
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--full", action="store_true", help=f"{FULL} videos")
    parser.add_argument("--alone", type=int, default=200, help="pairs that are also asked one at a time")
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    a.videos = FULL if a.full else a.videos
    torch.set_num_threads(a.threads)
    with tempfile.TemporaryDirectory() as folder:
        texts = captions(a.captions)
        build(Path(folder), a.videos, texts)
        found = measured(Path(folder), texts, a)
    found["shares"] = {part: round(share, 3) for part, share in found["shares"].items()}
    rounded = {
        k: round(float(v), 3) if isinstance(v, float) and k != "largest_difference" else v for k, v in found.items()
    }
    sys.stdout.write(json.dumps(rounded, indent=1) + "\n")


if __name__ == "__main__":
    main()
