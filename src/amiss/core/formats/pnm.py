"""PGM and PPM, binary: a header in words, and rows of a size that follows from it."""

from __future__ import annotations

import re

from amiss.core.errors import ImageError
from amiss.core.formats.header import Header, check_tail

_SPACE = rb"(?:\s|#[^\n]*\n)+"
_HEAD = re.compile(rb"P([56])" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,5})\s")


def check(data: bytes, name: str) -> Header:
    """The rows end where the file ends: there is no check sum.

    Raises:
        ImageError: Cut off or damaged, or of a depth other than 8 or 16 bits.
    """
    found = _HEAD.match(data[:4096])
    if found is None:
        raise ImageError(name, "the header is cut off or damaged")
    kind, width, height, largest = map(int, found.groups())
    if largest not in (255, 65535):
        raise ImageError(name, f"the largest value of a PGM or PPM must be 255 or 65535, got {largest}")
    channels, bits = 3 if kind == 6 else 1, 16 if largest > 255 else 8
    rest = len(data) - found.end() - width * height * channels * bits // 8
    if rest < 0:
        raise ImageError(name, "the file is cut off")
    pages = 1
    if rest and data[-rest:].strip():
        if not _HEAD.match(data[-rest:][:4096]):
            raise ImageError(name, "the header is damaged, or something follows the pixels")
        pages = 2  # or more
    check_tail(data, name)
    return Header("PPM" if kind == 6 else "PGM", width, height, channels, bits, data, pages=pages)
