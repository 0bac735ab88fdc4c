"""A name that others import: the model lives in `videollm.families.mplug_owl`."""

from synvita.videollm.families.mplug_owl import MplugOwlVideo

__all__ = ["MplugOwlVideo"]
