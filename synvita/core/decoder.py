"""`core.video` in a child process that can be killed: a broken file may hang or crash a decoder, never the run."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from synvita.core.frame_rules import FramePolicy, uniform_indices
from synvita.core.process import watch_parent
from synvita.core.video import Sampled, sample_videos
from synvita.core.video_file import VideoError

START_TIMEOUT_S = 120.0  # a child imports numpy and PyAV: 0.2 s warm, many on a cold network disk; no video's fault


def check_timeout(seconds: float, knob: str) -> None:
    """ValueError: not a finite number of seconds above 0."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
        raise ValueError(f"{knob}: must be a finite number of seconds, more than 0, got {seconds!r}")


class Decoder:
    """`sample_videos` in a child process, because a file can hang or crash a decoder and must not take the run along.

    One child serves file after file. Protocol, both ways: 4 bytes of length, a JSON header of that length; an answer's
    pixels follow as raw bytes.
    """

    def __init__(self, timeout_s: float = 60.0):
        check_timeout(timeout_s, "--decode-timeout")
        self.timeout_s = timeout_s
        self._child: subprocess.Popen[bytes] | None = None
        self._owner, self._lock = os.getpid(), threading.Lock()

    def video(self, path: Path | str, policy: FramePolicy) -> Sampled:
        """As `videos`, for one model."""
        return self.videos(path, [policy])[0]

    def videos(self, path: Path | str, policies: Sequence[FramePolicy]) -> list[Sampled]:
        """As `sample_videos`; its warnings are warned here.

        Raises:
            VideoError: as `sample_videos`; also after `timeout_s`, and if the decoder died on this file.
        """
        for policy in policies:
            uniform_indices(1, 1, policy.rule)
        folder = os.getcwd()  # noqa: PTH109
        wanted = [dataclasses.asdict(policy) for policy in policies]
        request = {"path": os.fspath(path), "folder": folder, "policies": wanted}
        with self._lock:
            header, frames = self._ask(request)
        for text in header["warnings"]:
            warnings.warn(text, stacklevel=2)
        if frames is None:
            raise VideoError(header["error"])
        at, found = 0, []
        for indices in header["indices"]:
            found.append(Sampled(frames[at : at + len(indices)], indices, header["total"], header["rate"]))
            at += len(indices)
        return found

    def sample(self, path: Path | str, k: int, rule: str = "both_ends") -> np.ndarray:
        """k frames: (k, H, W, 3) uint8 RGB."""
        uniform_indices(1, k, rule)
        return self.video(path, FramePolicy(k, rule)).frames

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray | None]:
        child = self._ready_child()
        assert child.stdin is not None and child.stdout is not None
        deadline = time.monotonic() + self.timeout_s
        try:
            send(child.stdin, request)
            header = receive(child.stdout, deadline)
            if "shape" not in header:
                return header, None
            frames = np.empty(header["shape"], np.uint8)
            fill(child.stdout, frames.reshape(-1).data, deadline)
            return header, frames
        except TimeoutError:
            self._kill()
            text = f"not decoded in {self.timeout_s:g} s, decoder killed; raise --decode-timeout or re-encode it"
            raise VideoError(f"{request['path']}: {text}") from None
        except (EOFError, BrokenPipeError):
            code = self._kill()
            text = f"the decoder process died on it (exit status {code}); re-encode it or take it out"
            raise VideoError(f"{request['path']}: {text}") from None
        except BaseException:  # Ctrl-C between request and answer: the next answer would be this one's
            self._kill()
            raise

    def _ready_child(self) -> subprocess.Popen[bytes]:
        """The running child, or a new one that has said it is ready (so its start is not on a video's clock)."""
        if self._owner != os.getpid():  # forked: the child belongs to our parent, and so do its pipes
            self._child, self._owner = None, os.getpid()
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._kill()
        root = str(Path(__file__).resolve().parents[2])
        search_path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        # -P: no av.py of the working folder is imported; own session: Ctrl-C reaches only the parent
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from synvita.core.decoder import serve; serve({os.getpid()})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": search_path},
        )
        assert self._child.stdout is not None
        try:
            receive(self._child.stdout, time.monotonic() + START_TIMEOUT_S)
        except (EOFError, TimeoutError):
            code = self._kill()
            text = (
                f"the decoder process did not start (exit status {code}); try: {sys.executable} -c 'import av, numpy'"
            )
            raise RuntimeError(text) from None
        except BaseException:
            self._kill()
            raise
        return self._child

    def _kill(self) -> int | None:
        """Kill and reap the child, if any; its exit status."""
        child, self._child = self._child, None
        if child is None:
            return None
        child.kill()  # does nothing to one that has ended
        code = child.wait()
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            pipe.close()
        return code

    def close(self) -> None:
        if self._owner == os.getpid():
            self._kill()

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def send(pipe: IO[bytes], header: dict[str, Any], pixels: np.ndarray | None = None) -> None:
    text = json.dumps(header).encode()
    parts = [memoryview(len(text).to_bytes(4, "little") + text)]
    if pixels is not None:
        parts.append(pixels.reshape(-1).data)
    for part in parts:
        while part:  # a raw pipe takes what fits
            part = part[pipe.write(part) :]


def receive(pipe: IO[bytes], deadline: float | None = None) -> dict[str, Any]:
    length = bytearray(4)
    fill(pipe, memoryview(length), deadline)
    text = bytearray(int.from_bytes(length, "little"))
    fill(pipe, memoryview(text), deadline)
    return json.loads(text)


def fill(pipe: IO[bytes], buffer: memoryview, deadline: float | None) -> None:
    """Read exactly the buffer's bytes; TimeoutError after the deadline (monotonic seconds), EOFError at the end."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while buffer:
        if deadline is not None and not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError
        got = pipe.readinto(buffer)  # type: ignore[attr-defined]
        if not got:
            raise EOFError
        buffer = buffer[got:]


def serve(parent: int) -> None:
    """The child's loop: answer requests until the parent closes the pipe or is gone."""
    import av  # noqa: F401 - loaded before "ready", so the first video does not pay for it

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch_parent(parent)
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # a codec library that prints must not write into the answers
    try:
        send(answers, {"ready": True})
        while True:
            send(answers, *answer(receive(requests)))
    except (EOFError, BrokenPipeError):
        return


def policy_of(fields: dict[str, Any]) -> FramePolicy:
    """From JSON, which has no tuples."""
    return FramePolicy(**fields | {"size": fields["size"] and tuple(fields["size"])})


def answer(request: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray | None]:
    path = request["path"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with contextlib.chdir(request["folder"]):  # the parent may have moved since it started us
                sampled = sample_videos(path, [policy_of(fields) for fields in request["policies"]])
        except VideoError as error:
            return {"error": str(error), "warnings": [str(w.message) for w in caught]}, None
        except Exception as error:  # whatever a broken file does to the decoder is that file's trouble
            text = f"{path}: the decoder failed ({type(error).__name__}: {error}); re-encode it"
            return {"error": text, "warnings": []}, None
    frames = np.concatenate([each.frames for each in sampled])
    one = sampled[0]
    facts = {"shape": frames.shape, "total": one.total, "rate": one.rate, "indices": [each.indices for each in sampled]}
    return facts | {"warnings": [str(w.message) for w in caught]}, frames
