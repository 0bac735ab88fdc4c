"""SmolVLM2: about one frame per second; the prompt tells the video's length and the time of each frame."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.models.smolvlm import processing_smolvlm as official

from synvita.core.frame_rules import FramePolicy
from synvita.core.question import Questioner
from synvita.core.video import Sampled
from synvita.videollm.families.pixels import VideoSettings, channels_first
from synvita.videollm.protocol import Features, Media

FPS, FRAMES = 1, 64  # of a checkpoint that does not say; the official ones do
LONGEST = 4096  # pixels; the official processor makes no frame larger than this on its way
WRAP, WHOLE, IMAGE = "<fake_token_around_image>", "<global-img>", "<image>"
ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
ONES += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(number: int) -> str:
    """42 -> "forty-two", as num2words writes it; ValueError from 1000 on."""
    if not 0 <= number < 1000:
        raise ValueError(f"--frames: {number} frames cannot be told to SmolVLM in words; give at most 999")
    if number < 20:
        return ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens - 2] + (f"-{ONES[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{ONES[hundreds]} hundred" + (f" and {in_words(rest)}" if rest else "")


class SmolVLM:
    """A `Family` (see `videollm.chat`).

    `token`: the last token of a video's text stands for the video in the template: `<video>`, which the official
    processor replaces, is not in the vocabulary, and the text behind it must be tokenised together with the question.
    """

    token, visual_token = WRAP, IMAGE

    def __init__(self, folder: Path, frames: int = 0) -> None:
        half = (0.5, 0.5, 0.5)
        self.settings = VideoSettings.from_folder(
            folder, size=None, resample=1, image_mean=half, image_std=half, max_image_size={"longest_edge": 364}
        )
        stored = self.settings.extra
        sampling = stored.get("video_sampling") or {}
        # A stored `size` wins over the one for videos; that is how the official processor reads both.
        self.size = stored["size"] or sampling.get("video_size") or {"longest_edge": 4 * 364}
        self.side = stored["max_image_size"]["longest_edge"]
        most = sampling.get("max_frames") or stored.get("num_frames") or FRAMES
        in_words(max(frames, most))  # refuses a number that cannot be told
        fps = sampling.get("fps") or stored.get("fps") or FPS
        self.policy = FramePolicy(frames, "both_ends_trimmed", fps=fps, most=most)

    def template(self, stored: str) -> str:
        """The official processor's template for videos: it takes this one, whatever the checkpoint stores."""
        return official.DEFAULT_CHAT_TEMPLATE.replace("<video>", WRAP + official.DEFAULT_MEDIA_OUTTRO)

    def between(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that a frame gets before it becomes a square: by its longer side, the other one even."""
        if "longest_edge" not in self.size:
            return self.settings.square(self.size)
        side = min(self.size["longest_edge"], LONGEST)
        if width >= height:
            short = int(side / (width / height))
            return max(short + short % 2, 1), side
        short = int(side * (width / height))
        return side, max(short + short % 2, 1)

    def pixels(self, video: Sampled) -> dict[str, Tensor]:
        """`pixel_values`: (1, T, 3, side, side) fp32. `pixel_attention_mask`: (1, T, side, side) int64, nothing padded.

        Resized twice, as the official processor does: a square at once would be sharper.
        """
        frames = channels_first(video.frames)
        if self.settings.extra.get("do_resize", True):
            frames = self.settings.resize(frames, *self.between(*frames.shape[-2:]))
            frames = self.settings.resize(frames, self.side, self.side)
        mask = torch.ones(1, len(frames), *frames.shape[-2:], dtype=torch.int64)
        return {"pixel_values": self.settings.normalise(frames)[None], "pixel_attention_mask": mask}

    def look(self, model: Any, video: Sampled) -> Features:
        """`visual`: (T, tokens per frame, width). `seconds`: (T,), when each is shown. `duration`: (1,) seconds."""
        values = {name: value.to(model.device) for name, value in self.pixels(video).items()}
        visual = model.model.get_image_features(**values).pooler_output[0]
        rate = video.rate or 24.0
        return {
            "visual": visual.unflatten(0, (len(video.frames), -1)),
            "seconds": torch.tensor([int(index / rate) for index in video.indices]),
            "duration": torch.tensor([int(video.total / rate)]),
        }

    def media(self, model: Any, questioner: Questioner, features: Features) -> Media:
        visual = features["visual"]
        duration = timedelta(seconds=int(features["duration"]))
        text = official.DEFAULT_VIDEO_INTRO.format(frame_count=in_words(len(visual)), video_duration=str(duration))
        for second in features["seconds"].tolist():
            shown = f"{second // 60:02d}:{second % 60:02d}"
            text += official.FRAME_TIMESTAMP_MESSAGE.format(timestamp=shown)
            text += WRAP + WHOLE + IMAGE * visual.shape[1] + WRAP
        return Media(questioner.prefix(text), visual.flatten(0, 1))
