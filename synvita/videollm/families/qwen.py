"""Qwen2.5-VL and Qwen3-VL: videos of any size and length, visual tokens placed in time, height and width.

Both read pairs of frames and merge 2 x 2 patches into a token. Qwen2.5-VL writes all tokens of a video in one block and
puts their time into the positions; Qwen3-VL writes a time as text before each pair of frames, and adds features from
inside the tower to the first layers of the language model (deepstack).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synvita.core.frame_rules import FramePolicy
from synvita.core.question import Questioner
from synvita.core.video import Sampled
from synvita.videollm.families.pixels import CLIP_MEAN, CLIP_STD
from synvita.videollm.families.qwen_pixels import QwenPixels
from synvita.videollm.protocol import Features, Media

START, VIDEO, END = "<|vision_start|>", "<|video_pad|>", "<|vision_end|>"
USUAL_RATE = 24.0  # frames per second of a video that does not say; the official processors assume it too

# Values of the official processor classes for what a checkpoint leaves out. Qwen2.5-VL's class has no `fps` (it then
# takes every frame); 2 is what the authors sample with (qwen-vl-utils), and Qwen3-VL's class has it.
QWEN25 = {
    "size": {"shortest_edge": 128 * 28 * 28, "longest_edge": 768 * 28 * 28},
    "patch_size": 14,
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
    "max_video_tokens": 128000,
}
QWEN3 = {
    "size": {"shortest_edge": 128 * 32 * 32, "longest_edge": 768 * 32 * 32},
    "patch_size": 16,
    "image_mean": (0.5, 0.5, 0.5),
    "image_std": (0.5, 0.5, 0.5),
    "max_video_tokens": 768,
}
BOTH = {"merge_size": 2, "temporal_patch_size": 2, "fps": 2.0, "min_frames": 4, "max_frames": 768}


def frame_policy(preprocess: QwenPixels, frames: int, rule: str, step: int) -> FramePolicy:
    """Which frames: as many as somebody asked for, or by the checkpoint's own rule.

    Raises:
        ValueError: an odd number asked for; the last frame would count twice.
    """
    pair, has = preprocess.pair, preprocess.settings.extra
    if frames % pair:
        raise ValueError(f"--frames: {frames}; this model takes them by {pair}: give {frames - frames % pair + pair}")
    least = max(has["min_frames"], pair)
    count = frames or has.get("num_frames", 0)
    return FramePolicy(count, rule, fps=float(has["fps"]), least=least, most=has["max_frames"], step=step)


def refuse_windows(folder: Path) -> None:
    """ValueError if a layer sees only the nearest tokens: packed questions have no such mask."""
    from transformers import AutoConfig

    text = AutoConfig.from_pretrained(folder).get_text_config()
    if "sliding_attention" in (getattr(text, "layer_types", None) or []):
        raise ValueError(
            f"{folder}/config.json: use_sliding_window: true with {text.sliding_window} tokens; the layers that use it "
            "cannot answer packed questions; set it to false (no released Qwen2.5-VL uses it)"
        )


def see(model: Any, given: dict[str, Tensor]) -> Any:
    """What the vision tower makes of pixel values; `pooler_output` (V, width) are the visual tokens."""
    tower = model.model.visual
    values, grid = given["pixel_values_videos"], given["video_grid_thw"]
    return tower(values.to(tower.device, tower.dtype), grid_thw=grid.to(tower.device))


def expand(ids: list[int], placeholder: int, each: int) -> list[int]:
    """Every placeholder `each` times."""
    return [i for i in ids for _ in range(each if i == placeholder else 1)]


def rope_positions(ids: list[int], placeholder: int, blocks: Iterable[tuple[Tensor, int, int]]) -> Tensor:
    """(3, len(ids)) positions in time, height and width.

    A text token stands one behind the largest position before it, alike in all three. A block of visual tokens counts
    from there: its time from `times`, its height and width from the merged grid (arXiv:2409.12191, section 2.1). After
    a long video, text thus goes on behind its last time; transformers >= 5.3 goes on behind its height and width, which
    is not what the weights were trained with (their authors' docstring of Qwen2.5-VL's `get_rope_index`).

    Args:
        blocks: per run of placeholders, (times (T,), rows, columns).
    """
    places: list[Tensor] = []
    here, left = 0, iter(blocks)
    for visual, run in groupby(ids, lambda i: i == placeholder):
        n = len(list(run))
        place = torch.arange(n).expand(3, -1)
        if visual:
            times, rows, columns = next(left)
            place = torch.cartesian_prod(times, torch.arange(rows), torch.arange(columns)).T
        places.append(place + here)
        here = int(places[-1].max()) + 1
    return torch.cat(places, 1)


class Qwen25VL:
    """A `Family` (see `videollm.chat`). Features: `visual` (V, width), `grid` (3,), `seconds` per step of the grid."""

    token = VIDEO

    def __init__(self, folder: Path, frames: int = 0):
        refuse_windows(folder)
        self.preprocess = QwenPixels.from_folder(folder, whole=False, **BOTH, **QWEN25)
        self.policy = frame_policy(self.preprocess, frames, "segment_starts", step=self.preprocess.pair)

    def pixels(self, video: Sampled) -> dict[str, Tensor]:
        """`pixel_values_videos`, `video_grid_thw` and `second_per_grid_ts` (1,): seconds from pair to pair."""
        values, grid = self.preprocess(video.frames)
        rate = len(video.indices) / video.total * (video.rate or USUAL_RATE)
        seconds = torch.tensor([self.preprocess.pair / rate])
        return {"pixel_values_videos": values, "video_grid_thw": grid, "second_per_grid_ts": seconds}

    def look(self, model: Any, video: Sampled) -> Features:
        """Visual tokens behind the tower's merger, and what their positions depend on."""
        given = self.pixels(video)
        visual = see(model, given).pooler_output
        return {"visual": visual, "grid": given["video_grid_thw"][0], "seconds": given["second_per_grid_ts"]}

    def media(self, model: Any, questioner: Questioner, features: Features) -> Media:
        """All tokens of the video in one block, at positions that grow with seconds."""
        time, rows, columns = (int(n) for n in features["grid"])
        merge = self.preprocess.merge
        times = torch.arange(time) * (model.config.vision_config.tokens_per_second * features["seconds"])
        ids = expand(questioner.prefix(), questioner.placeholder, len(features["visual"]))
        blocks = [(times.long(), rows // merge, columns // merge)]
        return Media(ids, features["visual"], rope_positions(ids, questioner.placeholder, blocks))


class Qwen3VL:
    """A `Family`. Features: `visual` (V, width), `deep` (K, V, width), `grid` (3,), `times` (T,) fp64 in seconds."""

    token = VIDEO

    def __init__(self, folder: Path, frames: int = 0):
        refuse_windows(folder)
        self.preprocess = QwenPixels.from_folder(folder, whole=True, **BOTH, **QWEN3)
        self.policy = frame_policy(self.preprocess, frames, "both_ends_rounded", step=1)

    def pixels(self, video: Sampled) -> dict[str, Tensor]:
        """`pixel_values_videos`, `video_grid_thw` and `timestamps` (T,) fp64: the middle of each pair, in seconds."""
        values, grid = self.preprocess(video.frames)
        pair = self.preprocess.pair
        indices = video.indices + video.indices[-1:] * (-len(video.indices) % pair)
        shown = torch.tensor(indices, dtype=torch.float64) / (video.rate or USUAL_RATE)
        times = (shown[::pair] + shown[pair - 1 :: pair]) / 2
        return {"pixel_values_videos": values, "video_grid_thw": grid, "timestamps": times}

    def look(self, model: Any, video: Sampled) -> Features:
        """Visual tokens behind the tower's mergers, and what the text between them says."""
        given = self.pixels(video)
        seen = see(model, given)
        deep = torch.stack(list(seen.deepstack_features))
        grid, times = given["video_grid_thw"][0], given["timestamps"]
        return {"visual": seen.pooler_output, "deep": deep, "grid": grid, "times": times}

    def media(self, model: Any, questioner: Questioner, features: Features) -> Media:
        """`<0.3 seconds>` and the tokens of a pair of frames between start and end marks, pair after pair.

        This stands for the template's marks and placeholder together, as in the authors' processor (transformers 4.57);
        transformers 5 leaves the template's marks around it. The last end mark is the template's own: the question
        begins with it.

        Raises:
            ValueError: a chat template without the marks.
        """
        before = questioner.before.removesuffix(START + VIDEO)
        if before == questioner.before or not questioner.head.startswith(END):
            raise ValueError(f"the chat template has no {START}{VIDEO}{END} for a video; take the model's own template")
        pairs = [f"<{time:.1f} seconds>{START}{VIDEO}" for time in features["times"].tolist()]
        _, rows, columns = (int(n) for n in features["grid"])
        merge = self.preprocess.merge
        block = (torch.zeros(1, dtype=torch.long), rows // merge, columns // merge)
        ids = questioner.tokens(before + END.join(pairs))
        ids = expand(ids, questioner.placeholder, block[1] * block[2])
        places = rope_positions(ids, questioner.placeholder, [block] * len(pairs))
        return Media(ids, features["visual"], places, features["deep"])
