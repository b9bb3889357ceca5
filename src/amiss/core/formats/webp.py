"""WebP: a list of chunks that fills the file. The pixels have no check sum."""

from __future__ import annotations

import struct
from functools import partial

from amiss.core.errors import ImageError
from amiss.core.formats.header import Header, check_tail

_LOSSLESS_ZEROS = 32  # bytes; the longest run of zeros in intact files was 3
_LOSSY_ZEROS = 64  # bytes, and 2 bits per square of 16 pixels; intact black images have up to 0.6 bits


def check(data: bytes, name: str) -> Header:
    """The chunks fill the file as it says, and the sizes in it agree.

    Raises:
        ImageError: Cut off or damaged.
    """
    chunks = _chunks(data, name)
    kinds = [kind for kind, _, _ in chunks]
    pixels = next((chunk for chunk in chunks if chunk[0] in (b"VP8 ", b"VP8L")), None)
    width, height, canvas, alpha = 0, 0, (0, 0), b"ALPH" in kinds
    if chunks[0][0] == b"VP8X":
        start = chunks[0][1]
        canvas = (1 + _three(data, start + 4), 1 + _three(data, start + 7))
        width, height = canvas
    if pixels is not None:
        kind, start, _ = pixels
        width, height = _lossless_size(data, start, name) if kind == b"VP8L" else _lossy_size(data, start, name)
        alpha = alpha or kind == b"VP8L"
    pages = kinds.count(b"ANMF") or 1
    if b"ANMF" not in kinds and (pixels is None or canvas not in ((0, 0), (width, height))):
        raise ImageError(name, "the header is damaged")
    check_tail(data, name)
    buffer = 8 * width * height if pages > 1 else 0
    verify = partial(_verify, data, name, chunks, width * height)
    return Header("WebP", width, height, 4 if alpha else 3, 8, data, buffer=buffer, pages=pages, verify=verify)


def _verify(data: bytes, name: str, chunks: list[tuple[bytes, int, int]], pixels: int) -> None:
    """A long run of zeros cannot be compressed pixels: it is where a part of the file was not written."""
    for kind, start, stop in chunks:
        longest = _LOSSLESS_ZEROS if kind == b"VP8L" else _LOSSY_ZEROS + pixels // 1024
        if kind in (b"VP8L", b"VP8 ") and data.find(bytes(longest), start, stop) >= 0:
            raise ImageError(name, "damaged: zeros in place of compressed pixels")


def _chunks(data: bytes, name: str) -> list[tuple[bytes, int, int]]:
    """Kind, and start and stop of what is in it, of every chunk."""
    end, start, chunks = 8 + int(struct.unpack_from("<I", data, 4)[0]), 12, []
    if end > len(data):
        raise ImageError(name, "the file is cut off or damaged")
    while start < end:
        kind, length = struct.unpack_from("<4sI", data, start)
        stop = start + 8 + length
        if stop > end:
            raise ImageError(name, "the file is cut off or damaged")
        chunks.append((kind, start + 8, stop))
        start = stop + length % 2
    if not chunks:
        raise ImageError(name, "the header is cut off or damaged")
    return chunks


def _three(data: bytes, start: int) -> int:
    return int.from_bytes(data[start : start + 3], "little")


def _lossless_size(data: bytes, start: int, name: str) -> tuple[int, int]:
    mark, size = struct.unpack_from("<BI", data, start)
    if mark != 0x2F:
        raise ImageError(name, "the header is damaged")
    return 1 + (size & 0x3FFF), 1 + (size >> 14 & 0x3FFF)


def _lossy_size(data: bytes, start: int, name: str) -> tuple[int, int]:
    mark, width, height = struct.unpack_from("<3x3sHH", data, start)
    if mark != b"\x9d\x01\x2a":
        raise ImageError(name, "the header is damaged")
    return width & 0x3FFF, height & 0x3FFF
