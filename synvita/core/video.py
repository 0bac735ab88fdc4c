"""Video file -> uint8 (T, H, W, 3) RGB: the frames asked for, from as few decoded ones as the file allows.

The decoder is PyAV, imported where it is used: here, in `video_file` and in `write_video`. A frame's index is its rank
in presentation order: it counts frames, never seconds, so a variable frame rate changes nothing.
"""

from __future__ import annotations

import bisect
import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synvita.core.frame_rules import FramePolicy, uniform_indices
from synvita.core.video_file import Layout, VideoError, check_size, open_video, packets, scan

MAX_BYTES = 2_000_000_000  # all frames of one request, 3 bytes a pixel; the decoder holds them twice for a moment


@dataclass(frozen=True)
class Sampled:
    """frames: (T, H, W, 3) uint8 RGB, upright. indices: their ranks among `total` frames. rate: frames per second.
    kept: what somebody made of them, by a key that says how, for others who look at them in this process."""

    frames: np.ndarray
    indices: list[int]
    total: int
    rate: float
    kept: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)


def check_total(path: Path | str, number: int, height: int, width: int) -> None:
    """Refuse a request whose frames, stacked, are over `MAX_BYTES`; repeated ones count, since stacking copies them."""
    total = number * height * width * 3
    if total > MAX_BYTES:
        limit = f"{MAX_BYTES / 1e9:g} GB"
        raise VideoError(
            f"{path}: {number} frames of {width}x{height} are {total / 1e9:.1f} GB, the limit is {limit}; "
            "scale the video down or ask for fewer frames"
        )


# ---- decoding


def decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Frames in presentation order from where the container stands; broken packets give none."""
    import av

    for packet in packets(container, stream):
        with contextlib.suppress(av.FFmpegError):
            yield from packet.decode()
    with contextlib.suppress(av.FFmpegError):
        yield from stream.codec_context.decode(None)


class ToRGB:
    """Frames -> uint8 (H, W, 3) arrays of one size, turned upright; one scaler for all frames of a file.

    The size is `size`, or the header's, or the first frame's if there is none; `number` frames of it are to be stacked.
    """

    def __init__(self, path: Path | str, stream: Any, size: tuple[int, int] | None = None, number: int = 1):
        from av.video.reformatter import VideoReformatter

        self.path, self.scaler, self.number = path, VideoReformatter(), number
        self.height: int
        self.width: int
        self.height, self.width = size or (stream.codec_context.height, stream.codec_context.width)
        self.scaling = "BICUBIC" if size else None

    def __call__(self, frame: Any) -> np.ndarray:
        check_size(self.path, frame.width, frame.height)  # a stream may change its size after its header
        self.height, self.width = self.height or frame.height, self.width or frame.width
        check_total(self.path, self.number, self.height, self.width)
        rgb = self.scaler.reformat(
            frame, self.width, self.height, format="rgb24", threads=1, interpolation=self.scaling
        ).to_ndarray()
        return np.rot90(rgb, round(frame.rotation / 90) % 4)  # both count anticlockwise


def decode_by_time(path: Path | str, layout: Layout, wanted: Sequence[int], number: int) -> dict[int, np.ndarray]:
    """Frames found by their time, from the nearest key frame before each; what cannot be found so is left out.

    Two far frames of a ten-minute video then cost two groups of pictures, not ten minutes. `number`: see `ToRGB`.
    """
    import av

    found: dict[int, np.ndarray] = {}
    with open_video(path) as (container, stream), contextlib.suppress(av.FFmpegError):
        convert, frames, shown = ToRGB(path, stream, layout.size, number), None, -(2**63)
        for index in wanted:
            target = layout.times[index]
            before = bisect.bisect_right(layout.keys, target) - 1
            if before < 0:
                return found
            key = layout.keys[before]
            if frames is None and before == 0:
                frames = decoded(container, stream)  # the file is open at its start
            elif frames is None or key > shown:
                if not seek_to_key(container, stream, key, set(layout.keys)):
                    return found
                frames = decoded(container, stream)
            frame = next((f for f in frames if f.pts is None or f.pts >= target), None)
            if frame is None or frame.pts != target:
                return found
            shown = target
            found[index] = convert(frame)
    return found


def seek_to_key(container: Any, stream: Any, key: int, keys: set[int]) -> bool:
    """Stand at a key frame shown at or before `key`; False where the format cannot (some seek to just anywhere)."""
    container.seek(key, stream=stream)
    first = next(packets(container, stream), None)
    if first is None or first.pts not in keys or first.pts > key:
        return False
    container.seek(key, stream=stream)  # back over the packet looked at
    return True


def decode_in_order(
    path: Path | str,
    wanted: Sequence[int],
    to_end: bool = False,
    size: tuple[int, int] | None = None,
    stacked: int = 1,
) -> tuple[dict[int, np.ndarray], int]:
    """(frames by index, number of frames decoded): from the first frame on, until all wanted are found or the end."""
    found: dict[int, np.ndarray] = {}
    number, left = 0, set(wanted)
    with open_video(path) as (container, stream):
        convert = ToRGB(path, stream, size, stacked)
        for frame in decoded(container, stream):
            if number in left:
                found[number] = convert(frame)
                left.discard(number)
            number += 1
            if not left and not to_end:
                break
    return found, number


def fetch(path: Path | str, layout: Layout, indices: Sequence[int]) -> tuple[dict[int, np.ndarray], int | None]:
    """(frames by index, None); or, where some are missing, (those found, how many frames the file really has).

    Raises:
        VideoError: the frames, stacked in the order of `indices`, would take too much memory: by the header, before
            anything is decoded, and by the frames themselves where they are larger.
    """
    check_total(path, len(indices), *(layout.size or layout.header))
    wanted = sorted(set(indices))
    if layout.timed and max(wanted) < layout.count:
        found = decode_by_time(path, layout, wanted, len(indices))
        if len(found) == len(wanted):
            return found, None
    found, number = decode_in_order(path, wanted, size=layout.size, stacked=len(indices))
    return found, None if len(found) == len(wanted) else number


# ---- reading


def stack(found: dict[int, np.ndarray], indices: Sequence[int]) -> np.ndarray:
    return np.stack([found[i] for i in indices])


def read_frames(path: Path | str, indices: Sequence[int]) -> np.ndarray:
    """The frames at these indices, in the order asked (repeats allowed).

    Returns:
        (k, H, W, 3) uint8 RGB, upright.
    Raises:
        VideoError: no readable video, or an index outside it; names both.
    """
    indices = [int(i) for i in indices]
    if not indices or min(indices) < 0:
        raise ValueError(f"indices: need one or more, none negative, got {indices}")
    found, number = fetch(path, scan(path), indices)
    if number == 0:
        raise no_frame(path)
    if number is not None:
        raise VideoError(
            f"{path}: frame {max(indices)} asked for, {number} frames decode; ask for frames below {number}"
        )
    return stack(found, indices)


def sample_video(path: Path | str, policy: FramePolicy) -> Sampled:
    """As `sample_videos`, for one model."""
    return sample_videos(path, [policy])[0]


def sample_videos(path: Path | str, policies: Sequence[FramePolicy]) -> list[Sampled]:
    """The frames of a video that some models want, from one pass and as few decoded frames as the file allows.

    A container may promise more frames than it has (a cut download). Indices are then those of the frames that decode,
    with a warning that names the file and both counts.

    Raises:
        VideoError: missing, empty, no video, no decodable frame, or too large. ValueError: policies of several sizes.
    """
    for policy in policies:
        uniform_indices(1, 1, policy.rule)  # a wrong knob is not the video's fault: say so before opening it
    (size,) = {policy.size for policy in policies}
    layout = scan(path)
    layout.size = size
    count = sum(policy.count for policy in policies)
    check_total(path, count, *(layout.size or layout.header))  # before a list of so many indices
    number: int | None = layout.count
    if layout.count < layout.claimed:  # cut: its last packets may give no frame, so only decoding can count
        number, layout.timed = decode_in_order(path, [], to_end=True)[1], False
    while number is not None:  # once; again, on the fewer frames there are, if the last ones do not decode
        if number == 0:
            raise no_frame(path)
        have = number
        indices = [policy.indices(have, layout.rate) for policy in policies]
        found, number = fetch(path, layout, [index for some in indices for index in some])
        layout.timed &= number is None  # a packet without a frame: the ranks of the two differ
    if have < layout.claimed:
        text = f"{path}: {layout.claimed} frames claimed, {have} decode (cut short?); frames taken from those {have}"
        warnings.warn(text, stacklevel=2)
    return [Sampled(stack(found, some), some, have, layout.rate) for some in indices]


def sample_frames(path: Path | str, k: int, rule: str = "both_ends") -> np.ndarray:
    """k frames of a video by a rule, as `sample_video`: (k, H, W, 3) uint8 RGB, upright."""
    return sample_video(path, FramePolicy(k, rule)).frames


def sample_array(frames: np.ndarray, policy: FramePolicy, rate: float = 0.0) -> Sampled:
    """The frames that a model wants of a video that is already decoded, scaled by the decoder's own scaler.

    Args:
        frames: (T, H, W, 3) uint8 RGB. rate: frames per second; 0 = not known.
    """
    import av
    from av.video.reformatter import VideoReformatter

    indices = policy.indices(len(frames), rate)
    wanted = np.ascontiguousarray(frames[indices])
    if policy.size is not None:
        height, width = policy.size
        scaler, images = VideoReformatter(), (av.VideoFrame.from_ndarray(frame, "rgb24") for frame in wanted)
        scaled = (
            scaler.reformat(image, width, height, format="rgb24", threads=1, interpolation="BICUBIC")
            for image in images
        )
        wanted = np.stack([image.to_ndarray() for image in scaled])
    return Sampled(wanted, indices, len(frames), rate)


def no_frame(path: Path | str) -> VideoError:
    return VideoError(f"{path}: no frame decodes; fetch it again or re-encode it")
