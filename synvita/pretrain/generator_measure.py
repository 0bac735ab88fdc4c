"""How well a trained generator shows what it is asked for, by the rule-based checker, per kind of caption.

    python -m synvita.pretrain.generator_measure mini-videocrafter2 --clips 64 --out measured/
    python -m synvita.pretrain.generator_measure mini-videocrafter2 --clips 64 --out measured/ --triplets runs/demo

Writes `fidelity.json` and a contact sheet per kind (a clip per row, its caption beside it, a plus where all is right).
With `--triplets` the captions are a run's negative captions, by misalignment type.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from synvita.core.provenance import seed_of
from synvita.core.records import Misalignment, Triplet
from synvita.core.store import read_records
from synvita.generate.places import SHIPPED
from synvita.generate.videocrafter2_pipeline import VideoCrafter2Pipeline
from synvita.pretrain.generator_clips import MIX, draw_any
from synvita.world.captions import caption_of, parse_caption
from synvita.world.checker import Reading, Seen, read
from synvita.world.scenes import Content, describes

ROWS, LEFT = 16, 330  # of a contact sheet: clips, and pixels for the caption


def verdict(said: Content, reading: Reading) -> dict[str, bool]:
    """What of a caption in full detail its clip has right.

    objects: as many coherent ones as said and no strays. The acting thing's colour, shape and events, and the second
    thing's, must be among what is seen; count: right number of the acting thing; whole: everything.
    """

    def fits(o: Seen, *parts: str) -> bool:
        wanted = {"colour": said.thing.colour, "shape": said.thing.shape, "events": said.events}
        return all(getattr(o, part) == wanted[part] for part in parts)

    content, number = reading.content(), said.count + (said.second is not None)
    found = {"objects": reading.coherent and len(reading.objects) == number}
    found |= {part: any(fits(o, part) for o in reading.objects) for part in ("colour", "shape", "events")}
    found["size"] = content is not None and content.thing.size == said.thing.size
    found["count"] = sum(fits(o, "colour", "shape") for o in reading.objects) == said.count
    if said.relation:
        found["relation"] = content is not None and content.relation == said.relation
    return found | {"whole": content is not None and describes(said, content)}


def sample(pipeline: Any, captions: Sequence[str], seeds: Sequence[int], batch: int, **settings: Any) -> np.ndarray:
    """(N, T, H, W, 3) uint8; a generator of its own per clip."""
    made = []
    for at in range(0, len(captions), batch):
        own = [torch.Generator().manual_seed(seed) for seed in seeds[at : at + batch]]
        made.append(pipeline(list(captions[at : at + batch]), generator=own, **settings).frames)
    return np.concatenate(made)


def contact_sheet(clips: np.ndarray, captions: Sequence[str], right: Sequence[bool], file: Path) -> None:
    """The first clips, one per row, frames from left to right."""
    clips, scale = clips[:ROWS], 2
    n, frames, height, width, _ = clips.shape
    sheet = Image.new("RGB", (LEFT + frames * (scale * width + 2), n * (scale * height + 4)), "white")
    pen = ImageDraw.Draw(sheet)
    for i, clip in enumerate(clips):
        top = i * (scale * height + 4)
        pen.text((4, top + height - 6), f"{'+' if right[i] else '-'} {captions[i]}", "black")
        for t, frame in enumerate(clip):
            tile = Image.fromarray(frame).resize((scale * width, scale * height), Image.Resampling.NEAREST)
            sheet.paste(tile, (LEFT + t * (scale * width + 2), top))
    sheet.save(file)


def load(name: str, device: str) -> Any:
    """The pipeline of a folder, or of a shipped name."""
    folder = SHIPPED / name if (SHIPPED / name).is_dir() else Path(name)
    pipeline = VideoCrafter2Pipeline.from_pretrained(str(folder), dtype=torch.float32).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def shown(captions: Sequence[str], seen: Sequence[Content | None]) -> list[bool]:
    return [c is not None and describes(parse_caption(t), c) for t, c in zip(captions, seen, strict=True)]


def measure_negatives(pipeline: Any, run: Path, out: Path, clips: int, batch: int, **settings: Any) -> Any:
    """By misalignment type the shares of clips of a negative caption that show it, that show the real caption instead
    (the failure of Fig. 2), and that show the next triplet's negative caption: what chance would give."""
    shares: dict[str, Any] = {}
    triplets = [t for t in read_records(run / "triplets.jsonl", Triplet, ("id",)) if t.split == "train"]
    for kind in Misalignment:
        some = [t for t in triplets if t.misalignment == kind][:clips]
        if not some:
            continue
        captions = [t.negative_caption for t in some]
        made = sample(pipeline, captions, [seed_of("measured", t.id) for t in some], batch, **settings)
        seen = [read(clip).content() for clip in made]
        right = shown(captions, seen)
        row = {"target": right, "original": shown([t.caption for t in some], seen)}
        row |= {"chance": shown(captions[1:] + captions[:1], seen)}
        shares[str(kind)] = {name: float(np.mean(values)) for name, values in row.items()} | {"clips": len(some)}
        contact_sheet(made, captions, right, out / f"{kind}.png")
    return shares


