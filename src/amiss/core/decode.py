"""From a file to an RGB array: the only place in Amiss that decodes or resizes images.

OpenCV does the work. It is imported inside the functions, so that ``import amiss`` stays light.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import ImageError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""File name endings that are looked for in a folder. What is decoded is decided by content, not by name."""

MAX_PIXELS = 100_000_000
"""Default cap on width x height, checked from the header before anything is decoded."""

_BYTES_PER_PIXEL = 16  # twice an uncompressed 16-bit RGBA image: larger files are not read at all

_TIFF_SIZE, _TIFF_BITS, _TIFF_SAMPLES, _TIFF_PLANES = (256, 257), 258, 277, 284  # tags
_TIFF_WHOLE = (3, 4)  # types: 16 and 32 bits without sign


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read one image.

    PNG, JPEG, BMP, TIFF and WebP, recognised by content; 8 and 16 bit; grey, RGB and RGBA. The EXIF orientation is
    applied, alpha is dropped, the first page is taken, and 16 bits are divided by 257: the scale is the same for
    every image, never stretched to what one image happens to contain.

    Args:
        path: The file.
        max_pixels: Cap on width x height.

    Returns:
        RGB, uint8 (H, W, 3).

    Raises:
        ImageError: Missing, empty, cut off, not an image, of another format, or too large.
    """
    return decode_image(_read_bytes(Path(path), max_pixels), name=str(path), max_pixels=max_pixels)


def read_values(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[Any]:
    """The numbers of one image file as they are stored, for masks and position maps: nothing is scaled or turned.

    Args:
        path: The file, of the formats of `read_image`, or a TIFF of floats.
        max_pixels: Cap on width x height.

    Returns:
        (H, W), or (H, W, C) with the channels in the order of the file; uint8, uint16 or float32.

    Raises:
        ImageError: As for `read_image`.
    """
    import cv2

    data = _read_bytes(Path(path), max_pixels)
    image = _decode(data, str(path), max_pixels, cv2.IMREAD_UNCHANGED)
    if image.ndim == 3 and image.shape[2] >= 3:  # OpenCV has blue first, and alpha last
        image[:, :, :3] = image[:, :, 2::-1].copy()
    return image


def decode_image(data: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode the bytes of one image file; `name` is how errors call it. See `read_image`."""
    import cv2

    # in BGR, for IMREAD_COLOR_RGB garbles 16-bit RGB TIFF in OpenCV 5.0
    image = _decode(data, name, max_pixels, cv2.IMREAD_COLOR_BGR | cv2.IMREAD_ANYDEPTH)
    return to_rgb8(image[:, :, ::-1], name)


