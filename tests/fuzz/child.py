"""One child of the driver: tries some cases, and prints a line before and after each.

python -m tests.fuzz.child TARGET SEED START STOP BYTES
"""

from __future__ import annotations

import importlib
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _status(key: str) -> int:
    """A number from the kernel, in bytes; 0 where there is none to ask."""
    if not _STATUS.exists():
        return 0
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def peak_of(action: Callable[[], object]) -> int:
    """The most bytes of memory that an action takes beyond what the process had."""
    before = _status("VmRSS")
    if _RESET.exists():
        _RESET.write_text("5")  # the peak starts anew
    action()
    return _status("VmHWM") - before


def _say(*words: object) -> None:
    os.write(1, ("\t".join(" ".join(str(word).split()) for word in words) + "\n").encode())


def main(target: str, seed: int, start: int, stop: int, limit: int) -> None:
    """Try cases `start` to `stop` - 1 of a target, each with at most `limit` bytes of memory more than at the start."""
    case = importlib.import_module(target).case
    case(seed, start)[1]()  # loads what it needs
    printed = os.fstat(2).st_size
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + 2 * limit + 2**31,) * 2)
    for number in range(start, stop):
        group, action = case(seed, number)
        _say("case", number, group)
        before = _status("VmRSS")
        if _RESET.exists():
            _RESET.write_text("5")  # the peak starts anew
        began = time.monotonic()
        try:
            outcome = action()
        except BaseException as error:
            outcome = f"FAILED: {type(error).__name__}: {error}"
        seconds, peak = time.monotonic() - began, _status("VmHWM") - before
        if os.fstat(2).st_size > printed:
            printed = os.fstat(2).st_size
            outcome = "FAILED: printed to stderr"
        elif peak > limit:
            outcome = f"FAILED: took {peak} bytes of memory"
        _say("done", outcome, seconds, peak)
    _say("end")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
