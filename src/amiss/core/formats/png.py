"""PNG: chunks with check sums, and one compressed stream that ends in another."""

from __future__ import annotations

import struct
import zlib
from functools import partial

from amiss.core.errors import ImageError
from amiss.core.formats import streams
from amiss.core.formats.directory import orientation_of
from amiss.core.formats.header import Header

_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_DECODED = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))  # libpng prints warnings about others
_PALETTE = 3  # colour type
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7


def check(data: bytes, name: str) -> Header:
    """Every chunk is whole and has its check sum, and the compressed stream holds as many bytes as the image needs.

    Raises:
        ImageError: Cut off or damaged.
    """
    chunks = _chunks(data, name)
    kinds = [kind for kind, _, _ in chunks]
    if kinds[0] != b"IHDR" or b"IDAT" not in kinds or max(map(kinds.count, (b"IHDR", b"PLTE", b"tRNS"))) > 1:
        raise ImageError(name, "the header is damaged")
    contents = {kind: data[start + 8 : stop - 4] for kind, start, stop in chunks if kind != b"IDAT"}
    width, height, bits, colour, method, filters, interlace = struct.unpack(">IIBBBBB", contents[b"IHDR"])
    if bits not in _BITS.get(colour, ()) or method or filters or interlace > 1:
        raise ImageError(name, "the header is damaged")
    _check_colours(colour, bits, contents, name)
    content = memoryview(data)
    stream = [content[start + 8 : stop - 4] for kind, start, stop in chunks if kind == b"IDAT"]
    size = _stream_size(width, height, bits * _SAMPLES[colour], interlace)
    decoded = _DECODED if colour == _PALETTE else _DECODED - {b"PLTE"}
    plain = data
    if not decoded.issuperset(kinds):
        plain = data[:8] + b"".join(content[start:stop] for kind, start, stop in chunks if kind in decoded)
    return Header(
        "PNG",
        width,
        height,
        _CHANNELS[colour] + (b"tRNS" in kinds),
        bits,
        plain,
        pages=struct.unpack_from(">I", contents[b"acTL"])[0] if b"acTL" in contents else 1,
        orientation=orientation_of(contents.get(b"eXIf", b"")),
        verify=partial(_verify, stream, size, name),
    )


def _check_colours(colour: int, bits: int, contents: dict[bytes, bytes], name: str) -> None:
    """The palette and the transparent colour are such as the image can have: libpng prints what it thinks of others."""
    palette, clear = contents.get(b"PLTE", b""), contents.get(b"tRNS")
    wrong = colour == _PALETTE and (not palette or len(palette) % 3 or len(palette) > 3 << bits)
    if clear is not None and colour == _PALETTE:
        wrong = wrong or not 0 < len(clear) <= len(palette) // 3
    elif clear is not None:
        wrong = len(clear) != 2 * _SAMPLES[colour] or colour > _PALETTE
        wrong = wrong or any(value >> bits for value in struct.unpack(f">{_SAMPLES[colour]}H", clear))
    if wrong:
        raise ImageError(name, "the header is damaged: colours that the image cannot have")


def _chunks(data: bytes, name: str) -> list[tuple[bytes, int, int]]:
    """Kind, start and stop of every chunk up to the end mark."""
    content, chunks, start, kind = memoryview(data), [], 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", content[start : start + 8])
        stop = start + 12 + length
        if stop > len(data):
            raise ImageError(name, "the file is cut off or damaged")
        if zlib.crc32(content[start + 4 : stop - 4]) != struct.unpack(">I", content[stop - 4 : stop])[0]:
            raise ImageError(name, f"damaged: a wrong check sum at byte {start}")
        chunks.append((bytes(kind), start, stop))
        start = stop
    return chunks


def _stream_size(width: int, height: int, bits_per_pixel: int, interlace: int) -> int:
    """Bytes in the stream: each row has one more than its pixels take."""
    size = 0
    for left, top, across, down in _PASSES if interlace else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        size += max(rows, 0) * (1 + (columns * bits_per_pixel + 7) // 8) if columns > 0 else 0
    return size


def _verify(stream: list[memoryview], size: int, name: str) -> None:
    if streams.inflated_parts(stream, size) != (size, True):
        raise ImageError(name, f"damaged: the compressed pixels must be {size} bytes with a right check sum")