def to_rgb8(image: NDArray[Any], name: str = "image") -> NDArray[np.uint8]:
    """An array of any supported kind as RGB, uint8 (H, W, 3).

    Args:
        image: uint8 or uint16 of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), channels in RGB order.
        name: How errors call it.

    Raises:
        ImageError: Another shape or type, or no pixels.
    """
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)  # round(x / 257), exactly
    if image.dtype != np.uint8:
        raise ImageError(name, f"pixels must be uint8 or uint16, got {image.dtype}")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or image.size == 0:
        raise ImageError(name, f"shape must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {image.shape}")
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3])


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The whole image at another size: the mean over areas where it shrinks, bilinear where it grows.

    The one resize of Amiss, used in learning, calibration, inspection and evaluation alike. Nothing is cropped.

    Args:
        image: uint8 (H, W, 3).
        size: Height and width in pixels.
    """
    import cv2

    height, width = image.shape[:2]
    small = (min(height, size[0]), min(width, size[1]))
    if small != (height, width):
        image = np.asarray(cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    if small != size:
        image = np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    return image


def _read_bytes(path: Path, max_pixels: int) -> bytes:
    try:
        size = path.stat().st_size
        data = b"" if size > max_pixels * _BYTES_PER_PIXEL else path.read_bytes()
    except OSError as error:
        raise ImageError(str(path), f"cannot be read ({error.strerror or error})") from error
    except ValueError as error:  # a zero byte in the name
        raise ImageError(str(path), f"cannot be read ({error})") from error
    if size > max_pixels * _BYTES_PER_PIXEL:
        raise ImageError(str(path), f"the file has {size} bytes, too many for an image of {max_pixels} pixels")
    return data


def _decode(data: bytes, name: str, max_pixels: int, flags: int) -> NDArray[Any]:
    import cv2

    if not data:
        raise ImageError(name, "the file is empty")
    kind = _format(data)
    if kind is None:
        raise ImageError(name, "not a PNG, JPEG, BMP, TIFF or WebP image (its first bytes say so)")
    _check_header(data, kind, name, max_pixels)
    with _quiet(cv2):
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error as error:
            raise ImageError(name, f"cannot be decoded ({error.err})") from error
    if image is None:
        raise ImageError(name, "cannot be decoded: cut off, damaged, or of an unusual kind such as float TIFF")
    return np.asarray(image)


def _format(data: bytes) -> str | None:
    starts = {
        b"\x89PNG\r\n\x1a\n": "png",
        b"\xff\xd8\xff": "jpeg",
        b"BM": "bmp",
        b"II*\0": "tiff",
        b"MM\0*": "tiff",
        b"II+\0": "tiff",
        b"MM\0+": "tiff",
    }
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((kind for start, kind in starts.items() if data.startswith(start)), None)


def _check_header(data: bytes, kind: str, name: str, max_pixels: int) -> None:
    import imagesize

    try:
        width, height = imagesize.get(io.BytesIO(data))
    except Exception as error:  # the parser meets hostile bytes; whatever it stumbles over is a damaged header
        raise ImageError(name, "the header is damaged") from error
    if width <= 0 or height <= 0:
        raise ImageError(name, "the header is cut off or damaged")
    if width * height > max_pixels:
        raise ImageError(name, f"{width} x {height} pixels; at most {max_pixels} in all are allowed")
    if kind == "png" and not _png_is_whole(data):
        raise ImageError(name, "the file is cut off or damaged")
    if kind == "tiff":
        _check_tiff(data, name)


def _png_is_whole(data: bytes) -> bool:
    """The chunks fill the file up to the end mark. OpenCV allocates what a chunk claims before it reads on."""
    start, kind = 8, b""
    while kind != b"IEND" and start < len(data):
        kind = data[start + 4 : start + 8]
        start += 12 + int.from_bytes(data[start : start + 4])
    return kind == b"IEND" and start <= len(data)


def _check_tiff(data: bytes, name: str) -> None:
    """Refuse a size that can be read in two ways, and separate planes of 16 bits: OpenCV 5.0 garbles them."""
    order: Literal["little", "big"] = "little" if data.startswith(b"II") else "big"
    word, short = (8, 8) if b"+" in data[2:4] else (4, 2)  # BigTIFF or TIFF

    def number(start: int, length: int) -> int:
        return int.from_bytes(data[start : start + length], order)

    first, step = number(word, word), 4 + 2 * word
    stop = min(first + short + step * number(first, short), len(data))
    tags = {_TIFF_BITS: 8, _TIFF_SAMPLES: 1, _TIFF_PLANES: 1}
    for entry in range(first + short, stop, step):
        tag, kind, count, value = number(entry, 2), number(entry + 2, 2), number(entry + 4, word), entry + 4 + word
        if tag in _TIFF_SIZE and (tag in tags or kind not in _TIFF_WHOLE or count != 1):
            raise ImageError(name, "the header is damaged")
        tags[tag] = number(value if 2 * count <= word else number(value, word), 2)
    if tags[_TIFF_PLANES] == 2 and tags[_TIFF_SAMPLES] > 1 and tags[_TIFF_BITS] > 8:
        raise ImageError(name, "a 16-bit TIFF with separate planes; save it with interleaved channels")


class _Quiet:
    """Keeps OpenCV's own warnings off the terminal: the `ImageError` says it better.

    The level is one for the whole process, so the first thread that comes in lowers it and the last one restores it.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._level = threading.Lock(), 0, 0

    @contextmanager
    def __call__(self, cv2: Any) -> Iterator[None]:
        logging = cv2.utils.logging
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._level = logging.getLogLevel()
                logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    logging.setLogLevel(self._level)


_quiet = _Quiet()
