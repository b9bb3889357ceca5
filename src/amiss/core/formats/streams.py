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
    runs, end = bytes(data), len(data)  # of which a byte is had sooner than of a memoryview
    if bytes(_PACKBITS_ZEROS) in runs:
        return None
    found, start = 0, 0
    while start < end and found <= most:
        head = runs[start]
        if head < 128:
            found += head + 1
            start += head + 2
        else:
            found += 257 - head if head > 128 else 0
            start += 2 if head > 128 else 1
    return found if start <= end else None


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
    end = np.concatenate([bits, np.zeros(2, np.uint8)]).astype(np.int32)
    three = (end[:-2] << 16) | (end[1:-1] << 8) | end[2:]  # no code is spread over more bytes
    while found <= most and tables:
        tables -= 1
        codes = _codes(three, place)
        stops = np.flatnonzero((codes >> 1) == _CLEAR >> 1)  # or the end
        if not len(stops):
            return None
        used = codes[: stops[0]]
        if np.any(used >= _NEXT[: len(used)]):
            return None
        found += int(_lengths(used).sum())
        place += int(_STARTS[stops[0] + 1])
        if codes[stops[0]] == _END:
            return found if place > 8 * (len(bits) - 4) else None
    return None


def _codes(three: NDArray[np.int32], place: int) -> NDArray[np.int32]:
    """The codes from bit `place` on, as long as the table has room and there are bits for them.

    Args:
        three: For each byte it and the two after it, as one number.
        place: Bit number.
    """
    first, shift = _FIRSTS[place % 8], _SHIFTS[place % 8]
    room = int(np.searchsorted(_STARTS[1:], 8 * len(three) - place, side="right"))
    return np.asarray(three[first[:room] + place // 8] >> shift[:room] & _MASKS[:room], np.int32)


def _lengths(codes: NDArray[np.int32]) -> NDArray[np.int64]:
    """How many bytes each code stands for: 1 for a byte, and for an entry 1 more than for the code that made it."""
    none = len(codes)  # a place of its own, of length 0, which is its own parent
    parents = np.append(np.where(codes < _CLEAR, none, codes - _FIRST), none)  # which earlier code
    lengths = np.ones(none + 1, np.int64)
    lengths[none] = 0
    open_ends = np.flatnonzero(parents != none)
    while len(open_ends):  # twice as far back each time
        before = parents[open_ends]
        further = parents[before]
        lengths[open_ends] += lengths[before]
        parents[open_ends] = further
        open_ends = open_ends[further != none]
    return lengths


# The table grows by one entry per code from the second on; with 511, 1023 and 2047 entries the codes get wider.
_WIDTHS = 9 + np.searchsorted([511, 1023, 2047], np.arange(_MOST) + _CLEAR + 1, side="right")
_STARTS = np.concatenate([[0], np.cumsum(_WIDTHS)])
_NEXT = _FIRST + np.arange(_MOST, dtype=np.int32)  # the n-th code may name entries 0 to n - 1
_MASKS = ((1 << _WIDTHS) - 1).astype(np.int32)
# For each place of the first code in its byte: the byte in which each code begins, and how far it lies from the right.
_FIRSTS = [(_STARTS[:-1] + bit) // 8 for bit in range(8)]
_SHIFTS = [(24 - (_STARTS[:-1] + bit) % 8 - _WIDTHS).astype(np.int32) for bit in range(8)]
