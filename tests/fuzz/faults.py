"""Cases that fail in every way the driver knows, to test the driver."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def _hang() -> str:
    time.sleep(60)
    return "slept"


def _print() -> str:
    os.write(2, b"libx warning: something\n")
    return "printed"


def _eat() -> str:
    return str((b"x" * 350_000_000)[-1])


def _raise() -> str:
    raise KeyError("width")


def _crash() -> str:
    os.abort()


ACTIONS: dict[str, Callable[[], str]] = {
    "good": lambda: "same",
    "hang": _hang,
    "print": _print,
    "raise": _raise,
    "crash": _crash,
    "eat": _eat,
    "good again": lambda: "same",
}


def case(seed: int, number: int) -> tuple[str, Callable[[], str]]:
    """One of the actions, each in its turn."""
    group = list(ACTIONS)[number % len(ACTIONS)]
    return group, ACTIONS[group]
