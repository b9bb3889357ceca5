"""How many cores Amiss may use, and several pieces of work at once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

from amiss.core.errors import InputError

Result = TypeVar("Result")

MOST = 1024
"""Threads that may be asked for; systems end a process that starts many thousands."""


def threads() -> int:
    """Threads to use: the environment variable AMISS_THREADS, else the cores this process may use.

    Raises:
        InputError: AMISS_THREADS is not a whole number from 1 to `MOST`.
    """
    asked = os.environ.get("AMISS_THREADS", "")
    if not asked:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not asked.isdecimal() or len(asked) > 6 or not 1 <= int(asked) <= MOST:
        raise InputError(f"AMISS_THREADS must be a whole number from 1 to {MOST}, got {asked[:20]!r}")
    return int(asked)


def in_order(action: Callable[[int], Result], count: int, workers: int) -> Iterator[Result]:
    """``action(0)`` to ``action(count - 1)``, up to `workers` of them at once, their results in order.

    Work runs ahead of who takes the results, by twice as many pieces as there are workers, so memory stays flat. What
    one raises comes out at its place; nothing new is begun then, or when nobody takes results any more.

    Args:
        action: Must be thread-safe.
        count: Pieces of work.
        workers: Threads; with one, nothing is done before it is asked for.

    Example:
        >>> list(in_order(lambda index: index**2, 5, workers=2))
        [0, 1, 4, 9, 16]
    """
    if min(workers, count) < 2:
        yield from map(action, range(count))
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    ahead: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="amiss") as pool:
        try:
            for index in range(count):
                ahead.append(pool.submit(action, index))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
