"""From the first bytes of a file to the module that knows its format."""

from __future__ import annotations

import struct
from collections.abc import Callable

from amiss.core.errors import ImageError
from amiss.core.formats import bmp, jpeg, png, pnm, tiff, webp
from amiss.core.formats.header import Header
from amiss.core.listing import BRANDS, UNREAD

_STARTS: dict[bytes, Callable[[bytes, str], Header]] = {
    b"\x89PNG\r\n\x1a\n": png.check,
    b"\xff\xd8\xff": jpeg.check,
    b"BM": bmp.check,
    b"II*\0": tiff.check,
    b"MM\0*": tiff.check,
    b"II+\0": tiff.check,
    b"MM\0+": tiff.check,
    b"RIFF": webp.check,
    b"P5": pnm.check,
    b"P6": pnm.check,
}


def read_header(data: bytes, name: str) -> Header:
    """Recognise the format of an image file, and check that the file is whole.

    Args:
        data: All bytes of the file.
        name: How errors call it.

    Raises:
        ImageError: Empty, of another format, cut off, damaged, or of a kind that is not supported.
    """
    if not data:
        raise ImageError(name, "the file is empty")
    check = next((check for start, check in _STARTS.items() if data.startswith(start)), None)
    if check is None or (check is webp.check and data[8:12] not in (b"WEBP", b"")):
        raise ImageError(name, _unread(data))
    try:
        header = check(data, name)
    except (struct.error, IndexError) as error:
        raise ImageError(name, "the header is cut off or damaged") from error
    if header.width < 1 or header.height < 1:
        raise ImageError(name, "the header is damaged: an image without pixels")
    return header


def _unread(data: bytes) -> str:
    kind = next((kind for start, kind in UNREAD.items() if data.startswith(start)), "")
    if data[4:8] == b"ftyp" and data[8:12] in BRANDS:
        kind = "AVIF" if data[8:12].startswith(b"avi") else "HEIC"
    if kind:
        each = ", each of its frames as a file of its own" if kind == "GIF" else ""
        return f"a {kind} image, which Amiss does not read; save it as PNG{each}"
    return "not a PNG, JPEG, BMP, TIFF, WebP, PGM or PPM image (its first bytes say so)"
