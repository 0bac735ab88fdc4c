"""What a warm visual cache saves: files -> scores of 2 captions per video at the mPLUG-Owl shape, cold and warm.

    python benchmarks/warm_cache.py [--videos 12] [--captions 2] [--threads 2]

Cold: decode 32 frames of each file, vision encoder, abstractor, write the cache, score. Warm: the same command again.
`cold_without_decoding_s` leaves out the time of decoding, for models whose decoder is faster.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import shapes

from synvita.core.write_video import write_video
from synvita.videollm.scoring import score_captions
from synvita.videollm.visual import VisualStore


def scores(model: object, folder: Path, names: list[str], texts: list[str]) -> tuple[list[float], float, float]:
    """(log-odds, seconds in all, seconds of decoding)."""
    store = VisualStore(model, folder / "cache", folder)
    store.decoder.video(folder / "warm_up.mp4", model.policy)
    decoding, real = [0.0], store.decoder.video

    def timed(*arguments: object) -> object:
        start = time.perf_counter()
        found = real(*arguments)
        decoding[0] += time.perf_counter() - start
        return found

    store.decoder.video = timed
    start, found = time.perf_counter(), []
    for name in names:
        found += score_captions(model, store.media([name]), [texts])[0].tolist()
    seconds = time.perf_counter() - start
    store.close()
    return found, seconds, decoding[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--captions", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    model = shapes.mplug_owl(shapes.SMALL["mplug_owl"])
    model.visual_key = "benchmark"
    texts = shapes.captions(a.captions)
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        for i in range(-1, a.videos):
            coarse = np.random.default_rng(i + 1).integers(0, 255, (96, 15, 20, 3), dtype=np.uint8)
            write_video(folder / ("warm_up.mp4" if i < 0 else f"{i}.mp4"), coarse.repeat(16, 1).repeat(16, 2), 24)
        names = [f"{i}.mp4" for i in range(a.videos)]
        cold, cold_s, decoding_s = scores(model, folder, names, texts)
        warm, warm_s, _ = scores(model, folder, names, texts)
    found = {"videos": a.videos, "captions": a.captions, "threads": a.threads, "cold_s": cold_s, "warm_s": warm_s}
    found |= {"ratio": cold_s / warm_s, "cold_without_decoding_s": cold_s - decoding_s}
    found["ratio_without_decoding"] = found["cold_without_decoding_s"] / warm_s
    found["largest_difference"] = float(np.abs(np.array(cold) - np.array(warm)).max())
    sys.stdout.write(json.dumps({k: round(v, 3) for k, v in found.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
