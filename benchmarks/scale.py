"""What planning and the pure functions of files cost at the paper's size: records only, no video and no model.

    python benchmarks/scale.py [--triplets 175000]

Writes a run folder with that many training triplets, a clip each, scores of one scorer and weights. Each step runs in a
process of its own; prints its CPU seconds and its peak memory, and the same at a quarter of the size, so that growth
that is worse than linear shows.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from synvita.core.artefacts import clips_file, scores_file
from synvita.core.links import ClipOfTriplet
from synvita.core.records import Clip, Misalignment, ScoredClip, Triplet, clip_id
from synvita.core.store import write_records
from synvita.generate.clips import GenerateConfig

KINDS = list(Misalignment)
HOME = "models/base"


def build(run: Path, number: int) -> None:
    triplets, clips, links, scores = [], [], [], []
    for i in range(number):
        caption, negative = f"caption {i} of a video that shows something", f"caption {i} of a video that shows nothing"
        triplets.append(Triplet(f"t{i:06}", f"videos/{i:06}.mp4", caption, negative, KINDS[i % len(KINDS)]))
        name = clip_id(negative, "lavie", "1", {}, i)
        clips.append(Clip(name, negative, "lavie", "1", {}, i, f"clips/lavie/{name}.mp4"))
        links.append(ClipOfTriplet(f"t{i:06}", name))
        for text, prime in ((negative, 7919), (caption, 104729)):
            scores.append(ScoredClip(name, text, "llava", 4, "both_ends", [256, 256], i * prime % 1000 / 1000))
    write_records(run / "triplets.jsonl", triplets)
    write_records(clips_file(run, "lavie"), sorted(clips, key=lambda clip: clip.clip_id))
    write_records(run / "clip_of_triplet.jsonl", links)
    write_records(scores_file(run, "llava"), sorted(scores, key=lambda score: score.clip_id))
    for arm in ("real_only", "synvita"):  # at full size 29,166 pairs, as VideoCon's test has, and as many to rank
        rng = random.Random(arm)
        pairs = [pair(i, rng) for i in range(number // 6)]
        write_records(run / HOME / "pairs" / arm / "0" / "open.jsonl", pairs)
        ranked = [row | {"query": f"q{i % 49:02}", "label": int(i % 25 == 0)} for i, row in enumerate(pairs)]
        write_records(run / HOME / "pairs" / arm / "0" / "retrieval_events.jsonl", ranked)


def pair(number: int, rng: random.Random) -> dict[str, object]:
    row = {"video": f"test/{number // 2:06}.mp4", "caption": f"caption {number}", "label": number % 2}
    kind = str(KINDS[number // 2 % len(KINDS)])
    return row | {"query": f"t{number // 2}", "misalignment": kind, "unseen": False, "log_odds": rng.gauss(0, 1)}


def plan(run: Path) -> int:
    """What `weigh`, a shard of it and `status` do before any model is loaded."""
    from synvita.executors.job import Job
    from synvita.weigh.stage import ScoreClips, scorer_part

    return len(Job(ScoreClips(scorer_part("llava", {})), run, None).done)


def weigh(run: Path) -> int:
    from synvita.weigh.config import WeighConfig
    from synvita.weigh.weigh import weigh as weigh_all

    return weigh_all(run, WeighConfig(oracle=False))["weights"]


def links(run: Path) -> int:
    from synvita.core.links import write_links

    write_links(run, {})
    return 0


def examples(run: Path) -> int:
    from synvita.train.arms import Arm
    from synvita.train.examples import join

    return len(join(run, Arm("learned", 1.0)).examples)


def quality(run: Path) -> int:
    """The parts of `evaluate` that look at every clip: Figure 2."""
    from synvita.evaluate.weight_quality import score_differences

    return sum(len(found["values"]) for found in score_differences(run).values())


def status(run: Path) -> int:
    from synvita import inventory
    from synvita.recipes import own_triplets

    config = own_triplets()
    return len(inventory.status(run, replace(config, generate=GenerateConfig("scale:Nothing"))).splitlines())


class Nothing:
    """A generator that is planned and never asked."""

    def describe(self) -> dict[str, object]:
        return {"revision": "1", "fps": 8}

    def generate(self, captions: object, seeds: object) -> list[object]:
        raise AssertionError("only planned here")


def results(run: Path) -> int:
    """The figures of two arms, intervals and differences included."""
    from synvita.evaluate.config import EvaluateConfig
    from synvita.evaluate.results import collect

    return len(collect(run, {HOME: ["real_only", "synvita"]}, 0, EvaluateConfig())["arms"])


STEPS = {step.__name__: step for step in (plan, weigh, links, examples, quality, status, results)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triplets", type=int, default=175_000)
    parser.add_argument("--steps", default=",".join(STEPS), help="these only, as plan,weigh (default: all)")
    parser.add_argument("--step", choices=list(STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.step:
        start = time.process_time()
        found = STEPS[a.step](a.run)
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sys.stdout.write(json.dumps({"items": found, "cpu_s": round(seconds, 2), "peak_mb": round(peak)}) + "\n")
        return
    for number in (a.triplets // 4, a.triplets):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            build(run, number)
            for name in a.steps.split(","):
                command = [sys.executable, __file__, "--step", name, "--run", str(run)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                sys.stdout.write(f"{number:>8} {name:<10} {done.stdout}")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
