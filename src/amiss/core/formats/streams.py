"""Is a compressed stream whole? Each function walks one to its end and gives the number of bytes in it.

What libtiff cannot decompress OpenCV leaves black, without a word, and libpng prints lines of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_PIECE = 1 << 20  # bytes inflated at once, and thrown away
_PACKBITS_ZEROS = 130  # bytes: more than the longest run of single bytes, which starts with its length
_CLEAR, _END, _FIRST = 256, 257, 258  # LZW codes: empty the table, the end, the first entry of the table
_MOST = 4096 - _FIRST + 2  # codes until the table is full: the first adds no entry, the last empties it
_SHORTEST = 2048  # bytes that a table serves on average, at least: emptying it all the time would take hours


def inflated(data: bytes | memoryview, most: int) -> int | None:
    """Bytes in a zlib stream, at most about `most`; None if it is damaged or cut off. More may follow it."""
    return inflated_parts([data], most)[0]


def inflated_parts(parts: Sequence[bytes | memoryview], most: int) -> tuple[int | None, bool]:
    """As `inflated`, for a stream in several parts, and whether it ends where the parts end."""
    from isal import isal_zlib  # in a third of zlib's time

    inflate, found, last = isal_zlib.decompressobj(), 0, 0
    try:
        for last, part in enumerate(parts):  # noqa: B007 (how far it comes is asked below)
            rest: bytes | memoryview = part
            while rest and found <= most and not inflate.eof:
                found += len(inflate.decompress(rest, _PIECE))
                rest = inflate.unconsumed_tail
            if inflate.eof or found > most:
                break
        while found <= most and not inflate.eof and (piece := inflate.decompress(b"", _PIECE)):
            found += len(piece)
    except isal_zlib.error:  # type: ignore[misc]  # its stub says Exception()
        return None, False
    return found if inflate.eof else None, not inflate.unused_data and not any(map(len, parts[last + 1 :]))


def packbits(data: memoryview, most: int) -> int | None:
    """Bytes in a PackBits stream; None if it ends inside a run, or has zeros in the place of runs."""
    if bytes(_PACKBITS_ZEROS) in bytes(data):
        return None
    found, start = 0, 0
    while start < len(data) and found <= most:
        head = data[start]
        if head < 128:
            found += head + 1
            start += head + 2
        else:
            found += 257 - head if head > 128 else 0
            start += 2 if head > 128 else 1
    return found if start <= len(data) else None


def lzw(data: memoryview, most: int) -> int | None:
    """Bytes in an LZW stream of TIFF; None if a code has no meaning yet, or the end is missing.

    All codes up to the next that empties the table are read at once: how many bits each has follows from its number.
    The n-th of them adds an entry, one longer than the one it names.
    """
    bits = np.frombuffer(data, np.uint8)
    place, found = 9, 0  # in bits; the first code only empties the table
    tables = 16 + most // _SHORTEST
    if len(bits) < 3 or bits[0] != 0x80 or bits[1] >= 0x80:
        return None
    while found <= most and tables:
        tables -= 1
        codes = _codes(bits, place)
        stops = np.flatnonzero((codes == _CLEAR) | (codes == _END))
        if not len(stops):
            return None
        used = codes[: stops[0]]
        if np.any(used >= _FIRST + np.arange(len(used))):  # the n-th code may name entries 0 to n - 1
            return None
        found += int(_lengths(used).sum())
        place += int(_STARTS[stops[0] + 1])
        if codes[stops[0]] == _END:
            return found if place > 8 * (len(bits) - 4) else None
    return None


def _codes(bits: NDArray[np.uint8], place: int) -> NDArray[np.int64]:
    """The codes from bit `place` on, as long as the table has room."""
    starts = place + _STARTS[:-1]
    starts = starts[starts + _WIDTHS <= 8 * len(bits)]
    widths = _WIDTHS[: len(starts)]
    first = starts // 8
    last = len(bits) - 1
    three = sum(bits[np.minimum(first + i, last)].astype(np.int64) << (16 - 8 * i) for i in range(3))
    return np.asarray(three >> (24 - starts % 8 - widths) & ((1 << widths) - 1), np.int64)


def _lengths(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many bytes each code stands for: 1 for a byte, and for an entry 1 more than for the code that made it."""
    none = len(codes)  # a place of its own, of length 0, which is its own parent
    parents = np.append(np.where(codes < _CLEAR, none, codes - _FIRST), none)  # which earlier code
    lengths = np.ones(none + 1, np.int64)
    lengths[none] = 0
    while np.any(parents != none):  # twice as far back each time
        lengths += lengths[parents]
        parents = parents[parents]
    return lengths


# The table grows by one entry per code from the second on; with 511, 1023 and 2047 entries the codes get wider.
_WIDTHS = 9 + np.searchsorted([511, 1023, 2047], np.arange(_MOST) + _CLEAR + 1, side="right")
_STARTS = np.concatenate([[0], np.cumsum(_WIDTHS)])
