"""LaVie as a generator of stage 2, with the settings of the paper's Table 10."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from synvita.generate.latent_generator import LatentGenerator
from synvita.generate.places import HUB_NAME, fetch, revision_of


class Lavie(LatentGenerator):
    """LaVie's base model: `lavie_base.pt` with Stable Diffusion 1.4.

    Table 10: 512 x 320, 32 frames at 8 fps, guidance 7.5, 50 steps, DDPM. Upstream's own default is 16 frames. Not in
    the paper: half precision, which is upstream's; give dtype float32 on a CPU.

    base: Stable Diffusion 1.4 in diffusers' format, a folder or hub name; an official file needs it. scheduler: ddpm
    (default) or ddim, of official files. The rest as `LatentGenerator`.
    """

    known_as, file, pipeline_class = "lavie", "lavie_base.pt", "LaviePipeline"
    paper: ClassVar = {"frames": 32, "height": 320, "width": 512, "steps": 50, "guidance": 7.5, "fps": 8}

    def __init__(
        self,
        checkpoint: str = "Vchitect/LaVie",
        base: str = "CompVis/stable-diffusion-v1-4",
        scheduler: str | None = None,
        device: str = "cpu",
        dtype: str = "float16",
        frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        fps: int | None = None,
        batched_guidance: bool = True,
    ) -> None:
        if scheduler not in (None, "ddpm", "ddim"):
            raise ValueError(f"{self.knob('scheduler')}: unknown {scheduler!r}; known: ddpm, ddim")
        self.base = base
        sizes = {"frames": frames, "height": height, "width": width}
        sampling = {"steps": steps, "guidance": guidance}
        super().__init__(checkpoint, device, dtype, fps, sizes | sampling, batched_guidance)
        own = self.place is not None and self.place.is_dir()
        if scheduler and own:
            raise ValueError(f"{self.knob('scheduler')}: {scheduler} given, but {checkpoint} has its own; leave it out")
        self.scheduler = None if own else scheduler or "ddpm"
        if not Path(base).is_dir() and not HUB_NAME.fullmatch(base):
            raise ValueError(f"{self.knob('base')}: {base}: no such folder; give Stable Diffusion 1.4's or a hub name")

    def more(self) -> dict[str, Any]:
        return {"scheduler": self.scheduler, "base": revision_of(self.base)} if self.scheduler else {}

    def class_(self) -> Any:
        from synvita.generate.lavie import LaviePipeline

        return LaviePipeline

    def words(self, path: Path) -> str:
        return str(self.found_base() / "tokenizer")

    def found_base(self) -> Path:
        wanted = ["vae/*", "text_encoder/*", "tokenizer/*", "unet/config.json"]
        return Path(self.base) if Path(self.base).is_dir() else fetch(self.base, wanted, self.knob("base"))

    def converted(self, path: Path) -> Path:
        from synvita.generate.official_pipelines import converted, lavie_pipeline

        base = self.found_base()
        return converted(path, {"base": revision_of(self.base)}, lambda: lavie_pipeline(path, base))

    def load(self) -> None:
        super().load()
        if self.scheduler:
            from synvita.generate.lavie import lavie_scheduler

            self.pipeline.scheduler = lavie_scheduler(self.scheduler)
