"""VideoCrafter2 as a generator of stage 2, with the settings of the paper's Table 10."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from synvita.generate.latent_generator import LatentGenerator
from synvita.generate.places import revision_of
from synvita.world.captions import parse_caption
from synvita.world.dataset import UPSCALE


class VideoCrafter2(LatentGenerator):
    """VideoCrafter2: one `model.ckpt` with everything but the tokenizer.

    Table 10: 512 x 320, 32 frames at 8 fps, guidance 12, 50 steps, DDIM. Upstream's own default is 16 frames. Not in
    the paper, so inferred: eta 1, which upstream's script has; float32, in which upstream runs; and `fps_condition`,
    what the network is told about its frame rate: 8, because the paper says that it set the frames per second to 8, and
    upstream's setting of that name is the condition (28 in its script; the rate of the file is another one there, 10).

    tokenizer: CLIP's, a folder or hub name; a folder `tokenizer` beside an official file comes first. The rest as
    `LatentGenerator`.
    """

    known_as, file, pipeline_class = "videocrafter2", "model.ckpt", "VideoCrafter2Pipeline"
    paper: ClassVar = {
        "frames": 32,
        "height": 320,
        "width": 512,
        "steps": 50,
        "guidance": 12.0,
        "eta": 1.0,
        "fps_condition": 8,
        "fps": 8,
    }
    keys: ClassVar = LatentGenerator.keys | {"eta": "eta", "fps_condition": "fps"}

    def __init__(
        self,
        checkpoint: str = "VideoCrafter/VideoCrafter2",
        tokenizer: str = "openai/clip-vit-large-patch14",
        device: str = "cpu",
        dtype: str = "float32",
        frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        eta: float | None = None,
        fps_condition: int | None = None,
        fps: int | None = None,
        batched_guidance: bool = True,
    ) -> None:
        self.tokenizer = tokenizer
        sizes = {"frames": frames, "height": height, "width": width}
        sampling = {"steps": steps, "guidance": guidance, "eta": eta, "fps_condition": fps_condition}
        super().__init__(checkpoint, device, dtype, fps, sizes | sampling, batched_guidance)

    def words(self, path: Path) -> str:
        beside = path.with_name("tokenizer")
        return str(beside) if beside.is_dir() else self.tokenizer

    def more(self) -> dict[str, Any]:
        if self.place is not None and self.place.is_dir():
            return {}
        words = self.tokenizer if self.place is None else self.words(self.place)
        return {"tokenizer": revision_of(words)}

    def class_(self) -> Any:
        from synvita.generate.videocrafter2 import VideoCrafter2Pipeline

        return VideoCrafter2Pipeline

    def converted(self, path: Path) -> Path:
        from synvita.generate.official_pipelines import converted, videocrafter2_pipeline

        words = self.words(path)
        return converted(path, {"tokenizer": revision_of(words)}, lambda: videocrafter2_pipeline(path, words))


class MiniVideoCrafter2(VideoCrafter2):
    """The tiny VideoCrafter2 that has learned the miniature's world; it is asked as the large one is.

    Its folder says what it was made for: 8 frames of 32 x 32, 4 steps, one pass of the network each (docs/world.md).
    """

    known_as, usual_batch = "mini-videocrafter2", 16

    def __init__(
        self,
        checkpoint: str = "mini-videocrafter2",
        device: str = "cpu",
        dtype: str = "float32",
        steps: int | None = None,
        guidance: float | None = None,
    ) -> None:
        super().__init__(checkpoint, device=device, dtype=dtype, steps=steps, guidance=guidance)

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"upscale": UPSCALE}

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> list[np.ndarray]:
        """ValueError: a caption that is not the miniature's; it would draw something all the same."""
        for caption in captions:
            try:
                parse_caption(caption)
            except ValueError as error:
                raise ValueError(
                    f"{self.known_as} draws the miniature's captions only (docs/world.md): {error}"
                ) from None
        return super().generate(captions, seeds)
