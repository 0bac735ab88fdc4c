"""VideoCrafter2 in one place: network, sampler, pipeline."""

from synvita.generate.videocrafter2_pipeline import VideoCrafter2Pipeline
from synvita.generate.videocrafter2_scheduler import VideoCrafter2Scheduler
from synvita.generate.videocrafter2_unet import VideoCrafter2UNet, load_unet

__all__ = ["VideoCrafter2Pipeline", "VideoCrafter2Scheduler", "VideoCrafter2UNet", "load_unet"]
