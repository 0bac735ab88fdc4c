"""One decoder for several models that look at the same videos, each with its own choice of frames."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from synvita.core.decoder import Decoder
from synvita.core.frame_rules import FramePolicy
from synvita.core.video import Sampled
from synvita.core.video_file import VideoError

Found = dict[FramePolicy, Sampled | VideoError]


class SharedDecoder:
    """As a `Decoder`, for these policies; a file is decoded once for all of them. What the last `keep` files gave is
    kept, and whoever asks for the same frames gets the same object, with what others have made of it."""

    def __init__(self, decoder: Decoder, policies: Sequence[FramePolicy], keep: int):
        self.decoder, self.policies, self.keep = decoder, tuple(dict.fromkeys(policies)), keep
        self.files: OrderedDict[Path, Found] = OrderedDict()

    def video(self, path: Path, policy: FramePolicy) -> Sampled:
        """VideoError: as `Decoder.video`."""
        if path not in self.files:
            self.files[path] = self.decoded(path)
            while len(self.files) > self.keep:
                self.files.popitem(last=False)
        found = self.files[path][policy]
        if isinstance(found, VideoError):
            raise found
        return found

    def decoded(self, path: Path) -> Found:
        found: Found = {}
        for size in dict.fromkeys(policy.size for policy in self.policies):
            some = [policy for policy in self.policies if policy.size == size]
            try:
                found |= zip(some, self.decoder.videos(path, some), strict=True)
            except VideoError as error:  # perhaps too many frames only for all of them together
                found |= {policy: self.alone(path, policy) if len(some) > 1 else error for policy in some}
        return found

    def alone(self, path: Path, policy: FramePolicy) -> Sampled | VideoError:
        try:
            return self.decoder.video(path, policy)
        except VideoError as error:
            return error

    def close(self) -> None:
        self.files.clear()
        self.decoder.close()
