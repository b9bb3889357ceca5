"""TIFF and BigTIFF: a directory of numbers that says where the strips or tiles of pixels lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from amiss.core.errors import ImageError
from amiss.core.formats import jpeg, streams
from amiss.core.formats.directory import Directory, Span, next_directory, next_link, read_directory
from amiss.core.formats.header import Header, check_tail

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_SAMPLES, _ROWS, _PLANES = 277, 278, 284
_STRIPS, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 273, 279, 322, 323, 324, 325
_JPEG_TABLES = 347
_PALETTE, _YCBCR = 3, 6  # photometric
_NONE, _JPEG = 1, 7  # compression

_FILL_ORDER, _MOST_PAGES = 266, 65535

_WALKS: dict[int, Callable[[memoryview, int], int | None]] = {
    5: streams.lzw,
    8: streams.inflated,
    32773: streams.packbits,
    32946: streams.inflated,
}  # by compression
_COMPRESSIONS = {_NONE, _JPEG, *_WALKS}


@dataclass(frozen=True)
class _Layout:
    """Strips (tiles as wide as the image) or tiles: their size in pixels, and how many there are each way."""

    tiled: bool
    across: int
    rows: int
    columns: int
    lines: int
    planes: int
    row_bytes: int
    height: int

    @property
    def count(self) -> int:
        return self.columns * self.lines * self.planes

    @property
    def pixels(self) -> int:
        return self.across * self.rows

    def rows_of(self, number: int) -> int:
        """Rows of the image in one strip or tile."""
        line = number % (self.columns * self.lines) // self.columns
        return min(self.rows, self.height - line * self.rows)

    def size(self, number: int) -> tuple[int, int]:
        """The bytes of one strip or tile, decompressed: only the rows of the image, and filled up."""
        most = self.rows * self.row_bytes
        return most if self.tiled else self.rows_of(number) * self.row_bytes, most


def check(data: bytes, name: str) -> Header:
    """Every strip or tile lies in the file and overlaps nothing; what is in them is for `Header.verify`.

    Raises:
        ImageError: Cut off or damaged, compressed in a way that cannot be checked, or 16 bits in separate planes, which
            OpenCV 5.0 garbles.
    """
    order, big = ("<" if data.startswith(b"II") else ">"), b"+" in data[2:4]
    if len(data) < 16 or (big and data[4:8] not in (b"\x08\0\0\0", b"\0\x08\0\0")):
        raise ImageError(name, "the header is cut off or damaged")
    first = int(np.frombuffer(data, order + ("u8" if big else "u4"), 1, 8 if big else 4)[0])
    directory = read_directory(data, name, first, order, big)
    _check_numbers(directory, name)
    layout = _layout(directory)
    pieces = _pieces(data, name, directory, layout)
    check_tail(data, name)
    bits, samples = directory.number(_BITS, 1), directory.number(_SAMPLES, 1)
    channels = 3 if directory.number(_PHOTOMETRIC) == _PALETTE else samples
    return Header(
        "TIFF",
        directory.number(_WIDTH),
        directory.number(_HEIGHT),
        channels,
        bits,
        data,
        buffer=4 * layout.pixels,
        pages=_pages(data, name, directory, order, big),
        verify=partial(_verify, data, name, directory, layout, pieces),
    )


def _check_numbers(directory: Directory, name: str) -> None:
    for tag in (_WIDTH, _HEIGHT):
        if tag not in directory.numbers or len(directory.numbers[tag]) != 1 or directory.number(tag) < 1:
            raise ImageError(name, "the header is damaged")
    bits, samples = directory.number(_BITS, 1), directory.number(_SAMPLES, 1)
    compression = directory.number(_COMPRESSION, _NONE)
    if not 1 <= samples <= 64 or not 1 <= bits <= 64 or set(directory.numbers.get(_BITS, ())) - {bits}:
        raise ImageError(name, "the header is damaged, or the channels differ in depth")
    if directory.number(_PLANES, 1) == 2 and samples > 1 and bits > 8:
        raise ImageError(name, "a 16-bit TIFF with separate planes; save it with interleaved channels")
    if directory.number(_PHOTOMETRIC) == _YCBCR and compression != _JPEG:
        raise ImageError(name, "a YCbCr TIFF without JPEG compression; save it as RGB")
    if compression not in _COMPRESSIONS or directory.number(_FILL_ORDER, 1) != 1:
        raise ImageError(name, f"TIFF compression {compression} cannot be checked for damage; save it with deflate")


def _layout(directory: Directory) -> _Layout:
    width, height = directory.number(_WIDTH), directory.number(_HEIGHT)
    tiled = _TILES in directory.numbers or _TILE_WIDTH in directory.numbers
    across, rows = width, min(directory.number(_ROWS, height), height) or height
    if tiled:
        across, rows = max(directory.number(_TILE_WIDTH), 1), max(directory.number(_TILE_HEIGHT), 1)
    samples = directory.number(_SAMPLES, 1)
    planes = samples if directory.number(_PLANES, 1) == 2 else 1
    row_bytes = (across * (samples // planes) * directory.number(_BITS, 1) + 7) // 8
    return _Layout(tiled, across, rows, -(-width // across), -(-height // rows), planes, row_bytes, height)


def _pieces(data: bytes, name: str, directory: Directory, layout: _Layout) -> list[Span]:
    """Where each strip or tile lies in the file."""
    empty = np.zeros(0, np.uint64)
    starts = directory.numbers.get(_TILES if layout.tiled else _STRIPS, empty).astype(np.uint64)
    lengths = directory.numbers.get(_TILE_BYTES if layout.tiled else _STRIP_BYTES, empty).astype(np.uint64)
    if len(starts) != layout.count or len(lengths) != layout.count or not lengths.all():
        raise ImageError(name, f"damaged: {layout.count} strips or tiles of pixels must be in the file")
    if max(starts.max(), lengths.max()) > len(data) or (starts + lengths).max() > len(data):
        raise ImageError(name, "the file is cut off: pixels are missing at its end")
    stops = starts + lengths
    order = np.argsort(starts)
    overlap = bool(np.any(starts[order][1:] < stops[order][:-1]))
    if overlap or any(np.any((starts < stop) & (start < stops)) for start, stop in [(0, 8), *directory.spans]):
        raise ImageError(name, "damaged: strips or tiles of pixels overlap")
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def _verify(data: bytes, name: str, directory: Directory, layout: _Layout, pieces: list[Span]) -> None:
    """Every strip or tile holds as many bytes as its pixels need: libtiff leaves the rest of it black."""
    compression = directory.number(_COMPRESSION, _NONE)
    tables = directory.numbers.get(_JPEG_TABLES, np.zeros(0, np.uint8)).tobytes()
    content = memoryview(data)
    for number, (start, stop) in enumerate(pieces):
        least, most = layout.size(number)
        piece = content[start:stop]
        if compression == _JPEG:
            tile = jpeg.decode(tables[:-2] + data[start + 2 : stop] if tables else data[start:stop], name, "GRAY")
            found = most if tile.shape[0] >= layout.rows_of(number) and tile.shape[1] == layout.across else None
        elif compression == _NONE:
            found = most if least <= len(piece) < least + 4 else len(piece)
        else:
            found = _WALKS[compression](piece, most)
        if found not in (least, most):
            raise ImageError(name, f"damaged: strip or tile {number} must hold {least} bytes of pixels")


def only_page(data: bytes, name: str, number: int) -> bytes:
    """The same file with one page only: that of this number, from 1.

    Raises:
        ImageError: There is no such page.
    """
    order, big = ("<" if data.startswith(b"II") else ">"), b"+" in data[2:4]
    word, place = ("u8", 8) if big else ("u4", 4)
    start = int(np.frombuffer(data, order + word, 1, place)[0])
    for _ in range(number - 1):
        start = next_directory(data, name, start, order, big)
        if start == 0:
            raise ImageError(name, "the file has fewer pages")
    alone = np.frombuffer(data, np.uint8).copy()
    link = next_link(data, name, start, order, big)
    for at, value in ((place, start), (link, 0)):
        alone[at : at + int(word[1])] = np.array([value], order + word).view(np.uint8)
    return alone.tobytes()


def _pages(data: bytes, name: str, directory: Directory, order: str, big: bool) -> int:
    """How many directories there are, each of which names the next one.

    Raises:
        ImageError: One of them lies beyond the end of the file, or they form a circle.
    """
    found, following = 1, directory.following
    while following:
        found, following = found + 1, next_directory(data, name, following, order, big)
        if found > _MOST_PAGES:
            raise ImageError(name, f"damaged: more than {_MOST_PAGES} pages, or pages in a circle")
    return found