def measure(pipeline: Any, out: Path, clips: int, kinds: Sequence[str], batch: int, **settings: Any) -> Any:
    """Shares per kind, seconds per clip."""
    shares: dict[str, Any] = {}
    for kind in kinds:
        rng = np.random.default_rng([seed_of("measure", kind)])
        scenes = [draw_any(rng, kind) for _ in range(clips)]
        captions = [caption_of(scene) for scene in scenes]
        begun = time.perf_counter()
        made = sample(pipeline, captions, [seed_of("measured", kind, i) for i in range(clips)], batch, **settings)
        seconds = (time.perf_counter() - begun) / clips
        verdicts = [verdict(scene, read(clip)) for scene, clip in zip(scenes, made, strict=True)]
        shares[kind] = {k: float(np.mean([v[k] for v in verdicts if k in v])) for k in verdicts[0]}
        shares[kind]["seconds_per_clip"] = round(seconds, 4)
        contact_sheet(made, captions, [v["whole"] for v in verdicts], out / f"{kind}.png")
    return shares


def table(shares: dict[str, dict[str, float]]) -> str:
    """In percent; seconds and counts as they are."""
    columns = list(dict.fromkeys(k for row in shares.values() for k in row))
    as_is = {"seconds_per_clip": "{:.2f}", "clips": "{:.0f}"}
    lines = ["| kind | " + " | ".join(c.replace("_", " ") for c in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for kind, row in shares.items():
        cells = [as_is[k].format(row[k]) if k in as_is else f"{100 * row[k]:.0f}" if k in row else "" for k in columns]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pipeline", help="the folder of a trained one, or a shipped name")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=64, help="per kind")
    parser.add_argument("--kinds", default=",".join(MIX))
    parser.add_argument("--triplets", type=Path, help="a run folder: its negative captions, by misalignment type")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, help="of the sampler (default: the folder's)")
    parser.add_argument("--guidance", type=float, help="(default: the folder's)")
    a = parser.parse_args(argv)
    settings = {"num_inference_steps": a.steps, "guidance_scale": a.guidance}
    pipeline = load(a.pipeline, a.device)
    a.out.mkdir(parents=True, exist_ok=True)
    if a.triplets is not None:
        shares = measure_negatives(pipeline, a.triplets, a.out, a.clips, a.batch, **settings)
    else:
        shares = measure(pipeline, a.out, a.clips, a.kinds.split(","), a.batch, **settings)
    used = {k: v for k, v in settings.items() if v is not None}
    written = {"clips": a.clips, "settings": used, "kinds": shares}
    (a.out / "fidelity.json").write_text(json.dumps(written, indent=2) + "\n")
    sys.stdout.write(table(shares) + "\n")


if __name__ == "__main__":
    main()
