"""Names that others import: the model lives in `videollm.families.video_llava`, its tower in `languagebind` there."""

from synvita.videollm.families.languagebind import tower_from_official
from synvita.videollm.families.video_llava import VideoLlava

__all__ = ["VideoLlava", "tower_from_official"]
