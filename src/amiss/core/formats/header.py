"""`Header`: what a file says about its image before anything is decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from amiss.core.errors import ImageError

_ZERO_TAIL = 16  # zero bytes: fewer may be padding
_BLOCK = 4096  # bytes: file systems write blocks of a multiple of this


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about its image.

    Args:
        kind: Name of the format, such as "PNG".
        width: Of the first page, in pixels, as stored.
        height: Likewise.
        channels: Stored per pixel, alpha included; a palette counts as three.
        bits: Stored per channel.
        buffer: Bytes that the decoder holds beside the image.
        pages: Images in the file.
        orientation: As in EXIF, 1 to 8, where Amiss turns the image itself; 1 where there is nothing to turn.
        data: What the decoder is to read.
        verify: Walks the compressed pixels and raises `ImageError` if they are not whole. It takes time, so the size
            comes first.
    """

    kind: str
    width: int
    height: int
    channels: int
    bits: int
    data: bytes
    buffer: int = 0
    pages: int = 1
    orientation: int = 1
    verify: Callable[[], None] = lambda: None

    def need(self, channels: int = 3) -> int:
        """The most bytes that decoding to so many channels takes.

        OpenCV decodes into one array and copies it into another; palettes, strips and alpha take up to 4 bytes per
        pixel more, and turning an image takes less than that first copy. `python -m tests.fuzz needs` checks it for
        every kind of file.
        """
        per_pixel = 2 * max(channels, 3) * next(size for size in (1, 2, 4, 8) if self.bits <= 8 * size) + 4
        return self.width * self.height * per_pixel + self.buffer + 2 * len(self.data)


def check_tail(data: bytes, name: str) -> None:
    """Refuse a file that ends in zeros from the start of a disk block on, as after a power cut.

    For formats whose pixels have no check sum. Where the image itself ends in black, its last other byte lies just
    before a multiple of 4,096 in one file of 4,096.

    Raises:
        ImageError: Such a file.
    """
    if data[-_ZERO_TAIL:].strip(b"\0"):
        return
    start = len(data.rstrip(b"\0"))
    if start % _BLOCK == 0:
        raise ImageError(name, f"ends in {len(data) - start} zero bytes from a disk block on: never wholly written")
