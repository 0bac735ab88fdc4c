"""LaVie in one place: network, samplers, pipeline."""

from synvita.generate.lavie_pipeline import LaviePipeline, lavie_scheduler
from synvita.generate.lavie_unet import LavieUNet

__all__ = ["LaviePipeline", "LavieUNet", "lavie_scheduler"]
