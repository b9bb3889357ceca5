"""The program of a decoder child: it turns bytes that nobody trusts into pixels, with little memory and no rights.

    python -m amiss.station.decoder BYTES STATION

A request on standard input is a line of JSON and then the bytes of an image file; the answer on standard output is a
line of JSON and then pixels. It ends with its standard input. It may take BYTES of memory beyond what it began with.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import BinaryIO

import cv2
import numpy as np

from amiss.core.decode import decode_image, resize
from amiss.core.errors import ImageError
from amiss.monitoring.health import measure_health

_NO_NEW_PRIVILEGES = 38


def main() -> None:
    """Answer requests until there are no more."""
    for number in (signal.SIGINT, signal.SIGTERM):  # whoever ends the station lets it drain first
        signal.signal(number, signal.SIG_IGN)
    source, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing else may speak there
    cv2.setNumThreads(1)  # one image per core is enough
    _confine(int(sys.argv[1]))
    with suppress(BrokenPipeError):
        while _answer(source, answers):
            pass


def _confine(allowed: int) -> None:
    """No more memory than this, no new rights, and no life without the station; where the system can."""
    end_with(int(sys.argv[2]))
    if sys.platform != "linux":
        return
    import ctypes
    import resource

    process = ctypes.CDLL(None)
    process.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + allowed, taken + allowed))


def end_with(station: int) -> None:
    """End within a second of that process. Standard input ends as well, but a child at work does not see that."""
    threading.Thread(target=_watch, args=(station,), daemon=True).start()


def _watch(station: int) -> None:
    while os.getppid() == station:
        time.sleep(1)
    os._exit(1)


def _answer(source: BinaryIO, answers: BinaryIO) -> bool:
    line = source.readline()
    if not line:
        return False
    asked = json.loads(line)
    data = source.read(asked["length"])
    pixels = b""
    try:
        image = decode_image(data, name="", bits=asked["bits"])
        small = image if asked["size"] is None else resize(image, (asked["size"][0], asked["size"][1]))
        health = vars(measure_health(image))
        pixels = np.ascontiguousarray(small).tobytes()
        told = {"size": image.shape[:2], "shape": small.shape, "health": health, "length": len(pixels)}
    except ImageError as error:
        told = {"error": error.reason, "length": 0}
    except MemoryError:
        told = {"error": "takes more memory to decode than the station allows", "length": 0}
    except Exception as error:  # of a library: an image that cannot be used
        told = {"error": f"cannot be decoded ({type(error).__name__})", "length": 0}
    answers.write(json.dumps(told).encode() + b"\n")
    answers.write(pixels)
    answers.flush()
    return True


if __name__ == "__main__":
    main()
