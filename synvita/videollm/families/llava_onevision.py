"""LLaVA-OneVision: uniform frames, each pooled to a quarter of its patches, one newline token behind the last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from synvita.core.frame_rules import FramePolicy
from synvita.core.question import Questioner
from synvita.core.video import Sampled
from synvita.videollm.families.pixels import CLIP_MEAN, CLIP_STD, VideoSettings, channels_first
from synvita.videollm.protocol import Features, Media

FRAMES = 32  # the authors' default (`max_frames_num`); transformers' processor takes whatever frames it gets
ONLY_QUESTION = "{% set answers, messages = messages[1:], messages[:1] %}{% set add_generation_prompt = true %}"
ANSWERS = "{% for answer in answers %}{{ answer['content'][0]['text'] + '<|im_end|>' }}{% endfor %}"


class LlavaOnevision:
    """A `Family` (see `videollm.chat`); frames by the authors' rule, both ends included."""

    token = "<video>"

    def __init__(self, folder: Path, frames: int = 0) -> None:
        self.settings = VideoSettings.from_folder(
            folder, size={"height": 384, "width": 384}, resample=3, image_mean=CLIP_MEAN, image_std=CLIP_STD
        )
        self.size = self.settings.square() if self.settings.size else None
        self.policy = FramePolicy(frames or self.settings.extra.get("num_frames", FRAMES))

    def template(self, stored: str) -> str:
        """The stored chat template, with an answer right behind the generation prompt, as the model writes it.

        The official one starts a stored answer with `assistant \\n` and a generated one with `assistant\\n`: other
        tokens, after which Yes and No could not be found.
        """
        return ONLY_QUESTION + stored + ANSWERS

    def pixels(self, video: Sampled) -> dict[str, Tensor]:
        """`pixel_values_videos`: (1, T, 3, height, width) fp32."""
        frames = channels_first(video.frames)
        if self.size:
            frames = self.settings.resize(frames, *self.size)
        return {"pixel_values_videos": self.settings.normalise(frames)[None]}

    def look(self, model: Any, video: Sampled) -> Features:
        """`visual`: (T * tokens per frame + 1, width)."""
        values = self.pixels(video)["pixel_values_videos"].to(model.device, model.dtype)
        return {"visual": model.model.get_video_features(values).pooler_output[0]}

    def media(self, model: Any, questioner: Questioner, features: Features) -> Media:
        visual = features["visual"]
        return Media(questioner.prefix(self.token * len(visual)), visual)
