"""An end to what takes too long: one thread for all, since a timer per run costs as much as a small graph.

A deadline is noticed up to `TICK` seconds late. While nothing is going on, the thread ends.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

TICK = 0.05
"""Seconds between two looks at the clock."""

_LINGER = 2.0


@contextmanager
def patience(seconds: float, stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop`, once and from another thread, when what is inside takes longer.

    Args:
        seconds: How long it may take.
        stop: Must be quick, and must not raise.

    Example:
        >>> late = []
        >>> with patience(0.01, lambda: late.append("late")):
        ...     time.sleep(0.3)
        >>> late
        ['late']
    """
    deadlines = _deadlines(os.getpid())
    entry = (time.monotonic() + seconds, stop)
    deadlines.add(entry)
    try:
        yield
    finally:
        deadlines.remove(entry)


Entry = tuple[float, Callable[[], None]]


class _Deadlines:
    """Of one process: a thread does not live on in a copy of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[int, Entry] = {}
        self._thread: threading.Thread | None = None

    def add(self, entry: Entry) -> None:
        with self._lock:
            self._entries[id(entry)] = entry
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="amiss-patience", daemon=True)
                self._thread.start()

    def remove(self, entry: Entry) -> None:
        with self._lock:
            self._entries.pop(id(entry), None)

    def _look(self) -> None:
        last = time.monotonic()
        while True:
            time.sleep(TICK)
            now = time.monotonic()
            with self._lock:
                if self._entries:
                    last = now
                elif now - last > _LINGER:
                    self._thread = None
                    return
                late = [self._entries.pop(key) for key, entry in list(self._entries.items()) if entry[0] <= now]
                for _, stop in late:  # within the lock: what has ended in time is not stopped any more
                    stop()


@cache
def _deadlines(process: int) -> _Deadlines:
    return _Deadlines()
