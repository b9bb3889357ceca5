"""Decoder children: each decodes one image at a time, and may die or hang without anybody else noticing.

There is one more than cores, as of threads that score: the death of one costs one part and no time.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import ImageError, NotReadyError
from amiss.core.images import Size
from amiss.core.memory import memory

if sys.platform == "linux":
    import fcntl

SECONDS = 30.0
"""After which a child that decodes one image is taken to hang, and is ended."""

_START_SECONDS = 60.0
_PIXEL = b"P6 1 1 255\n\0\0\0"


@dataclass(frozen=True)
class Decoded:
    """An image as a child gives it.

    Args:
        pixels: RGB uint8 (H, W, 3), resized where that was asked for.
        size: Height and width of the image itself.
        health: Its measures, see `amiss.monitoring.Health`.
    """

    pixels: NDArray[np.uint8]
    size: Size
    health: dict[str, float]


class Decoders:
    """Children that wait for work.

    Args:
        count: Cores.
        allowed: Bytes that decoding one image may take; those of `amiss.core.memory` when None.
        seconds: See `SECONDS`.

    Raises:
        NotReadyError: They do not work here.
    """

    def __init__(self, count: int, allowed: int | None = None, seconds: float = SECONDS) -> None:
        self._allowed = memory() if allowed is None else allowed
        self._seconds = seconds
        self._idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        self._all = [_Child(self._allowed) for _ in range(count + 1)]
        self._lock = threading.Lock()
        self.lost = self._missing = 0
        for child in self._all:
            self._idle.put(child)
        try:
            for child in list(self._all):
                child.ask(_PIXEL, None, None, _START_SECONDS)
        except (ImageError, OSError, ValueError) as error:
            self.close()
            raise NotReadyError(f"decoding must work in a process of its own; here it does not ({error})") from error

    def decode(self, data: bytes, size: Size | None, bits: int | None) -> Decoded:
        """Decode one image in a child.

        Args:
            data: Bytes of the file.
            size: Height and width that it is resized to, or None.
            bits: As for `amiss.core.images.Images`.

        Raises:
            ImageError: It cannot be used, or its decoder died or hung.
        """
        child = self._idle.get()
        try:
            told, pixels = child.ask(data, size, bits, self._seconds)
        except (OSError, ValueError) as error:
            reason = self._bury(child)
            raise ImageError("image", reason) from error
        self._idle.put(child)
        if "error" in told:
            raise ImageError("image", str(told["error"]))
        array = np.frombuffer(pixels, np.uint8).reshape(told["shape"])
        return Decoded(array, (told["size"][0], told["size"][1]), told["health"])

    @property
    def children(self) -> list[subprocess.Popen[bytes]]:
        """The processes."""
        return [child.process for child in self._all]

    def mend(self) -> None:
        """End children that have been at one image for too long, and start those that are missing. Call it often."""
        for child in list(self._all):
            child.end_if_late()
        with self._lock:
            while self._missing:
                with suppress(OSError):
                    self._all.append(_Child(self._allowed))
                    self._idle.put(self._all[-1])
                    self._missing -= 1
                    continue
                break

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            for child in self._all:
                child.end()
            self._all = []

    def _bury(self, child: _Child) -> str:
        """Replace a child that is gone; what is said of its image."""
        reason = child.epitaph()
        child.end()
        with self._lock:
            self.lost += 1
            if child in self._all:
                self._all.remove(child)
                self._missing += 1
        self.mend()
        return reason


class _Child:
    def __init__(self, allowed: int) -> None:
        command = [sys.executable, "-P", "-m", "amiss.station.decoder"]  # nothing from this folder
        command += [str(allowed), str(os.getpid())]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        for pipe in (self.process.stdin, self.process.stdout):
            _enlarge(pipe)
        self._lock = threading.Lock()
        self._due: float | None = None
        self._hung = False

    def ask(self, data: bytes, size: Size | None, bits: int | None, seconds: float) -> tuple[dict[str, Any], bytes]:
        """A request and its answer; `OSError` or `ValueError` when the child is gone."""
        source, answers = self.process.stdin, self.process.stdout
        if source is None or answers is None:
            raise OSError("no pipes")
        with self._lock:
            self._due = time.monotonic() + seconds
        try:
            source.write(json.dumps({"length": len(data), "size": size, "bits": bits}).encode() + b"\n")
            source.write(data)
            source.flush()
            told = json.loads(answers.readline() or b"!")
            pixels = answers.read(told["length"])
            if len(pixels) != told["length"]:
                raise OSError("cut off")
            return told, pixels
        finally:
            with self._lock:
                self._due = None

    def end_if_late(self) -> None:
        with self._lock:
            if self._due is not None and time.monotonic() > self._due:
                self._hung = True
                self.process.kill()

    def epitaph(self) -> str:
        if self._hung:
            return "its decoder took too long and was ended"
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = self.process.wait(timeout=2)
        return f"its decoder died (exit code {code})"

    def end(self) -> None:
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError, ValueError):
                    pipe.close()


def _enlarge(pipe: IO[bytes] | None) -> None:
    """As large as Linux allows, where it does: with its usual 64 kB each image wakes both sides many times."""
    if sys.platform == "linux" and pipe is not None:
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)
