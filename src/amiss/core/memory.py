"""How much memory the images that are being decoded may take, all together."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from amiss.core.errors import ImageError, InputError

DEFAULT = 2_000_000_000
"""Bytes, if AMISS_MEMORY says nothing: enough for 120 megapixels of 16 bits, or 190 of 8 bits."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def memory() -> int:
    """Bytes that decoding may take: the environment variable AMISS_MEMORY, such as 500MB or 4GB, else 2 GB.

    Raises:
        InputError: AMISS_MEMORY is not a size.
    """
    asked = os.environ.get("AMISS_MEMORY", "").strip()
    if not asked:
        return DEFAULT
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?) ?([KMGT]?)B?", asked, re.IGNORECASE | re.ASCII)
    size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if size < 1:
        raise InputError(f"AMISS_MEMORY must be a size such as 500MB or 4GB, got {asked!r}")
    return size


def check_memory(need: int, name: str, what: str) -> int:
    """Refuse to decode what takes more than `memory` allows, which is returned.

    Args:
        need: Bytes.
        name: How errors call the image.
        what: Describes it, such as "an image of 12000 x 9000 pixels".

    Raises:
        ImageError: It is more.
    """
    allowed = memory()
    if need > allowed:
        reason = f"{what} takes {_spelt(need)} of memory to decode, and {_spelt(allowed)} are allowed"
        raise ImageError(name, f"{reason}; set the environment variable AMISS_MEMORY={-(-need // 10**9)}GB to allow it")
    return allowed


class _Share:
    """What all threads of the process take together: one that finds too little left waits."""

    def __init__(self) -> None:
        self._changed, self._taken = threading.Condition(), 0

    @contextmanager
    def __call__(self, need: int, name: str, what: str) -> Iterator[None]:
        """Hold `need` bytes; arguments as for `check_memory`."""
        allowed = check_memory(need, name, what)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + need <= allowed or self._taken == 0)
            self._taken += need
        try:
            yield
        finally:
            with self._changed:
                self._taken -= need
                self._changed.notify_all()


def _spelt(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 10**7 else f"{size} bytes"


decoding = _Share()
