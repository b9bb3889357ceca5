"""JPEG: a list of segments, then scans. libjpeg's warnings tell whether the scans are whole."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import ImageError
from amiss.core.formats.directory import orientation_of
from amiss.core.formats.header import Header

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset(range(0xD0, 0xD8)) | {0x01}  # markers without a length
_SCAN, _EXIF = 0xDA, 0xE1
_MOST_SCANS = 100  # a small file of many scans takes minutes


def check(data: bytes, name: str) -> Header:
    """The segments before the first scan are whole, and name a size. The scans are checked while they are decoded.

    Raises:
        ImageError: Cut off or damaged.
    """
    frame: tuple[int, int, int, int] | None = None
    orientation, progressive = 1, False
    for marker, start, stop in _segments(data, name):
        if marker in _FRAMES:
            frame = struct.unpack_from(">BHHB", data, start)
            progressive = marker % 4 == 2
        elif marker == _EXIF and data.startswith(b"Exif\0\0", start):
            orientation = orientation_of(data[start + 6 : stop])
    if frame is None:
        raise ImageError(name, "the header is damaged")
    if data.count(b"\xff\xda") > _MOST_SCANS:
        raise ImageError(name, f"a JPEG must have at most {_MOST_SCANS} scans")
    bits, height, width, channels = frame
    if bits != 8:
        raise ImageError(name, f"a JPEG must have 8 bits per channel, got {bits}")
    coefficients = 2 * channels * (width + 32) * (height + 32) if progressive else 0
    return Header("JPEG", width, height, channels, bits, data, buffer=coefficients, orientation=orientation)


def _segments(data: bytes, name: str) -> Iterator[tuple[int, int, int]]:
    """Marker, and start and stop of what is in it, of each segment up to the first scan."""
    start, marker = 2, 0
    while marker != _SCAN:
        while data[start] == 0xFF and data[start + 1] == 0xFF:  # fill bytes
            start += 1
        if data[start] != 0xFF:
            raise ImageError(name, "the header is damaged")
        marker = data[start + 1]
        start += 2
        if marker not in _ALONE:
            stop = start + int(struct.unpack_from(">H", data, start)[0])
            if stop > len(data):
                raise ImageError(name, "the header is cut off")
            yield marker, start + 2, stop
            start = stop


def decode(data: bytes, name: str, colours: Literal["RGB", "GRAY", "CMYK"]) -> NDArray[np.uint8]:
    """The pixels, uint8 (H, W, C), not turned. OpenCV gives the same, but only prints libjpeg's warnings.

    Raises:
        ImageError: libjpeg had to guess.
    """
    import simplejpeg

    try:
        return np.asarray(simplejpeg.decode_jpeg(data, colorspace=colours, strict=True))
    except ValueError as error:
        raise ImageError(name, f"cut off, damaged, or of an unusual kind ({error})") from error
