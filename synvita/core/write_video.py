"""uint8 (T, H, W, 3) RGB -> video file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

CRF = 8  # of a clip that models will see; larger is smaller and worse


def write_video(path: Path, frames: np.ndarray, fps: int, upscale: int = 1, crf: int = CRF) -> None:
    """H.264 that browsers play, the same bytes for the same frames, and the whole file or none of it.

    4:2:0 keeps one colour per 2x2 pixels. `upscale=2` repeats each pixel twice per side, so every pixel of a tiny clip
    keeps its own colour.

    Args:
        frames: (T, H, W, 3) uint8 RGB; T >= 1; H and W times `upscale` even.
        fps: whole frames per second. crf: of x264, 0 to 51.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise ValueError(f"{path}: frames must be (T, H, W, 3) uint8, T >= 1, got {frames.shape} {frames.dtype}")
    if fps < 1 or upscale < 1:
        raise ValueError(f"{path}: fps and upscale must be at least 1, got fps={fps}, upscale={upscale}")
    if frames.shape[1] * upscale % 2 or frames.shape[2] * upscale % 2:
        height, width = frames.shape[1:3]
        raise ValueError(f"{path}: 4:2:0 video needs even sides, got {width}x{height}; set upscale=2 or crop a row")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        encode(part, frames, fps, upscale, crf)
        with part.open("rb") as done:
            os.fsync(done.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


# BT.601, limited range: luma 16-235, chroma 16-240 (ITU-R BT.601-7, section 2.5)
# Times 2**16: float products differ in the last bit with memory alignment, and so would the bytes of the file.
TO_LUMA = np.array([16829, 33039, 6416], np.int64)
TO_CHROMA = np.array([[-9714, -19071, 28785], [28785, -24103, -4682]], np.int64)


def to_yuv420(pixels: np.ndarray) -> np.ndarray:
    """RGB (H, W, 3) -> one plane over the other, (H * 3/2, W) uint8, as PyAV takes yuv420p.

    Not by the library's scaler: it shifts chroma by half a pixel and does not round (measured on the miniature's clips
    with `upscale=2`, before any compression: 1.8 of 255 off on average; this 1.1).
    """
    height, width, _ = pixels.shape
    whole = pixels.astype(np.int64)
    luma = (whole @ TO_LUMA + (16 << 16) + (1 << 15)) >> 16
    four = whole.reshape(height // 2, 2, width // 2, 2, 3).sum((1, 3))
    chroma = ((four @ TO_CHROMA.T + (128 << 18) + (1 << 17)) >> 18).transpose(2, 0, 1)
    flat = np.concatenate([luma.ravel(), chroma.ravel()])
    return flat.astype(np.uint8).reshape(height * 3 // 2, width)


def encode(part: Path, frames: np.ndarray, fps: int, upscale: int, crf: int) -> None:
    import av

    # bitexact: no library version in the file; faststart: the index before the pictures, so that a browser can begin
    with av.open(f"file:{part}", "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}) as out:
        # Without look-ahead, B-frames and weighted prediction: with them 2 % of the clips vary from process to process.
        options = {"crf": str(crf), "preset": "veryfast", "x264-params": "rc-lookahead=0:bframes=0:weightp=0"}
        stream = out.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width = (side * upscale for side in frames.shape[1:3])
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1  # slices of several threads change the bytes
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = 6, 6, 6  # BT.601 (SMPTE 170M)
        context.color_range = 1  # limited, 16-235: what every player expects
        for number, pixels in enumerate(frames):
            planes = to_yuv420(pixels.repeat(upscale, 0).repeat(upscale, 1))
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
