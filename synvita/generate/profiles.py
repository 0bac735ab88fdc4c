"""How each kind of text-to-video pipeline is asked: what its authors and the paper's Table 10 say, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Profile:
    """What a clip is made with unless somebody says otherwise.

    dtype: of all weights but `vae_dtype`'s. height, width: pixels, multiples of `side`. frames: a multiple of `step`,
    plus 1. fps: of the file, and of the model where it has such a condition. guidance: 1 = none. scheduler: a class of
    diffusers, made from the checkpoint's own settings; "" = the checkpoint's own. tokens: of a prompt, with its end.
    guidance_2: of a second network, which takes the last steps, where the pipeline has one; 0 = the same.
    """

    dtype: str
    height: int
    width: int
    frames: int
    fps: int
    steps: int
    guidance: float
    scheduler: str = ""
    tokens: int = 77
    vae_dtype: str = ""
    side: int = 8
    step: int = 1
    tiling: bool = False
    guidance_2: float = 0.0


# Looked up on 2026-11-28. CogVideoX 1.5: its model card, which asks for 16 N + 1 frames (diffusers pads others); fps,
# steps and guidance are from memory. Wan 2.1: defaults and example of diffusers 0.42's WanPipeline, those of 14B; for
# 1.3B upstream may advise others. Wan 2.2: upstream's wan/configs/wan_t2v_A14B.py (guidance 4.0 at high noise, 3.0 at
# low) and wan_ti2v_5B.py. LTX, CogVideoX from a picture: defaults and examples of diffusers' pipelines. Upstream gives
# most of them a negative prompt; here there is none.
# 2b and 5b: Table 10. That the paper's was 2b is inferred from its 75 s a clip (1.51 s a step) on an A100: 2b takes
# about that, 5b over twice as long. Tiling as in upstream's own script.
PROFILES = {
    "cogvideox-2b": Profile(
        "float16", 480, 720, 49, 8, 50, 6.0, "CogVideoXDDIMScheduler", 226, side=16, step=4, tiling=True
    ),
    "cogvideox-5b": Profile(
        "bfloat16", 480, 720, 49, 8, 50, 6.0, "CogVideoXDDIMScheduler", 226, side=16, step=4, tiling=True
    ),
    "cogvideox-5b-i2v": Profile("bfloat16", 480, 720, 49, 8, 50, 6.0, "", 226, side=16, step=4, tiling=True),
    "cogvideox1.5": Profile("bfloat16", 768, 1360, 81, 16, 50, 6.0, "", 226, side=16, step=4, tiling=True),
    "wan2.1": Profile("bfloat16", 480, 832, 81, 16, 50, 5.0, "", 512, "float32", side=16, step=4),
    "wan2.2": Profile("bfloat16", 480, 832, 81, 16, 40, 4.0, "", 512, "float32", side=16, step=4, guidance_2=3.0),
    "wan2.2-5b": Profile("bfloat16", 704, 1280, 121, 24, 50, 5.0, "", 512, "float32", side=32, step=4),
    "ltx": Profile("bfloat16", 480, 704, 161, 24, 50, 3.0, "", 128, side=32, step=8),
}
NEEDED = ("dtype", "height", "width", "frames", "fps", "steps", "guidance")
HOW_TO_WRITE = (
    "write one as settings of the generator: generators: {mine: {use: diffusers, checkpoint: FOLDER, "
    "dtype: bfloat16, height: 480, width: 720, frames: 49, fps: 8, steps: 50, guidance: 6.0}}"
)


def name_of(kind: str, index: Mapping[str, Any], transformer: Mapping[str, Any], vae: Mapping[str, Any]) -> str | None:
    """The profile of a checkpoint by what its own files say; a folder may have any name.

    Args:
        kind: class of the pipeline. index, transformer, vae: model_index.json and two config.json.
    """
    if kind == "CogVideoXPipeline":
        if transformer.get("patch_size_t"):
            return "cogvideox1.5"
        return "cogvideox-5b" if transformer.get("use_rotary_positional_embeddings") else "cogvideox-2b"
    if kind == "CogVideoXImageToVideoPipeline" and not transformer.get("patch_size_t"):
        return "cogvideox-5b-i2v"
    if kind == "WanImageToVideoPipeline":  # of 2.1; diffusers' defaults are those of text to video
        return "wan2.1" if index.get("boundary_ratio") is None else None
    if kind == "WanPipeline":
        if vae.get("scale_factor_spatial", 8) == 16:
            return "wan2.2-5b"
        return "wan2.2" if index.get("boundary_ratio") is not None else "wan2.1"
    return {"LTXPipeline": "ltx", "LTXImageToVideoPipeline": "ltx"}.get(kind)


def check_size(profile: Profile) -> None:
    """ValueError: a size or a number of frames that the model cannot do, with the nearest that it can."""
    for name, value in (("height", profile.height), ("width", profile.width)):
        near = max(profile.side, round(value / profile.side) * profile.side)
        if value != near:
            raise ValueError(f"{name}: {value} is no multiple of {profile.side}; the nearest that it can do is {near}")
    near = max(0, round((profile.frames - 1) / profile.step)) * profile.step + 1
    if profile.frames != near:
        raise ValueError(
            f"frames: {profile.frames} is no multiple of {profile.step} plus 1; the nearest that it can do is {near}"
        )
