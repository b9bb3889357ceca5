"""BMP: a header, and rows of a size that follows from it."""

from __future__ import annotations

import struct

from amiss.core.errors import ImageError
from amiss.core.formats.header import Header, check_tail

_PLAIN, _MASKED = (0,), (3, 6)  # compressions


def check(data: bytes, name: str) -> Header:
    """The rows end where the file ends: there is no check sum.

    Raises:
        ImageError: Cut off, damaged, or compressed.
    """
    length, first, head = struct.unpack_from("<I4xII", data, 2)
    if head == 12:
        width, height, planes, bits = struct.unpack_from("<HHHH", data, 18)
        compression, stated = 0, 0
    else:
        width, height, planes, bits, compression, stated = struct.unpack_from("<iiHHII", data, 18)
    if planes != 1 or bits not in (1, 4, 8, 16, 24, 32) or width < 1 or head not in (12, 40, 52, 56, 64, 108, 124):
        raise ImageError(name, "the header is damaged")
    if compression not in _PLAIN + _MASKED:
        raise ImageError(name, "a compressed BMP; save it without compression")
    size = (width * bits + 31) // 32 * 4 * abs(height)
    profile = struct.unpack_from("<II", data, 14 + 112) if head == 124 else (0, 0)
    ends = {first + size, 14 + profile[0] + profile[1] if profile[1] else first + size}
    if first < 14 + head or first + size > len(data) or length > len(data):
        raise ImageError(name, "the file is cut off, or its header is damaged")
    if stated not in range(size, size + 4) and stated:
        raise ImageError(name, "the header is damaged: sizes that do not agree")
    if not any(end <= len(data) <= end + 3 for end in ends):
        raise ImageError(name, "the header is damaged, or something follows the pixels")
    check_tail(data, name)
    return Header("BMP", width, abs(height), 4 if bits == 32 else 3, 8, data)
