"""From a file to an RGB array: the only place in Amiss that decodes or resizes pictures.

OpenCV does the work. It is imported inside the functions, so that ``import amiss`` stays light.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import ImageError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""File name endings that are looked for in a folder. What is decoded is decided by content, not by name."""

MAX_PIXELS = 100_000_000
"""Default cap on width x height, checked from the header before anything is decoded."""

_BYTES_PER_PIXEL = 16  # twice an uncompressed 16-bit RGBA picture: larger files are not read at all


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read one picture.

    PNG, JPEG, BMP, TIFF and WebP, recognised by content; 8 and 16 bit; grey, RGB and RGBA. The EXIF orientation is
    applied, alpha is dropped, the first page is taken, and 16 bits are divided by 257: the scale is the same for
    every picture, never stretched to what one picture happens to contain.

    Args:
        path: The file.
        max_pixels: Cap on width x height.

    Returns:
        RGB, uint8 (H, W, 3).

    Raises:
        ImageError: Missing, empty, cut off, not a picture, of another format, or too large.
    """
    name = str(path)
    try:
        size = Path(path).stat().st_size
        if size > max_pixels * _BYTES_PER_PIXEL:
            raise ImageError(name, f"the file has {size} bytes, too many for a picture of {max_pixels} pixels")
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(name, f"cannot be read ({error.strerror or error})") from error
    return decode_image(data, name=name, max_pixels=max_pixels)


def decode_image(data: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode the bytes of one picture file; `name` is how errors call it. See `read_image`."""
    import cv2

    if not data:
        raise ImageError(name, "the file is empty")
    if _format(data) is None:
        raise ImageError(name, "not a PNG, JPEG, BMP, TIFF or WebP picture (its first bytes say so)")
    _check_header(data, name, max_pixels)
    with _quiet(cv2):
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH)
        except cv2.error as error:
            raise ImageError(name, f"cannot be decoded ({error.err})") from error
    if image is None:
        raise ImageError(name, "cannot be decoded: the file is cut off or damaged")
    return to_rgb8(image, name)


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
        raise ImageError(name, f"{image.dtype} pixels arrived; uint8 or uint16 is expected")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or image.size == 0:
        raise ImageError(name, f"shape {image.shape} arrived; (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) is expected")
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3])


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The whole picture at another size: the mean over areas where it shrinks, bilinear where it grows.

    The one resize of Amiss, used in learning, calibration, inspection and evaluation alike. Nothing is cropped.

    Args:
        image: uint8 (H, W, 3).
        size: Height and width in pixels.
    """
    import cv2

    height, width = image.shape[:2]
    small = (min(height, size[0]), min(width, size[1]))
    if small != (height, width):
        image = cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA)
    if small != size:
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    return image


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


def _check_header(data: bytes, name: str, max_pixels: int) -> None:
    import imagesize

    try:
        width, height = imagesize.get(io.BytesIO(data))
    except Exception as error:  # the parser meets hostile bytes; whatever it stumbles over is a damaged header
        raise ImageError(name, "the header is damaged") from error
    if width <= 0 or height <= 0:
        raise ImageError(name, "the header is cut off or damaged")
    if width * height > max_pixels:
        raise ImageError(name, f"{width} x {height} pixels; at most {max_pixels} in all are allowed")


@contextmanager
def _quiet(cv2: Any) -> Iterator[None]:
    """Keep OpenCV's own warnings off the terminal: the `ImageError` says it better."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
