"""InternVL in transformers' own layout: numbered frames, each between `<img>` and `</img>`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from synvita.core.frame_rules import FramePolicy
from synvita.core.question import Questioner
from synvita.core.video import Sampled
from synvita.videollm.families.pixels import CLIP_MEAN, CLIP_STD, VideoSettings, channels_first
from synvita.videollm.protocol import Features, Media

FRAMES = 8
START, END, CONTEXT = "<img>", "</img>", "<IMG_CONTEXT>"


class InternVL:
    """A `Family` (see `videollm.chat`).

    `token`: the last of a video's text stands for the video in the template, since `<video>` itself, which the official
    processor replaces, is one token in some checkpoints only.
    """

    token, visual_token = END, CONTEXT

    def __init__(self, folder: Path, frames: int = 0) -> None:
        self.settings = VideoSettings.from_folder(
            folder, size={"height": 384, "width": 384}, resample=3, image_mean=CLIP_MEAN, image_std=CLIP_STD
        )
        self.size = self.settings.square() if self.settings.size else None
        self.policy = FramePolicy(frames or self.settings.extra.get("num_frames", FRAMES), "segment_middles")

    def template(self, stored: str) -> str:
        return stored.replace("<video>", END)

    def pixels(self, video: Sampled) -> dict[str, Tensor]:
        """`pixel_values_videos`: (1, T, 3, height, width) fp32."""
        frames = channels_first(video.frames)
        if self.size:
            frames = self.settings.resize(frames, *self.size)
        return {"pixel_values_videos": self.settings.normalise(frames)[None]}

    def look(self, model: Any, video: Sampled) -> Features:
        """`visual`: (T, tokens per frame, width)."""
        values = self.pixels(video)["pixel_values_videos"][0].to(model.device, model.dtype)
        return {"visual": model.model.get_image_features(values).pooler_output}

    def media(self, model: Any, questioner: Questioner, features: Features) -> Media:
        visual = features["visual"]
        frame = START + CONTEXT * visual.shape[1] + END
        text = "\n".join(f"Frame{number}: {frame}" for number in range(1, len(visual) + 1))
        return Media(questioner.prefix(text), visual.flatten(0, 1))
